"""A closed list stands once, in the settings: what implements its values has the same names, and nothing else."""

import re
from dataclasses import fields
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
import yaml
from entry_point import ntkrun  # noqa: F401  (a fixture)

from ntkrun.cli.configs import groups, launcher_fields, launchers, options
from ntkrun.cli.hydra.errors import dotted
from ntkrun.data import preprocess, targets
from ntkrun.data.sources import load, locate
from ntkrun.dynamics.metrics import LOSSES as LOSS_FUNCTIONS
from ntkrun.dynamics.optimizers import SCHEDULES, TRANSFORMATIONS
from ntkrun.experiments.claims import STANDS_FOR
from ntkrun.experiments.figures import computing, experiment_names, load_experiment
from ntkrun.experiments.runs.image_sizes import EXAMPLES, IMAGES
from ntkrun.models import build_model
from ntkrun.models.registry import MODELS
from ntkrun.nonlinearities import ACTIVATIONS
from ntkrun.notation.activation_names import DECLARED
from ntkrun.runner.following import WRITERS
from ntkrun.runner.machines import KNOWN
from ntkrun.runner.plan import make_cells
from ntkrun.settings import choices
from ntkrun.settings.base import SETTINGS_OF_STAGE, WITHOUT_MINUTES
from ntkrun.settings.choices import LOSSES, STAGES, choices_of
from ntkrun.settings.models import ModelSettings
from ntkrun.settings.optimizers import OptimizerSettings, Schedule
from ntkrun.settings.runs import KINDS, FreeSettings
from ntkrun.settings.schema import described, list_settings, local_fields, local_settings
from ntkrun.theory.learning_rate import stable_rate


def names_of(base: Any) -> set[str]:
    """The values of `name` by which the classes derived from this one are chosen."""
    return {word for kind in base.__subclasses__() for word in choices_of(kind.model_fields["name"].annotation)}


IMPLEMENTED = {
    "networks": (MODELS, names_of(ModelSettings)),
    "optimizers": (TRANSFORMATIONS, names_of(OptimizerSettings)),
    "schedules": (SCHEDULES, names_of(Schedule)),
    "losses": (LOSS_FUNCTIONS, LOSSES),
    "declared losses": (LOSSES, choices_of(choices.Loss)),
    "declared stages": (STAGES, choices_of(choices.Stage)),
    "nonlinearities": (ACTIVATIONS, choices_of(choices.Activation)),
    "declared nonlinearities": (DECLARED, choices_of(choices.Activation)),
    "rules of preprocessing": (preprocess.RULES, choices_of(choices.Preprocess)),
    "kinds of targets": (targets.KINDS, choices_of(choices.TargetKind)),
    "data sets": (locate.NAMES, choices_of(choices.DataName)),
    "data sources": (load.SOURCES, choices_of(choices.DataSource)),
    "sizes of images": (IMAGES, choices_of(choices.DataName)),
    "numbers of images": (EXAMPLES, choices_of(choices.DataName)),
    "logs": ({"off", *WRITERS}, choices_of(choices.Log)),
    "machines": ({"auto", "cpu", *KNOWN}, choices_of(choices.Device)),
    "scales": (options("scale"), {"auto", *choices_of(choices.Scale)}),
    "networks with a file": (options("model"), {"none", "own", *names_of(ModelSettings)}),
    "optimizers with a file": (options("optimizer"), {"none", *names_of(OptimizerSettings)}),
}


@pytest.mark.parametrize("what", IMPLEMENTED)
def test_what_implements_the_values_of_a_list_has_their_names(what):
    implemented, listed = IMPLEMENTED[what]
    assert set(implemented) == set(listed)


def test_scales_that_stand_for_others_are_scales():
    assert {*STANDS_FOR, *STANDS_FOR.values()} <= set(choices_of(choices.Scale))


@pytest.mark.parametrize("loss", choices_of(choices.Loss))
def test_every_loss_has_a_largest_stable_rate(loss):
    assert stable_rate(0.0, 1.0, loss=loss, stable_product=None) > 0


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        (choices_of(kind.model_fields["name"].annotation)[0], one.name, word)
        for kind in ModelSettings.__subclasses__()
        for one in described(kind)
        for word in one.choices
        if one.name not in ("name", "dtype")
    ]
    + [("fc", "trained", word) for word in choices_of(choices.Trained)]
    + [("fc", "matmul", word) for word in choices_of(choices.Products)],
)
def test_every_word_that_a_network_may_be_told_is_understood(model, field, value):
    given: dict[str, Any] = dict(width=2, depth=10, n_outputs=1, activation="relu", sigma_w2=1.0, sigma_b2=0.0)
    given |= dict(parameterization="ntk") | {field: value}
    network = build_model(model, **given)
    assert isinstance(network, nn.Module)
    assert field in {one.name for one in fields(network)}
    image = jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)
    jax.eval_shape(network.init, jax.random.key(0), image)


