"""The paper's own digitised points as the tables that a run would have made of them: what its claims must pass on."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ntkrun.experiments import curves
from ntkrun.experiments.analysis import final_distance, rate_scan
from ntkrun.experiments.analysis.flow_routes import POINTS
from ntkrun.experiments.figures import figs5, figs6, load_experiment
from ntkrun.experiments.figures.fig1 import NET
from ntkrun.reference import panel_points
from ntkrun.tables import AXES, COLUMNS, conform


def _rows(points: pd.DataFrame, curve: str, **settings) -> pd.DataFrame:
    """Rows of one digitised curve whose abscissa is the time."""
    fixed = {"curve": curve, "width": 1, "split": "", "index": -1}
    return pd.DataFrame({"time": points["x"], "value": points["y"]}).assign(**(fixed | settings))


def _table(figure: str, frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Frames stacked into the schema, with the columns that a table of this figure has."""
    whole = pd.concat(list(frames), ignore_index=True)
    filled = {"figure": figure, "cell": "paper", "seed": 0, "step": 0, "time": 0.0, "split": "", "index": -1}
    whole = whole.assign(**{name: value for name, value in filled.items() if name not in whole})
    settings = [name for name in whole.columns if name not in COLUMNS and name not in AXES]
    assert {*load_experiment(figure).columns} <= {*settings}, "a table of this figure has these columns"
    return conform(whole, settings)


def width_changes(figure: str) -> pd.DataFrame:
    """Figures 1 and S6."""
    stems = {"": NET} if figure == "fig1" else {f"{net}_": net for net in figs6.ROWS}
    frames = []
    for stem, kind in stems.items():
        net = {"model.activation": kind.activation, "model.depth": kind.depth}
        net |= {"data.name": kind.data} if kind.data else {}
        over_time = panel_points(figure, f"{stem}ntk_change_vs_time")
        frames += [
            _rows(points, curves.NTK_CHANGE.of(curves.NETWORK), width=int(name[1:]), **net)
            for name, points in over_time.items()
        ]
        end, widths = max(points["x"].max() for points in over_time.values()), {int(name[1:]) for name in over_time}
        at_end = [("nngp_change", "network", curves.NNGP_CHANGE, -1)]
        at_end += [
            ("weight_change", name, curves.WEIGHT_CHANGE, index)
            for index, name in enumerate(sorted(panel_points(figure, f"{stem}weight_change_vs_width")))
        ]
        for panel, name, quantity, index in at_end:
            points = panel_points(figure, f"{stem}{panel}_vs_width")[name]
            points = points[points["x"].isin(widths)]
            frame = _rows(points, quantity.of(curves.NETWORK), index=index, **net)
            frames.append(frame.assign(width=points["x"].astype(int).to_numpy(), time=end))
    return _table(figure, frames)


# what the paper calls a curve of its panel of distances
DISTANCES = {
    "fig3": {"empirical": curves.FLOW_EMPIRICAL, "analytic": curves.FLOW_ANALYTIC},
    "fig4": {},
    "figs2": {"empirical": curves.LINEAR},
    "figs3": {"empirical": curves.LINEAR},
    "figs8": {"empirical": curves.FLOW_EMPIRICAL},
}


def trajectories(figure: str, width: int) -> pd.DataFrame:
    """Figures 3, 4, S2, S3, S8: losses, accuracies, test outputs and distances of one network."""
    frames = []
    for quantity in (curves.LOSS, curves.ACCURACY):
        for name, points in panel_points(figure, quantity).items():
            split, rival = name.split("_")
            points = points.assign(y=points["y"].clip(lower=0.0))  # a loss of 0 is read off as -3e-6
            frames.append(_rows(points, quantity.of(rival), split=split))
    for name, points in panel_points(figure, "test_output").items():
        stem, rival = name.split("_")
        index = int(stem.removeprefix("sample").removeprefix("logit"))
        frames.append(_rows(points, curves.OUTPUT.of(rival), split="test", index=index))
    for kernel, rival in DISTANCES[figure].items():
        points = panel_points(figure, "rmse")[f"{kernel}_kernel"]
        frames.append(_rows(points, curves.RMSE.of(rival), split="test"))
    return _table(figure, [frame.assign(width=width) for frame in frames])


