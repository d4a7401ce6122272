"""The tables of docs/recovered_settings.md, as Markdown, from the parts that are there."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from recover.hypotheses import PRINTED, short
from recover.joint import IMAGES, TENSORFLOW, added, at_factor, chosen_by_the_others
from recover.likelihood import averaged
from recover.rates import agreement

KEPT = ["figure", *IMAGES, "sigma_w2", "c", "log_likelihood", "p_value"]
AIRPLANE_HORSE = short(PRINTED)
APART = ("learning_rates", "edges", "checks", "sigmas", "scales")  # not of the form of the other parts


def read(into: Path, *parts: str) -> pd.DataFrame:
    """The tables of these parts, classes as text."""
    table = pd.concat([pd.read_parquet(into / f"{part}.parquet") for part in parts], ignore_index=True)
    return table.assign(classes=[short(tuple(one)) for one in table["classes"]])


def averaged_of(values: pd.Series) -> float:
    return averaged(values.to_numpy())


def markdown(table: pd.DataFrame, digits: int = 1) -> str:
    """A table with its index as first columns; numbers to so many digits, nan as nothing."""
    flat = table.reset_index()
    lines = ["| " + " | ".join(map(str, flat.columns)) + " |", "|---" * flat.shape[1] + "|"]
    for row in flat.itertuples(index=False):
        cells = [("" if np.isnan(v) else f"{v:.{digits}f}") if isinstance(v, float) else str(v) for v in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def of_the_loss_curves(into: Path) -> pd.DataFrame:
    """Figures 3 and S8 with the printed classes: for each rule and q the best c of both, and the sum."""
    table = read(into, "losses")
    best = table.loc[table.groupby(["figure", *IMAGES])["log_likelihood"].idxmax()].set_index(["rule", "q"])
    parts = {name: best[best["figure"] == name] for name in ("fig3", "figs8", "figs8 (S37)")}
    columns = {
        f"{name}, {what}": one[what] for name, one in parts.items() for what in ("c", "log_likelihood", "p_value")
    }
    wide = pd.DataFrame(columns)
    total = wide["fig3, log_likelihood"] + wide["figs8 (S37), log_likelihood"]
    return wide.assign(sum=total).sort_values("sum", ascending=False)


def by_classes(into: Path, rule: str) -> dict[str, pd.Series]:
    """Log-likelihoods by classes: Figures 3 and S8 with `rule` and the loss's factor 1, S2 and S6 with `global` and 1/2."""
    curves = at_factor(read(into, "losses_of_classes"), 2.0)
    curves = curves[(curves["rule"] == rule) & (curves["q"] == 1.0)]
    networks = at_factor(read(into, "convolutional"), 1.0)
    moved = read(into, "displaced")
    moved = moved[(moved["sigma_w2"] == 2.0) & (moved["c"] == 1.0) & (moved["q"] == 1.0)]
    found = {name: curves[curves["figure"] == name] for name in TENSORFLOW if name != "fig2"}
    found |= {"figs2": networks[networks["rule"] == "global"], "figs6": moved[moved["rule"] == "global"]}
    return {name: table.set_index("classes")["log_likelihood"] for name, table in found.items()}


def of_the_classes(into: Path, rule: str, shown: int = 12) -> pd.DataFrame:
    wide = pd.DataFrame(by_classes(into, rule)).dropna()
    wide = wide.assign(sum=wide.sum(axis=1)).sort_values("sum", ascending=False)
    return pd.concat([wide.head(shown), wide.loc[[AIRPLANE_HORSE]]])


def of_one_code_base(into: Path) -> pd.DataFrame:
    """Figures 2, 3 and S8 at the loss's factors 1/2 and 1."""
    rows = [read(into, part) for part in ("losses", "losses_of_classes", "lines")]
    table = pd.concat(rows, ignore_index=True).drop_duplicates(["figure", *IMAGES, "c"])
    both = pd.concat([at_factor(table, factor) for factor in (1.0, 2.0)])
    return added(both, TENSORFLOW)


def pages(into: Path) -> Iterator[tuple[str, str]]:
    there = {path.stem for path in into.glob("*.parquet")}
    if "losses" in there:
        yield "Figures 3 and S8, printed classes", markdown(of_the_loss_curves(into).head(16))
    if {"losses", "losses_of_classes", "lines"} <= there:
        yield "Figures 2, 3 and S8 together", markdown(of_one_code_base(into).head(12))
    if {"losses_of_classes", "convolutional", "displaced"} <= there:
        for rule in ("per_image", "sphere", "zca"):
            yield f"Classes ({rule} in Figures 3 and S8)", markdown(of_the_classes(into, rule))
        found = chosen_by_the_others(by_classes(into, "per_image"), AIRPLANE_HORSE)
        yield "Classes chosen by the other figures", markdown(found)
    if "checks" in there:
        keys = ["rule", "classes", "balanced", "nugget"]
        table = read(into, "checks").groupby(["figure", *keys])["log_likelihood"].agg(averaged_of).unstack("figure")
        yield "Nuggets and balance", markdown(table.assign(sum=table.sum(axis=1)).sort_index(level="nugget"))
    if "scales" in there:
        table = read(into, "scales").groupby(["classes", "q", "figure"])["log_likelihood"].max().unstack("figure")
        yield "The scale of the inputs in Figures 2, 3 and S8", markdown(table)
    if "sigmas" in there:
        table = read(into, "sigmas").set_index(["sigma_w2", "sigma_b2", "classes", "c"])[["log_likelihood", "p_value"]]
        best = table.loc[table.groupby(level=["sigma_w2", "sigma_b2", "classes"])["log_likelihood"].idxmax()]
        yield "Figure S2, variances or standard deviations", markdown(best, 2)
    if "trained" in there:
        columns = [name for name in map(str, pd.read_parquet(into / "trained.parquet")) if name.startswith("t")]
        table = read(into, "trained").set_index(["rule", "sigma_w2", "c", "classes"])[["log_likelihood", *columns]]
        yield "Figure S6, trained", markdown(table.sort_values("log_likelihood", ascending=False), 2)
    if "edges" in there:
        table = pd.read_parquet(into / "edges.parquet").set_index(["depth", "sigma_w2", "sigma_b2"])
        yield "Figure S7, where squared loss diverges", markdown(table)
    if "learning_rates" in there:
        table = pd.read_parquet(into / "learning_rates.parquet")
        keys = ["depth", "sigma_w2", "sigma_b2", "divided by 10", "halved"]
        yield "Figure S7", markdown(agreement(table).set_index(keys), 2)


def told(into: Path) -> list[str]:
    """The parts that are there and of the form of `evidence`."""
    return [path.stem for path in sorted(into.glob("*.parquet")) if path.stem not in APART]


def evidence(into: Path) -> pd.DataFrame:
    """All parts in one table, for each hypothesis its best c."""
    found = [read(into, part) for part in told(into)]
    table = pd.concat(found, ignore_index=True).reindex(columns=KEPT).fillna({"sigma_w2": 0.0})
    best = table.loc[table.groupby(["figure", *IMAGES, "sigma_w2"])["log_likelihood"].idxmax()]
    return best.round({"c": 3, "log_likelihood": 2, "p_value": 3}).replace({"sigma_w2": {0.0: np.nan}})