def test_every_setting_is_described_and_its_words_are_explained():
    for kind in KINDS:
        for one in described(kind):
            assert one.field.description or one.name == "name", one.path
            assert set(one.meanings) <= set(one.choices), one.path
            if one.meanings:
                assert set(one.meanings) >= set(one.choices) - {"auto"}, one.path


def test_the_settings_of_every_experiment_are_a_kind_of_run():
    assert {load_experiment(name).settings for name in experiment_names()} <= set(KINDS)


def test_a_stage_that_needs_a_setting_has_it_for_itself():
    needed = {stage: declared.needs[0] for stage, declared in STAGES.items() if declared.needs}
    assert needed == {"bundle": "into", "merge": "from"}
    assert all(name == SETTINGS_OF_STAGE[stage][0] for stage, name in needed.items())
    assert {stage for stage, declared in STAGES.items() if declared.at_once} == SETTINGS_OF_STAGE.keys()


def test_settings_for_runs_within_a_time_are_unset_in_the_base_configuration(root):
    base = yaml.safe_load((root / "configs" / "config.yaml").read_text())
    assert {name: base[name] for name in WITHOUT_MINUTES} == WITHOUT_MINUTES


WHERE_AND_HOW = {
    "allow_custom", "checkpoint_minutes", "compilation_cache", "data.download", "data.source", "device", "devices",
    "distributed", "flop_rate", "into", "jobs", "limit_mb", "log", "minutes", "name", "order", "other", "results_dir", "retry",
    "runs", "scale", "shard", "shards", "stage", "style", "target", "target_platform", "target_python",
}  # fmt: skip


@pytest.mark.parametrize("name", experiment_names())
def test_a_cell_is_found_by_every_setting_but_those_that_say_where_and_how_to_run(name, settings_of):
    experiment = computing(load_experiment(name))
    cell = make_cells(experiment, settings_of(experiment.name, "smoke"))[0]
    whole, identity = cell.settings.model_dump(mode="json", by_alias=True), cell.settings.identity
    # cells that were stored before there was a choice of products, of Theta and of linearity have those of the dtype, auto, none,
    # and a file of the user's is known by its content, which is there where there is a file
    before = {"theory.analytic_kernel", "linearity", "data.path"} | (
        {"matmul"} if whole.get("matmul") == "as_dtype" else set()
    )
    left_out = set(dotted(whole)) - set(dotted(identity)) - before
    assert left_out <= WHERE_AND_HOW and left_out >= WHERE_AND_HOW - {"allow_custom", "data.download", "data.source"}


def test_local_settings_and_lists_are_read_off_the_types():
    assert {"scale", "from", "into", "data.source", "data.download", "allow_custom"} <= local_settings(FreeSettings)
    assert not {"seed", "experiment", "loss", "data.name", "theory.tile_mb"} & local_settings(FreeSettings)
    excluded = local_fields(FreeSettings)
    assert (
        excluded["data"] == {"source": True, "download": True}
        and excluded["taken_from"] is True
        and excluded["model"] == {"parameters": True}
    )
    lists = {path for kind in KINDS for path in list_settings(kind)}
    schedule = {("optimizer", "schedule", "boundaries"), ("optimizer", "schedule", "factors")}
    assert lists == {("times",), ("points",), ("runs",), ("data", "classes")} | schedule


def test_groups_and_launchers_are_those_of_the_folder():
    assert groups() == ("data", "experiment", "model", "optimizer", "scale", "training")
    assert launchers() == {"basic", "local", "slurm"}
    assert {"partition", "timeout_min", "submitit_folder"} <= launcher_fields()
    assert not {"_target_", "setup", "additional_parameters"} & launcher_fields()


def test_help_lists_every_word_that_can_be_chosen(ntkrun):
    code, out, _ = ntkrun("--help")
    assert code == 0
    lines = dict(re.findall(r"^([\w./]+): (.+)$", out, flags=re.MULTILINE))
    for name, closed_list in {
        "stage": choices.Stage, "loss": choices.Loss, "style": choices.Style, "device": choices.Device,
        "model.activation": choices.Activation, "data.preprocess": choices.Preprocess, "data.source": choices.DataSource,
        "matmul": choices.Products, "order": choices.Order, "model.parameterization": choices.Parameterization,
    }.items():  # fmt: skip
        assert tuple(lines[name].split(", ")) == choices_of(closed_list), name
    for group in ("model", "data", "optimizer", "scale"):
        assert set(lines[group].split(", ")) == options(group)
    assert set(lines["optimizer.schedule.name"].split(", ")) == names_of(Schedule)
