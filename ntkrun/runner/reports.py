"""The reports that a results folder holds, one folder a run, and which run each belongs to."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntkrun.errors import UserError
from ntkrun.runner.store import Store, is_shipped, shipped_beside
from ntkrun.settings.variant import FILES, SHIPPED, Variant

PROVENANCE = "provenance.json"
NO_NAME = "without a name"  # of a report of before runs had names


@dataclass(frozen=True)
class StoredReport:
    """One report.

    run      name of its folder; "" for a report that lies in the experiment's own folder: the shipped ones, and those
             of before runs had names
    shipped  whether it is one of the shipped results
    """

    experiment: str
    run: str
    folder: Path
    shipped: bool = False

    @property
    def called(self) -> str:
        """What it goes by among the runs of its experiment."""
        return SHIPPED if self.shipped else self.run or NO_NAME

    def provenance(self) -> dict[str, Any]:
        return json.loads((self.folder / PROVENANCE).read_text())


def reports_at(at_scale: Path, experiments: Iterable[str]) -> Iterator[StoredReport]:
    """All reports of one scale in the order of `experiments`, for each the shipped one before the user's own."""
    shipped, inside = shipped_beside(at_scale), is_shipped(at_scale)
    for name in experiments:
        if shipped and (shipped / name / PROVENANCE).is_file():
            yield StoredReport(name, "", shipped / name, True)
        for path in (at_scale / name / PROVENANCE, *sorted((at_scale / name).glob(f"*/{PROVENANCE}"))):
            if path.is_file():
                run = "" if path.parent.name == name else path.parent.name
                yield StoredReport(name, run, path.parent, inside)


def check_name_is_free(store: Store, variant: Variant) -> None:
    """UserError when the folder of the run's report holds that of a run with other settings."""
    for stand_in in (False, True):
        folder = store.report(stand_in=stand_in)
        if (taken := _changed(folder)) is None or taken == json.loads(json.dumps(variant.changed)):
            continue
        raise UserError(f"name={variant.name} is taken: {folder} holds {_other_run(taken, variant.changed)}")


def _other_run(taken: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """In what the run that has the name differs from the one that asks for it, and what to do."""
    edited = {f"{section}.{content}": f"{section}.path" for section, content in FILES.items()}
    differing = [name for name in {**taken, **asked} if taken.get(name) != json.loads(json.dumps(asked.get(name)))]
    files = [asked[edited[name]] for name in differing if name in edited and name in taken and name in asked]
    if len(files) == len(differing):
        return (
            f"the run of {', '.join(map(str, files))} before it was edited; choose another name=..., or remove that folder "
            "to have the new run in it"
        )
    what = ", ".join(
        f"{name}={json.dumps(taken[name])}" if name in taken else f"{name} as it is shipped" for name in differing
    )
    return f"the run with {what:.200}; choose another name=..."


def _changed(folder: Path) -> dict[str, Any] | None:
    """What the run changed whose report lies in the folder; None where no such report can be read."""
    try:
        found = json.loads((folder / PROVENANCE).read_text())["run"]["changed"]
    # a file that is no report of ours may hold anything
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
