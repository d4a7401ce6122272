"""The measured numbers in the text of README.md and docs/, renewed from results/reference.

    python scripts/measured_numbers.py             make numbers: writes those that have changed
    python scripts/measured_numbers.py --check     names them and ends with exit code 1

A number is followed by a comment that says where it stands; how many digits it has is how it is written:

    .177<!-- = cpu fig3.train_loss_t10 -->                    what a claim measured (claims.json)
    7<!-- = cpu fig3 passed -->                               how claims fared: passed, judged, fitted_passed, fitted, not_judged
    14<!-- = % cpu fig3 distance loss/train_network -->       ours from the paper's curve (deviation.csv; signed, largest), in %
    .52<!-- = cpu fig3 apart octaves -->                      of all curves, as README's table of figures has it; `apart panel`
    .312<!-- = gpu figs2 loss/network train 10 -->            a curve of the table: split (- for neither), time or `end`, then what
    .47<!-- = gpu figs4 rms/linear test end width=4096 -->    its cells and columns are to have; the mean of several networks
    .204<!-- = curves fig3/loss/train_network 10 -->          a point of the paper's curves
    1.5<!-- = cpu figs8.rmse_end / paper figs8.rmse_end -->   a quotient of two of these

A minus before all that turns the sign, `log2` takes the logarithm.  Between two records a number is on the straight line over
log t.  Below a table a comment may say it of a whole row, with {} for the number at the head of each column (columns without
one are left as they are):

    <!-- row paper: curves figS4/n{}/logit0_network 100 -->
"""

import argparse
import csv
import functools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from ntkrun.report.counts import Counts
from ntkrun.report.deviation import distance as all_apart

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "results" / "reference"
MARKED = re.compile(
    r"(?P<number>[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[-+]?\d+)?)(?P<after>\**(?: ?%)?)<!-- = (?P<query>[^>]+) -->"
)
ROW = re.compile(r"^<!-- row (?P<row>[^:\n]+): (?P<query>[^\n]+) -->\n", flags=re.MULTILINE)
TABLE = re.compile(r"(?P<table>(?:^ *\|[^\n]*\n)+)(?P<told>(?:<!-- row [^\n]+ -->\n)+)", flags=re.MULTILINE)
COUNTS = ("passed", "judged", "fitted_passed", "fitted", "not_judged")


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def renewed(text: str) -> str:
    """The text with every marked number as it is in the tables; ValueError for a marker that names none."""
    if lost := text.count("<!-- = ") - len(MARKED.findall(text)):
        raise ValueError(f"{lost} marker(s) <!-- = ... --> without a number before them")
    if text.count("<!-- row ") != sum(found["told"].count("<!-- row ") for found in TABLE.finditer(text)):
        raise ValueError("a marker <!-- row ... --> that is not below a table")
    text = TABLE.sub(lambda found: with_rows(found["table"], found["told"]) + found["told"], text)
    return MARKED.sub(
        lambda found: written(value(found["query"]), found["number"]) + found[0][len(found["number"]) :], text
    )


def with_rows(table: str, told: str) -> str:
    """The table with the rows renewed that are told of."""
    lines = table.splitlines(keepends=True)
    heads = [re.search(r"[\d,]+$", cell.strip()) for cell in lines[0].split("|")[2:-1]]
    for found in ROW.finditer(told):
        of_row = [number for number, line in enumerate(lines) if line.split("|")[1].strip() == found["row"]]
        if len(of_row) != 1:
            raise ValueError(f"the table above {found[0].strip()} has {len(of_row)} such rows")
        cells = lines[of_row[0]].split("|")
        for column, head in enumerate(heads, start=2):
            old = cells[column].strip()
            if head and old:
                cells[column] = f" {written(value(found['query'].replace('{}', head[0].replace(',', ''))), old)} "
        lines[of_row[0]] = "|".join(cells)
    return "".join(lines)


def written(number: float, like: str) -> str:
    """The number with as many digits as `like` has: .18, 1,024, 2e-7, and a leading zero where that has one."""
    digits = len(re.sub(r"e.*", "", like).partition(".")[2])
    if "e" in like:
        mantissa, exponent = f"{number:.{digits}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    told = f"{number:,.{digits}f}" if "," in like else f"{number:.{digits}f}"
    told = told if float(told.replace(",", "")) else told.lstrip("-")
    return told if re.match(r"[-+]?0\.", like) else re.sub(r"^(-?)0\.", r"\1.", told)


def value(query: str) -> float:
    query = query.strip()
    if query.startswith("-"):
        return -value(query[1:])
    if query.startswith("% "):
        return 100 * value(query[2:])
    if query.startswith("log2 "):
        return float(np.log2(value(query[5:])))
    if " / " in query:
        above, below = query.split(" / ")
        return value(above) / value(below)
    words = query.split()
    for form in (claim, count, distance, apart, point, entry):
        if (found := form(*words)) is not None:
            return found
    raise ValueError(f"no number is meant by {query!r}")


def claim(scale: str, name: str, *more: str) -> float | None:
    if more or "." not in name:
        return None
    figure = name.split(".")[0]
    found = [one["measured"] for one in claims_of(scale, figure) if one["id"] == name]
    if len(found) != 1 or found[0] is None:
        raise ValueError(f"results/reference/{scale}/{figure}/claims.json has measured no {name}")
    return found[0]


