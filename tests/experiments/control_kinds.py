"""What can be wrong with a table: named faults, each a function from a right table to a wrong one.

A fault that takes parameters returns the function.  docs/claims.md lists the kinds.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from ntkrun.experiments import curves

Fault = Callable[[pd.DataFrame], pd.DataFrame]


def clock(factor: float) -> Fault:
    """A clock or a rate wrong by a factor: what is reached at t stands at `factor` t."""
    return lambda table: table.assign(time=table["time"] * factor)


def stopped(share: float) -> Fault:
    """A run that ends at 1/share of its time."""
    return lambda table: table[table["time"] <= table["time"].max() / share]


def wider_than(width: int) -> Fault:
    """Without the narrow networks."""
    return lambda table: table[table["width"] > width]


def rate(factor: float) -> Fault:
    """Figure S7: the learning rate told is `factor` times the one taken, for the standard parameterization alone."""

    def wrong(table: pd.DataFrame) -> pd.DataFrame:
        of_standard, grid = table["model.parameterization"] == "standard", table["eta"].unique()
        told = table["eta"].where(~of_standard, table["eta"] * factor)
        return table.assign(eta=_nearest(told, grid))[told.between(grid.min(), grid.max())]

    return wrong


def _nearest(values: pd.Series, grid: np.ndarray) -> np.ndarray:
    """The nearest value of the grid to each value."""
    return grid[np.abs(np.log(values.to_numpy()[:, None] / grid[None, :])).argmin(axis=1)]


def times_power_of(column: str, power: float, curve: str = "") -> Fault:
    """A factor column^power too much, 1 at its smallest: a kernel without its 1/n, an error that M does not reduce."""

    def wrong(table: pd.DataFrame) -> pd.DataFrame:
        factor = (table[column] / table[column].min()).astype(float) ** power
        chosen = table["curve"].eq(curve) | (not curve)
        return table.assign(value=table["value"] * factor.where(chosen, 1.0))

    return wrong


def scaled(factor: float, *names: str) -> Fault:
    """Curves wrong by a factor, as by a 1/2 or a k too much."""
    return lambda table: table.assign(value=table["value"].where(~table["curve"].isin(names), table["value"] * factor))


def exchanged(first: str, second: str, column: str = "curve") -> Fault:
    """Two curves, or two values of a setting, one in the place of the other."""
    return lambda table: table.assign(**{column: table[column].replace({first: second, second: first})})


def in_place_of(wrong_one: str, right_one: str, column: str = "curve", **where: object) -> Fault:
    """The rows of one curve, or of one value of a setting, in the place of another's, where `where` holds."""

    def wrong(table: pd.DataFrame) -> pd.DataFrame:
        meant = (
            np.logical_and.reduce([table[name] == value for name, value in where.items()], axis=0) if where else True
        )
        right = (table[column] == right_one) & meant
        copied = table[(table[column] == wrong_one) & meant].assign(**{column: right_one})
        return pd.concat([table[~right], copied], ignore_index=True)

    return wrong


def of_another_time(curve: str, there: float, here: float) -> Fault:
    """A curve at one time replaced by itself at another."""

    def wrong(table: pd.DataFrame) -> pd.DataFrame:
        of_curve = table["curve"] == curve
        moved = table[of_curve & (table["time"] == there)].assign(time=here)
        return pd.concat([table[~(of_curve & (table["time"] == here))], moved], ignore_index=True)

    return wrong


def of_another_width(factor: float) -> Fault:
    """Networks of `factor` times the width that is told; the widths told are those of both."""

    def wrong(table: pd.DataFrame) -> pd.DataFrame:
        moved = table.assign(width=(table["width"] / factor).astype(int))
        return moved[moved["width"].isin(table["width"].unique())]

    return wrong


def widths_reversed(table: pd.DataFrame) -> pd.DataFrame:
    """Narrow networks told as wide ones and the reverse."""
    widths = np.sort(table["width"].unique())
    return table.assign(width=table["width"].map(dict(zip(widths, widths[::-1], strict=True))))


