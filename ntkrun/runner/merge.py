"""Cells that were computed elsewhere into a results folder: verified, whole, and never over what is there."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ntkrun.errors import UserError
from ntkrun.experiments.base import Experiment
from ntkrun.experiments.figures import experiment_names, load_experiment
from ntkrun.runner.elsewhere import Elsewhere, StoredElsewhere
from ntkrun.runner.files import remove_leftovers, write_bytes
from ntkrun.runner.plan import config_hash
from ntkrun.runner.store import Store, cell_file, content_hash, read_table, table_of
from ntkrun.settings.base import CommonSettings
from ntkrun.settings.models import OF_FILES
from ntkrun.settings.schema import local_fields, typed_names, with_later
from ntkrun.settings.validation import validated

MERGED = "merged"
EQUAL = "there already (equal)"
DIFFERENT = "there already (different numbers; compare with stage=compare)"


@dataclass(frozen=True)
class Merged:
    """What became of one cell; `refused` when it was not taken, and not for being there already."""

    experiment: str
    file: str
    cell: str
    what: str
    refused: bool = False


def merge(
    source: Elsewhere, results_dir: str, scale: str, experiments: Sequence[str] | None, local: CommonSettings
) -> Iterator[Merged]:
    """Take in the cells of `experiments` (those that compute; None: all), one after the other.

    `local`  settings of the run here, for the fields that no cell depends on

    Raises:
        UserError: results_dir cannot be written to.
    """
    for stored in source.cells(scale):
        if experiments is not None and stored.experiment not in experiments:
            continue
        try:
            table, facts = verified(stored, local)
        except UserError as error:
            yield Merged(stored.experiment, stored.file, "-", f"refused: {error}", refused=True)
            continue
        what, refused = _taken_in(stored, table, results_dir, scale)
        yield Merged(stored.experiment, stored.file, str(facts["cell"]), what, refused)


def verified(stored: StoredElsewhere, local: CommonSettings) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A table and its facts.

    Raises:
        UserError: content against hash, schema, name against identity, or settings against their hash under this code.
    """
    table, facts = table_of(stored.content, stored.file)
    expected = cell_file(str(facts.get("config_hash")), str(facts.get("data_fingerprint")))
    if stored.file != expected or not re.fullmatch(r"[0-9a-f]{16}-[0-9a-z-]{8}\.parquet", expected):
        raise UserError(f"it holds the cell {expected:.60}, not the one that it is named after")
    if stored.experiment not in experiment_names():
        raise UserError(f"this code has no experiment {stored.experiment}")
    experiment = load_experiment(stored.experiment)
    try:
        found = config_hash(experiment, _settings(experiment, facts, local))
    except UserError as error:
        raise UserError(f"its settings are not of this code ({error})") from error
    if found != facts["config_hash"]:
        code = facts.get("code") or {}
        raise UserError(
            f"its settings have the hash {found} here: other code computed it ({_version(code)}), whose numbers are not "
            "those of this one"
        )
    return table, facts


def _settings(experiment: Experiment, facts: dict[str, Any], local: CommonSettings) -> CommonSettings:
    """Those that the facts tell, as settings of this code."""
    recorded = facts.get("settings")
    if not isinstance(recorded, dict) or recorded.get("experiment") != experiment.name:
        raise UserError(f"it tells none of {experiment.name}")
    here = {key: getattr(local, key) for key in local_fields(type(local))}
    here |= {"stage": "run", "from": None, "allow_custom": True, "scale": recorded.get("scale")}
    typed = typed_names(experiment.settings)
    model = recorded.get("model")
    if isinstance(model, dict) and model.get("name") == "own":  # the source here is what counts
        recorded = recorded | {"model": {key: value for key, value in model.items() if key not in OF_FILES}}
    of_here = {key: value for key, value in here.items() if key in typed}
    return validated(experiment.settings, of_here | with_later(experiment.settings, recorded))


def _version(code: dict[str, Any]) -> str:
    commit = code.get("commit")
    return f"ntkrun {code.get('ntkrun')}" + (f", commit {str(commit)[:12]}" if commit else "")


def _taken_in(stored: StoredElsewhere, table: pd.DataFrame, results_dir: str, scale: str) -> tuple[str, bool]:
    """Write the cell unless it is there: (what became of it, whether that is no good end)."""
    store = Store(results_dir, scale, stored.experiment)
    store.prepare()
    path = store.cells / stored.file
    if (there := store.named(stored.file)) is not None:
        return _beside(there, table)
    lock = store.lock(path)
    if not lock.acquire():
        return f"refused: it is being computed here by {lock.describe()}", True
    with lock:
        if path.exists():  # finished while we looked
            return _beside(path, table)
        remove_leftovers(path)
        write_bytes(path, stored.content)
    return MERGED, False


def _beside(path: Path, table: pd.DataFrame) -> tuple[str, bool]:
    """How a cell compares with the one that is there."""
    try:
        there, _ = read_table(path)
    except UserError as error:
        return f"refused: there already, but {error}", True
    return (EQUAL if content_hash(there, "") == content_hash(table, "") else DIFFERENT), False


def merge_table(found: Sequence[Merged]) -> str:
    """As lines of text, with a count."""
    lines = [("experiment", "cell", "file", ""), *((m.experiment, m.cell, m.file, m.what) for m in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    text = ["  ".join([*map(str.ljust, line[:3], widths), line[3]]).rstrip() for line in lines]
    merged, equal, different = (sum(m.what == what for m in found) for what in (MERGED, EQUAL, DIFFERENT))
    refused = sum(m.refused for m in found)
    text.append(
        f"{merged} merged, {equal} there already and equal, {different} there with other numbers, {refused} refused"
    )
    return "\n".join(text)
