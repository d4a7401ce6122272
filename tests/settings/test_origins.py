"""Every setting that determines numbers says where it comes from, and the paper's values are those that scale=paper uses."""

import fnmatch
import importlib.util
import tomllib
from typing import Any

import pytest

from ntkrun.cli.hydra.compose import compose
from ntkrun.experiments.figures import computing, experiment_names, load_experiment
from ntkrun.reference import curves_named
from ntkrun.report.departures import in_all
from ntkrun.runner.plan import make_cells
from ntkrun.settings import origins
from ntkrun.settings.changes import values_of
from ntkrun.settings.origins import COMMON, Origin, alone, origin_of, patterns
from ntkrun.settings.parts import leaves

FROM_OTHERS = {"experiment"}  # what names the run is no setting of it


def values_at_paper(name: str) -> dict[str, dict[str, Any]]:
    return values_of(compose([f"experiment={name}", "scale=paper"]).settings)


def named(part: str, setting: str) -> str:
    return f"parts.{part}.{setting}" if part else setting


@pytest.mark.parametrize("name", experiment_names())
def test_every_setting_that_enters_the_hash_has_an_origin(name):
    source = computing(load_experiment(name))
    raw = compose([f"experiment={name}", "scale=paper"]).settings | {"experiment": source.name}
    for cell in {cell.part: cell for cell in make_cells(source, raw)}.values():
        for path, _ in leaves(cell.settings.identity):
            setting = ".".join(path)
            if setting not in FROM_OTHERS:
                assert origin_of(name, named(cell.part, setting)), f"{setting} of {name} {cell.part} has no origin"


@pytest.mark.parametrize("name", [name for name in experiment_names() if not alone(name)])
def test_what_is_printed_or_recovered_is_what_scale_paper_uses(name):
    for part, settings in values_at_paper(name).items():
        for setting in settings:
            origin = origin_of(name, named(part, setting))
            if origin and (origin.of_the_paper or origin.fitted_to):
                used = in_all(setting, settings)
                assert used == origin.here, f"{name} {part} {setting}={used}, its origin says {origin.here}"
            if origin and origin.of_the_paper:
                assert origin.here == origin.paper or origin.why, f"{setting}: why not the paper's own value?"
            if origin:
                assert origin.where, setting


def test_no_entry_is_about_a_setting_that_is_not_there():
    used = set()
    for name in experiment_names():
        there = {named(part, setting) for part, settings in values_at_paper(name).items() for setting in settings}
        there |= {setting for settings in values_at_paper(name).values() for setting in settings}
        for pattern in patterns(name):
            if fnmatch.filter(there, pattern):
                used.add(pattern)
            else:
                assert pattern in patterns(COMMON), f"{pattern} in the origins of {name}"
    assert set(patterns(COMMON)) <= used


@pytest.mark.parametrize("name", [COMMON, *experiment_names()])
def test_the_files_say_nothing_that_is_not_read(name, root):
    file = tomllib.loads((root / "ntkrun" / "reference" / "origins" / f"{name}.toml").read_text())
    assert set(file) <= {*origins.KINDS, "like", "alone"}
    entries = [one for kind in origins.KINDS for one in file.get(kind, {})]
    assert len(set(entries)) == len(entries), "a setting has one origin"
    for kind in ("printed", "recovered"):
        for told in file.get(kind, {}).values():
            known = {"paper", "where", "why", "converted", "instead", "printed", "fitted_to"}
            assert {"paper", "where"} <= set(told) <= known
            assert ("why" in told) == bool({"converted", "instead"} & set(told))
    for told in file.get("ours", {}).values():
        known = {"why", "usual", "quiet", "here", "fitted_to"}
        assert {"why"} <= set(told) <= known, "the paper has no value for what is ours"
        assert ("here" in told) == ("fitted_to" in told), "a value that was fitted is named"


@pytest.mark.parametrize("name", [COMMON, *experiment_names()])
def test_what_is_recovered_says_from_which_curves_and_these_are_there(name, root):
    file = tomllib.loads((root / "ntkrun" / "reference" / "origins" / f"{name}.toml").read_text())
    for setting, told in file.get("recovered", {}).items():
        assert "fitted_to" in told, f"{setting} of {name}: [] where it is read off without a run of ours"
    for told in (one for kind in origins.KINDS for one in file.get(kind, {}).values()):
        for pattern in told.get("fitted_to", []):
            assert curves_named([pattern]), f"{name}: the paper has no curve {pattern}"


def test_the_experiment_says_more_than_what_it_is_like_and_that_more_than_all():
    assert origin_of("figs8", "model.parameterization") == Origin("printed", "caption", "standard", "standard")
    assert origin_of("figs8", "data.n_train") == origin_of("fig3", "data.n_train")
    assert origin_of("fig3", "weight_decay") == origin_of("fig1", "weight_decay")
    rate = origin_of("fig3", "optimizer.learning_rate")
    assert rate and (rate.paper, rate.here, rate.same) == (0.01, 0.02, True)
    images = origin_of("fig4", "data.n_test")
    assert images and (images.paper, images.here, images.same) == (128, 2048, False)
    assert (origin_of("theorem21", "model.width") or rate).kind == "ours"
    assert origin_of("fig3", "model.pool") is None


def test_a_part_has_its_own_origin():
    assert [(o := origin_of("figs5", f"parts.{part}.model.depth")) and o.paper for part in ("L8", "C8", "D64")] == [
        8,
        8,
        2,
    ]


def test_the_page_is_not_stale(root):
    spec = importlib.util.spec_from_file_location("origins_page", root / "scripts" / "origins_page.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert (root / "docs" / "origins.md").read_text() == script.page(), "run make origins-page"
