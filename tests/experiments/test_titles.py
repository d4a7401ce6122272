"""Titles say what was run: with the shipped settings as they are, with others the words for those."""

import re
from typing import Any

import numpy as np
import paper_tables
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from ntkrun.experiments.base import Experiment
from ntkrun.experiments.claims import Verdict
from ntkrun.experiments.figures import computing, experiment_names, load_experiment
from ntkrun.experiments.style import ANOTHER, PaperCurve
from ntkrun.experiments.symbols import in_symbols, told_as_stand_ins
from ntkrun.report.deviation import deviations, distance, rows_of
from ntkrun.report.judge import claims_table
from ntkrun.runner.plan import make_cells

# another value of each setting that a title may name, and what the title then says
OTHERS = {
    "data.name": ("data.name=fashion_mnist", "fashion_mnist"),
    "model.activation": ("model.activation=gelu", "GELU"),
    "model.depth": ("model.depth=7", "7|seven"),
    "model.name": ("model=fc", "a wide fully-connected network"),
    "model.parameterization": ("model.parameterization=ntk", "NTK"),
    "optimizer.name": ("optimizer.name=gd", "gradient descent"),
    "optimizer.batch_size": ("optimizer.batch_size=4", "mini-batch"),
    "loss": ("loss=mse", "squared loss"),
    "networks": ("networks=3", "12"),
}
OTHERS_OF = {
    ("figs3", "optimizer.batch_size"): ("optimizer.batch_size=null", "full batches"),
    ("figs2", "optimizer.name"): ("optimizer.name=gd optimizer.momentum=0", "gradient descent"),
    ("figs2", "model.name"): ("model=fc", "a wide fully-connected network"),
    ("lockstep", "model.name"): ("model=cnn", "convolutional, ReLU, three convolutions"),
    ("fig4", "model.name"): ("model=fc", "a wide fully-connected network"),
}
# what a title may say of settings; each such word has to be one that is replaced
TELLING = re.compile(
    r"MNIST|CIFAR-10|ReLU|tanh|L = \d|convolution\w*|residual|heavy ball|batch\w*|cross-entropy|standard|\d{2,}"
)


def titled(experiment: Experiment, raw: dict[str, Any], **how: bool) -> str:
    source = computing(experiment)
    cells = make_cells(source, raw | {"experiment": source.name})
    return experiment.titled([(cell.part, cell.settings) for cell in cells], **how)


@pytest.mark.parametrize("name", experiment_names())
def test_with_the_shipped_settings_a_title_stays_and_every_word_of_it_about_settings_is_named(settings_of, name):
    experiment = load_experiment(name)
    for scale in ("cpu", "gpu", "paper"):
        assert titled(experiment, settings_of(name, scale)) == experiment.title
    assert all(experiment.title.count(word) == 1 for word in experiment.title_names)
    told = experiment.title.partition(":")[2]
    fixed = {"figs4": {"cross-entropy"}}.get(name, set())  # nothing else has two routes
    for word in set(TELLING.findall(told)) - fixed:
        assert any(word in named for named in experiment.title_names), word


NAMED = [(name, word) for name in experiment_names() for word in load_experiment(name).title_names]


@pytest.mark.parametrize("name, word", NAMED)
def test_another_value_is_told_in_place_of_the_shipped_one(settings_of, name, word):
    experiment = load_experiment(name)
    setting = experiment.title_names[word].setting
    typed, words = OTHERS_OF.get((name, setting), OTHERS[setting])
    raw = settings_of(name, "cpu", *typed.split())
    if raw.get("parts"):  # those that have a value of their own
        raw |= {"parts": {part: own for part, own in raw["parts"].items() if part not in ("tanh3", "cifar10")}}
        raw["parts"].get("relu1", {}).get("model", {}).update(depth=7)
    told = titled(experiment, raw)
    assert word not in told and re.search(words, told), told


def test_own_data_sweeps_and_stand_ins_are_told(settings_of, tmp_path):
    np.savez(tmp_path / "grey.npz", x=np.zeros((6, 4)), y=np.arange(6) % 2)
    fig1, figs9 = load_experiment("fig1"), load_experiment("figs9")
    own = settings_of("fig1", "cpu", "data.name=own", f"data.path={tmp_path}/grey.npz")
    assert titled(fig1, own).endswith("(own data (grey.npz), ReLU, L = 3)")
    swept = settings_of("fig1", "cpu", "model.activation=[relu,leaky_relu:0.1]", "model.depth=[1,2,4]")
    assert titled(fig1, swept).endswith("(MNIST, ReLU and leaky ReLU:0.1, L = 1, 2 and 4)")
    assert titled(figs9, settings_of("figs9", "cpu", "model.depth=3")).endswith("(ReLU, L = 3)")
    lockstep = load_experiment("lockstep")
    swept = settings_of("lockstep", "cpu", "model=cnn", "model.depth=[1,2]", "data=mnist")
    assert titled(lockstep, swept).endswith("(MNIST, convolutional, ReLU, one convolution and two convolutions)")
    plain = settings_of("fig1", "cpu")
    asked = settings_of("fig1", "cpu", "data.source=stand_in")
    there = "(images in place of MNIST, ReLU, L = 3)"
    assert titled(fig1, plain, stand_ins=True).endswith(there) and titled(fig1, asked).endswith(there)


