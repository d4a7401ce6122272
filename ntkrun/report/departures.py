"""How the settings of a run differ from the paper's own: what a figure's footer says."""

from typing import Any

from ntkrun.settings.runs import LOCAL_NAMES


def departures(
    settings: dict[str, Any], paper: dict[str, Any], prefix: str = "", rest: dict[str, Any] | None = None
) -> list[str]:
    """How `settings` differ from the paper's own: "model.width=512 (paper 2048)".

    rest  what the paper has where `paper` names nothing: a part is merged over the settings outside `parts`
    """
    skipped = LOCAL_NAMES | {"seed", "data.seed", "experiment"}
    found = []
    for key, value in settings.items():
        shared = (rest or {}).get(key)
        name, theirs = prefix + key, paper.get(key, shared)
        if name in skipped or value == theirs:
            continue
        if key == "parts" and value and theirs:
            for part, ours in value.items():
                if ours is None and theirs[part] is not None:
                    found.append(f"{name}.{part} left out")
                elif ours is not None:
                    found += departures(ours, theirs.get(part) or {}, f"{name}.{part}.", paper)
        elif isinstance(value, dict) and isinstance(theirs, dict) and key != "schedule":
            found += departures(value, theirs, f"{name}.", shared)
        elif isinstance(theirs, dict) and not value:
            found.append(f"{name} left out")
        elif key == "schedule":
            found.append(f"{name}={value['name']} (paper {theirs['name'] if theirs else 'none'})")
        else:
            found.append(f"{name}={value} (paper {theirs})")
    return found
