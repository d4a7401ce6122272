"""What `ntkrun --help` lists beside Hydra's groups: the settings that are one of a few words."""

from omegaconf import OmegaConf

from ntkrun.cli.configs import groups
from ntkrun.settings.runs import FreeSettings
from ntkrun.settings.schema import described


def register() -> None:
    """Makes `${closed_lists:}` known, which the help text in configs/config.yaml holds."""
    OmegaConf.register_new_resolver("closed_lists", closed_lists, replace=True)


def closed_lists() -> str:
    """Every setting that may be one of a few words, with these words, a line each; groups are listed by Hydra."""
    words: dict[str, dict[str, None]] = {}
    for one in described(FreeSettings):
        group = one.path[0] in groups() and one.path[1:] in ((), ("name",))
        if one.is_closed and not group:
            words.setdefault(".".join(one.path), {}).update(dict.fromkeys(one.choices))
    return "\n".join(f"{name}: {', '.join(choices)}" for name, choices in words.items())