ON_IMAGES = [name for name in experiment_names() if name not in ("figs9", "figs10")]


@pytest.mark.parametrize("name", ON_IMAGES)
def test_every_title_of_a_run_on_other_images_names_them(settings_of, name, tmp_path):
    np.savez(tmp_path / "tanh.npz", x=np.zeros((6, 4)), y=np.arange(6) % 2)
    experiment, shipped = load_experiment(name), settings_of(name, "cpu")
    parts = shipped.get("parts") or {}

    def on(*typed: str) -> str:
        raw = settings_of(name, "cpu", *typed)
        if name in ("figs6", "figs7"):  # whose parts have images of their own
            raw["parts"] = {"tanh3": parts["tanh3"]} if name == "figs6" else {}
        return titled(experiment, raw)

    assert on("data.name=own", f"data.path={tmp_path}/tanh.npz").count("own data (tanh.npz)") == 1
    assert on("data.name=fashion_mnist").count("fashion_mnist") == 1
    assert "images in place of" in titled(experiment, shipped, stand_ins=True)
    for left_out in parts if name in ("figs6", "figs7") else ():  # what is left is on the shipped images
        assert "(" not in titled(experiment, shipped | {"parts": parts | {left_out: None}})


def test_other_images_stand_first_in_the_parentheses_of_a_title(settings_of):
    def told(name: str, **how: bool) -> str:
        return titled(load_experiment(name), settings_of(name, "cpu", "data.name=fashion_mnist"), **how)

    assert told("figs1").endswith("infinite width (fashion_mnist, tanh, L = 3)")
    assert told("figs8") == "Figure S8: Figure 3 in the standard parameterization (fashion_mnist)"
    shipped = titled(load_experiment("figs6"), settings_of("figs6", "cpu"), stand_ins=True)
    assert shipped.endswith("(images in place of CIFAR-10 and MNIST)")


def test_panels_on_stand_in_images_say_so():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    left.set_title("mnist")
    right.set(ylabel="three hidden tanh layers, MNIST\nrelative change", title="CIFAR-10")
    right.set_xlabel("paper (MNIST, ReLU), another image")
    told_as_stand_ins(figure, ["mnist"])
    in_symbols(figure)
    assert left.get_title() == "stand-in for MNIST" and "stand-in for MNIST\n" in right.get_ylabel()
    assert right.get_title() == "CIFAR-10", "these are there"
    assert right.get_xlabel() == "paper (MNIST, ReLU), another image", "which is what the paper had"


def test_a_claim_that_is_not_about_this_run_is_not_said_of_it():
    def told(reason: str) -> str:
        verdict: Any = "not_judged" if reason else "pass"
        one = Verdict(
            "figs7.best", "figs7", "s", "read_off", "1", 0.0, 1.0, 0.5, verdict, "w", "Best on MNIST.", reason
        )
        return claims_table([one])

    assert "\n    Best on MNIST." in told("") and "\n    Best on MNIST." in told("it is about scale=paper")
    for reason in ("data.path changed", "stand-in images"):
        assert "Of the paper's run, not of this one: Best on MNIST." in told(reason)


def of_the_paper(figure: Figure) -> tuple[set[Any], list[str]]:
    """(colours of the paper's points, legend entries that speak of it)."""
    legends = [one for one in figure.findobj(Legend) if isinstance(one, Legend)]
    told = [text.get_text() for one in legends for text in one.get_texts()]
    points = [line for line in figure.findobj(PaperCurve) if isinstance(line, PaperCurve)]
    return {to_hex(line.get_color()) for line in points}, [text for text in told if text.startswith("paper")]


def drawn_with(settings_of, name: str, *typed: str) -> Figure:
    """The paper's own points as a run with these settings, whose cells are all one."""
    experiment = load_experiment(name)
    (cell,) = make_cells(experiment, settings_of(name, "cpu", *typed))[:1]
    table = MAKERS[name]()
    return experiment.plot(table, dict.fromkeys(table["cell"].unique(), (cell.part, cell.settings)))