def layers_exchanged(table: pd.DataFrame) -> pd.DataFrame:
    """Weights of the outer layers told as those inside and the reverse."""
    of_weights = table["curve"] == curves.WEIGHT_CHANGE.of(curves.NETWORK)
    other = table["index"].map({0: 1, 1: 0, 2: 3, 3: 2}).fillna(table["index"]).astype(int)
    return table.assign(index=table["index"].where(~of_weights, other))


def held(*rivals: str) -> Fault:
    """Models that stay as they are at theta_0: outputs, losses, accuracies; the distance of network and f_lin with them.

    The distance is that of the followed test outputs.
    """

    def wrong(table: pd.DataFrame) -> pd.DataFrame:
        mine = table["curve"].str.split("/").str[1].isin(rivals) & ~table["curve"].str.startswith(curves.RMSE)
        first = table.sort_values("time").groupby(["curve", "split", "index"])["value"].transform("first")
        still = table.assign(value=table["value"].where(~mine, first.reindex(table.index)))
        return with_distance(still)

    return wrong


def with_distance(table: pd.DataFrame) -> pd.DataFrame:
    """The distance of network and f_lin as the followed test outputs have it."""
    outputs = table[table["split"] == "test"].pivot_table(index=["time", "index"], columns="curve", values="value")
    apart = outputs[curves.OUTPUT.of(curves.NETWORK)] - outputs[curves.OUTPUT.of(curves.LINEAR)]
    rms = (apart**2).groupby("time").mean() ** 0.5
    of_distance = table["curve"] == curves.RMSE.of(curves.LINEAR)
    return table.assign(value=table["value"].where(~of_distance, table["time"].map(rms)))


def another_theta_0(table: pd.DataFrame) -> pd.DataFrame:
    """f_lin of another theta_0: that of another seed where there are two, else that of the next image."""
    linear = table["curve"] == curves.OUTPUT.of(curves.LINEAR)
    if table["seed"].nunique() > 1:
        mine = table["seed"] == table["seed"].min()
        theirs = table[linear & ~mine].assign(seed=table["seed"].min())
        return with_distance(pd.concat([table[mine & ~linear], theirs], ignore_index=True))
    count = int(table.loc[linear, "index"].max()) + 1
    return with_distance(table.assign(index=table["index"].where(~linear, (table["index"] + 1) % count)))


def time_reversed(table: pd.DataFrame) -> pd.DataFrame:
    """The last record told as the first."""
    times = np.sort(table["time"].unique())
    return table.assign(time=table["time"].map(dict(zip(times, times[::-1], strict=True))))


def chance(classes: int, *rivals: str) -> Fault:
    """Accuracies of guessing: labels of other images."""
    names = [curves.ACCURACY.of(rival) for rival in rivals]
    return lambda table: table.assign(value=table["value"].where(~table["curve"].isin(names), 1 / classes))


def loss_of_other_labels(table: pd.DataFrame) -> pd.DataFrame:
    """Squared test loss of an f as large as before on targets +-1 that know nothing of it: (1 + f^2)/2.

    f^2 is that of the followed test outputs of the network.
    """
    outputs = table[(table["curve"] == curves.OUTPUT.of(curves.NETWORK)) & (table["split"] == "test")]
    square = (outputs["value"] ** 2).groupby(outputs["time"]).mean()
    mine = (table["curve"] == curves.LOSS.of(curves.NETWORK)) & (table["split"] == "test")
    return table.assign(value=table["value"].where(~mine, (1 + table["time"].map(square)) / 2))


def not_normalised(table: pd.DataFrame) -> pd.DataFrame:
    """Figure 2: inputs alpha x_1 + (1 - alpha) x_2 as they are, whose K grows with their norm."""
    alphas = table[table["curve"] == curves.ALPHA].groupby("index")["value"].first()
    at = table["index"].map(alphas)
    mine = table["curve"] == curves.VARIANCE.of(curves.NTK)
    return table.assign(value=table["value"].where(~mine, table["value"] * (at**2 + (1 - at) ** 2)))


def constant(value: float, curve: str) -> Fault:
    """A curve that stands at one value."""
    return lambda table: table.assign(value=table["value"].where(table["curve"] != curve, value))
