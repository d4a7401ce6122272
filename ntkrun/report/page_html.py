"""The gallery's pages as HTML: an index of all figures of a scale, and one page a figure."""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ntkrun.experiments import figures
from ntkrun.report.counts import Counts
from ntkrun.report.entries import VERDICTS, called, chief, entry_of, what_differs
from ntkrun.report.report_files import caption_of
from ntkrun.runner.reports import StoredReport

PAPER = "https://arxiv.org/abs/1902.06720"
TEMPLATES = Path(__file__).parent / "pages"
MOST_RUNS = 12  # whose curves a page holds
SYMBOLS = {
    r"\bTheta_hat": "Θ̂", r"\bK_hat": "K̂", r"\bTheta(?=_|\b)": "Θ", r"\btheta(?=_|\b)": "θ", r"\bphi\b": "φ",
    r"\bsigma(?=_|\b)": "\N{GREEK SMALL LETTER SIGMA}", r"\beta\b": "η", r"\bbeta\b": "β",
    r"\bsqrt (?=[\w(])": "√", r"\bsqrt(?=\()": "√", r"&lt;=": "≤", r"&gt;=": "≥", r"\+-": "±",
    r"\b([^\W\d_]̂?)_(\w+)": r"\1<sub>\2</sub>", r"\^(-?[\w./]*\w)": r"<sup>\1</sup>", r"`(.+?)`": r"<code>\1</code>",
}  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """What one page shows: the reports of an experiment at its scale, and one of each other scale to stand beside them."""

    name: str
    own: list[StoredReport]
    others: list[tuple[str, StoredReport]]  # scale, report

    @property
    def page(self) -> str:
        return f"{self.name}.html"

    def page_at(self, at_scale: Path, scale: str) -> str | None:
        """The link from this page to that of the same figure at another scale, if there is one."""
        return f"../{scale}/{self.page}" if (at_scale.parent / scale / self.page).is_file() else None


def symbols(text: str) -> Markup:
    """The plain text of docstrings and claims as HTML, with the symbols that its words stand for."""
    html = str(escape(text))
    for pattern, replacement in SYMBOLS.items():
        html = re.sub(pattern, replacement, html)
    return Markup(html)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["symbols"] = symbols
    environment.globals |= {"paper": PAPER, "style": _source("style.css"), "theme": _source("theme.js")}
    return environment


def _source(*names: str) -> Markup:
    """Files of ours to be put into a page as they are."""
    return Markup("\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names))


def _page(template: str, scripts: Markup, digest: str, **told: Any) -> str:
    """A page that runs its own scripts alone, whatever else may have come into it."""
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (_source("theme.js"), scripts)
    ]
    policy = " ".join(f"'sha256-{one}'" for one in hashes)
    return _environment().get_template(template).render(scripts=scripts, policy=policy, digest=digest, **told)


def index_page(at_scale: Path, shown: Sequence[Figure], scales: Sequence[tuple[str, str]], digest: str) -> str:
    """A card for each figure: its thumbnail, verdicts, and distance from the paper's curves; `scales`: (name, link) of others."""
    card = _environment().get_template("parts.html.j2").module.card  # type: ignore[attr-defined]
    groups = [[entry_of(at_scale, one, at_scale.name, card) for one in figure.own] for figure in shown]
    there = {figure.name for figure in shown}
    found = [{entry.state for entry in entries} for entries in groups]
    states = ["fail" if "fail" in one else "pass" if "pass" in one else "" for one in found]
    return _page(
        "index.html.j2",
        _source("index.js"),
        digest,
        scale=at_scale.name,
        scales=scales,
        groups=[(chief(entries), entries) for entries in groups],
        runs=sum(map(len, groups)),
        states=states,
        numbers={"": len(states)} | {state: states.count(state) for state in ("fail", "pass")},
        total=sum((chief(entries).counts for entries in groups), Counts()),
        missing=[name for name in figures.figure_names() if name not in there],
    )


def figure_page(at_scale: Path, figure: Figure, shown: Sequence[Figure], digest: str) -> str:
    """All about one figure: its runs, those of other scales beside them, its curves, claims and settings."""
    article = _environment().get_template("parts.html.j2").module.article  # type: ignore[attr-defined]
    own = [entry_of(at_scale, one, at_scale.name, article) for one in figure.own]
    others = [entry_of(at_scale, one, scale, article) for scale, one in figure.others]
    first = chief(own)
    runs = [first, *(entry for entry in own if entry is not first), *others]
    sound = [entry for entry in runs if not entry.fault]
    read = [{"name": called(entry, at_scale.name), "panels": entry.panels} for entry in sound if entry.panels]
    names = [one.name for one in shown]
    place = names.index(figure.name)
    return _page(
        "figure.html.j2",
        _source("uplot/uPlot.iife.min.js", "figure.js"),
        digest,
        chart_style=_source("uplot/uPlot.min.css"),
        scale=at_scale.name,
        name=figure.name,
        caption=caption_of(figure.name, at_scale),
        first=first,
        own=[entry for entry in runs if entry not in others],
        others=[(entry, figure.page_at(at_scale, entry.scale)) for entry in others],
        differing=what_differs(sound) if len(sound) > 1 else None,
        titles=[called(entry, at_scale.name) for entry in sound],
        of_verdict={
            verdict: sum(row["claim"].verdict == verdict for e in own for row in e.claims) for verdict in VERDICTS
        },
        curves={"runs": read[:MOST_RUNS]},
        unread=len(read[MOST_RUNS:]),
        before=names[place - 1] if place else None,
        after=names[place + 1] if place + 1 < len(names) else None,
    )