MAKERS = {
    "fig1": lambda: paper_tables.width_changes("fig1"),
    "fig3": lambda: paper_tables.trajectories("fig3", 512),
    "figs10": lambda: paper_tables.kernel_errors("figs10"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_papers_points_beside_another_problem_are_grey_and_the_legend_says_of_what_they_are(settings_of, name):
    as_shipped, told = of_the_paper(drawn_with(settings_of, name))
    assert len(as_shipped) > 1 and told and not any("(" in one for one in told)
    figure = drawn_with(settings_of, name, "model.activation=erf")
    grey, told = of_the_paper(figure)
    assert grey == {to_hex(ANOTHER)} and all(one.startswith("paper (ReLU)") for one in told)
    rows = deviations(figure, name)
    assert rows["note"].str.contains("ReLU in the paper, erf here").all() and distance(rows_of(rows.to_csv())) == ""


CLASSES = [("fig3", "paper (its two classes)"), ("fig1", "paper (all classes)")]


@pytest.mark.parametrize(("name", "of"), CLASSES)
def test_other_classes_are_another_problem_and_those_that_the_curves_prefer_are_not(settings_of, name, of):
    for shipped in ([f"data.classes=[{pair}]"] for pair in ("horse,frog", "airplane,horse", "6,7") if name == "fig3"):
        assert not any("(" in one for one in of_the_paper(drawn_with(settings_of, name, *shipped))[1])
    grey, told = of_the_paper(drawn_with(settings_of, name, "data.classes=[3,5]"))
    assert grey == {to_hex(ANOTHER)} and told and all(one.startswith(of) for one in told)


def test_of_other_images_the_classes_are_not_told(settings_of):
    _, told = of_the_paper(drawn_with(settings_of, "fig3", "data=mnist", "data.classes=[3,5]"))
    assert told and all(one.startswith("paper (CIFAR-10)") for one in told)


def test_a_row_of_other_classes_is_another_problem_and_the_other_row_is_not(settings_of):
    """Figure S6: two classes above, all ten below."""
    experiment, table = load_experiment("figs6"), paper_tables.paper_table("figs6")
    table = table.assign(cell=table["model.activation"])

    def notes(typed: str) -> dict[str, bool]:
        """relu1, tanh3 -> whether its points are said to be of another problem."""
        cells = {cell.part: cell for cell in make_cells(experiment, settings_of("figs6", "cpu", *typed.split()))}
        ran = {phi: (part, cells[part].settings) for phi, part in (("relu", "relu1"), ("tanh", "tanh3"))}
        figure = experiment.plot(table, ran)
        lines = [line for line in figure.findobj(PaperCurve) if isinstance(line, PaperCurve)]
        for line in lines:
            legend = line.axes and line.axes.get_legend()
            told = [text.get_text() for text in legend.get_texts()] if legend else []
            said = [text for text in told if text.startswith("paper")]
            assert {text.count(" (") for text in said} <= {int(bool(line.note))}, said
        return {part: any(line.note for line in lines if line.panel.startswith(part)) for part in ("relu1", "tanh3")}

    assert notes("") == {"relu1": False, "tanh3": False}
    assert notes("parts.relu1.data.classes=[cat,dog]") == {"relu1": True, "tanh3": False}
    assert notes("parts.relu1.data.classes=[horse,airplane]") == {"relu1": False, "tanh3": False}
    assert notes("+parts.tanh3.data.classes=[3,8]") == {"relu1": False, "tanh3": True}


OTHER_NETWORKS = {
    "figs6": ("data.name", {"mnist": "own"}),
    "figs9": ("model.depth", {1: 5, 3: 6}),
    "figs7": ("data.name", {"mnist": "own", "cifar10": "fashion_mnist"}),
}


@pytest.mark.parametrize("name", OTHER_NETWORKS)
def test_where_nothing_of_the_paper_is_drawn_no_legend_speaks_of_it(name):
    column, others = OTHER_NETWORKS[name]
    table = paper_tables.paper_table(name)
    figure = load_experiment(name).plot(table.assign(**{column: table[column].replace(others)}))
    if name != "figs6":
        assert of_the_paper(figure) == (set(), [])
    texts = [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
    assert name == "figs9" or [text for text in texts if "own data" in text]
    assert not [text for text in texts if "mnist" in text.replace("fashion_mnist", "") or "MNIST" in text]
    for ax in figure.axes:
        told = ax.get_legend()
        if told is not None and not any(isinstance(line, PaperCurve) for line in ax.lines):
            assert not [text.get_text() for text in told.get_texts() if text.get_text().startswith("paper")]