def count(scale: str, name: str, *more: str) -> float | None:
    return getattr(Counts.of(claims_of(scale, name)), more[0]) if len(more) == 1 and more[0] in COUNTS else None


def distance(scale: str, name: str, *more: str) -> float | None:
    column = (
        {"distance": "median", "signed": "signed_median", "largest": "largest"}.get(more[0]) if len(more) == 2 else None
    )
    if column is None:
        return None
    panel, curve = more[1].rsplit("/", 1)
    return one_of([row[column] for row in rows(scale, name) if (row["panel"], row["curve"]) == (panel, curve)], more[1])


def apart(scale: str, name: str, *more: str) -> float | None:
    if len(more) != 2 or more[0] != "apart":
        return None
    unit = {"octaves": r"([\d.]+) octaves", "panel": r"([\d.]+)% of the panel"}[more[1]]
    found = re.search(unit, all_apart(rows(scale, name)))
    if not found:
        raise ValueError(f"no curve of results/reference/{scale}/{name} has a distance in {more[1]}")
    return float(found[1]) / (1 if more[1] == "octaves" else 100)


def point(where: str, curve: str, *more: str) -> float | None:
    if where != "curves":
        return None
    if curve not in paper_curves():
        raise ValueError(f"paper_curves.csv has no {curve}")
    found = paper_curves()[curve]
    return at(found["x"], found["y"], more[0], curve)


def entry(scale: str, name: str, *more: str) -> float | None:
    if len(more) < 3:
        return None
    curve, split, time, *settings = more
    found = table(scale, name)
    found = found[(found["curve"] == curve) & (found["split"] == split.replace("-", ""))]
    for setting in settings:
        key, _, wanted = setting.partition("=")
        if key not in found.columns:
            raise ValueError(f"the cells of {name} have no {key}")
        found = found[found[key].astype(str) == wanted]
    return at(found["time"], found["value"], time, f"{scale} {name} {' '.join(more)}")


def at(times: pd.Series, values: pd.Series, time: str, what: str) -> float:
    """The mean at that time, between two records on the straight line over log t."""
    means = values.groupby(times).mean()
    wanted = means.index.max() if time == "end" else float(time)
    if wanted in means.index:
        return float(means[wanted])
    means = means[means.index > 0]
    if means.empty or not means.index.min() < wanted < means.index.max():
        raise ValueError(f"nothing is recorded of {what}")
    return float(np.interp(np.log(wanted), np.log(means.index.to_numpy()), means.to_numpy()))


def one_of(found, what: str) -> float:
    found = [float(one) for one in found if one != ""]
    if len(found) != 1:
        raise ValueError(f"{what}: {len(found)} numbers in place of one")
    return found[0]


@functools.cache
def claims_of(scale: str, name: str) -> list[dict]:
    return json.loads(report(scale, name, "claims.json"))


@functools.cache
def rows(scale: str, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(report(scale, name, "deviation.csv").splitlines()))


def report(scale: str, name: str, file: str) -> str:
    path = REFERENCE / scale / name / file
    if not path.is_file():
        raise ValueError(f"there is no {path.relative_to(ROOT)}")
    return path.read_text()


@functools.cache
def paper_curves() -> dict[str, pd.DataFrame]:
    """By figure/panel/curve."""
    points = pd.read_csv(ROOT / "ntkrun/reference/paper_curves.csv")
    return dict(iter(points.groupby(points["figure"] + "/" + points["panel"] + "/" + points["curve"])))


@functools.cache
def table(scale: str, name: str) -> pd.DataFrame:
    """All cells of a report, with the settings that their names tell as columns."""
    files = sorted((REFERENCE / scale / name / "cells").glob("*.parquet"))
    if not files:
        raise ValueError(f"results/reference/{scale}/{name} has no cells")
    frames = []
    for file in files:
        frame = pd.read_parquet(file)
        told = dict(pair.split("=", 1) for pair in frame["cell"].iloc[0].split(",") if "=" in pair)
        frames.append(frame.assign(**{key: known for key, known in told.items() if key not in frame.columns}))
    return pd.concat(frames, ignore_index=True)


def on_every_page(do: Callable[[Path, str, str], None]) -> None:
    """do(page, old text, new text); ValueError names the page."""
    for page in pages():
        text = page.read_text()
        try:
            new = renewed(text)
        except ValueError as err:
            raise ValueError(f"{page.relative_to(ROOT)}: {err}") from err
        do(page, text, new)


def changes(old: str, new: str) -> list[str]:
    return [
        f"{before.strip()}\n    is now {after.strip()}"
        for before, after in zip(old.splitlines(), new.splitlines(), strict=True)
        if before != after
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Renew the measured numbers in README.md and docs/.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a number is stale")
    check = parser.parse_args().check
    told: list[str] = []

    def renew(page: Path, old: str, new: str) -> None:
        told.extend(f"{page.relative_to(ROOT)}: {change}" for change in changes(old, new))
        if new != old and not check:
            page.write_text(new)

    try:
        on_every_page(renew)
    except ValueError as err:
        print(f"error: {err}", file=sys.stderr)
        return 2
    print("\n".join(told) or "all measured numbers are as the tables have them", file=sys.stderr)
    return int(bool(told) and check)


if __name__ == "__main__":
    sys.exit(main())