def logits() -> pd.DataFrame:
    """Figure S4, its rms over the five images."""
    frames = []
    for width in figs_widths():
        panel = panel_points("figs4", f"n{width}")
        pairs = [[panel[f"logit{i}_{rival}"] for rival in (curves.NETWORK, curves.LINEAR)] for i in range(POINTS)]
        apart = np.sqrt(np.mean([(ours["y"].to_numpy() - lin["y"].to_numpy()) ** 2 for ours, lin in pairs], axis=0))
        points = pairs[0][0].assign(y=apart)
        frames.append(_rows(points, curves.RMS.of(curves.LINEAR), width=width))
    return _table("figs4", frames)


def figs_widths() -> list[int]:
    return [2**j for j in range(5, 13)]


def final_distances() -> pd.DataFrame:
    """Figure S5."""
    frames = []
    for panel in (figs5.DEPTH, figs5.CNN, figs5.RESNET, figs5.SIZE):
        for value, points in panel.paper().items():
            # |D| = 128 of the last panel is L = 2 of the first
            if panel is figs5.SIZE and value == 128:
                continue
            held, at = panel.held
            frame = pd.DataFrame({"width": points.index.astype(int), "value": points.to_numpy()})
            settings = {final_distance.LAYERS: 0, final_distance.SIZES: 0, "model.name": panel.net}
            settings |= {held: at, panel.by: value}
            cells = [f"{panel.name},{value},{width}" for width in frame["width"]]
            frames.append(
                frame.assign(curve=curves.RMSE.of(curves.LINEAR), split="test", step=1, cell=cells, **settings)
            )
    return _table("figs5", frames)


ETAS = np.geomspace(2e-4, 90, 60)  # within the rates of every curve


def rates() -> pd.DataFrame:
    """Figure S7: running medians of its scattered points, at common rates."""
    frames = []
    for data in ("mnist", "cifar10"):
        for (phi, loss), name in rate_scan.CASES.items():
            for parameterization in rate_scan.STYLES:
                points = panel_points("figs7", data)[f"{name}_{parameterization}"]
                smooth = points["y"].rolling(9, center=True, min_periods=1).median()
                found = np.interp(np.log(ETAS), np.log(points["x"]), smooth)
                case = dict(zip(rate_scan.COLUMNS, (data, phi, loss, parameterization), strict=True))
                for quantity, values in ((curves.ACCURACY, found), (curves.FINITE, 1.0)):
                    frame = pd.DataFrame({"eta": ETAS, "value": values, "width": 1})
                    frames.append(frame.assign(curve=quantity.of(curves.NETWORK), split="test", **case))
    return _table("figs7", frames)


def kernel_errors(figure: str) -> pd.DataFrame:
    """Figures S9 and S10."""
    frames = []
    panels = (("nngp", 1), ("ntk", 1)) if figure == "figs10" else [(k, d) for k in ("nngp", "ntk") for d in (1, 3)]
    for kernel, depth in panels:
        for name, points in panel_points(figure, kernel if figure == "figs10" else f"{kernel}_l{depth}").items():
            along, fixed = ("M", "width") if figure == "figs10" else ("width", "M")
            frame = pd.DataFrame({along: points["x"].astype(int), "value": points["y"], fixed: int(name[1:])})
            frames.append(frame.assign(curve=curves.ERROR.of(kernel), **{"model.depth": depth}))
    return _table(figure, frames)


WIDTHS = {"fig3": 2048, "fig4": 1024, "figs2": 512, "figs3": 2048, "figs8": 2048}


def paper_table(figure: str) -> pd.DataFrame:
    """The paper's points of a figure as a table."""
    if figure in WIDTHS:
        return trajectories(figure, WIDTHS[figure])
    if figure in ("fig1", "figs6"):
        return width_changes(figure)
    if figure in ("figs9", "figs10"):
        return kernel_errors(figure)
    return {"figs4": logits, "figs5": final_distances, "figs7": rates}[figure]()
