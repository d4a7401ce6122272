"""docs/origins.md: where every setting of every figure comes from, from ntkrun/reference/origins and configs.

python scripts/origins_page.py         write the page (make origins-page)
"""

from pathlib import Path
from typing import Any

from ntkrun.cli.hydra.compose import compose
from ntkrun.experiments.figures import experiment_names, in_the_papers_order, load_experiment
from ntkrun.settings.changes import values_of
from ntkrun.settings.origins import KINDS, alone, in_words, origin_of

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "origins.md"
HEAD = """# Where the settings come from

<!-- written by make origins-page: change ntkrun/reference/origins, not this page -->

- **printed**: the paper says it.
- **recovered**: the paper does not say it, its plots show it; the last column says which.
- **ours**: neither; the last column says why this value.

"Fitted to" names the curves (figure/panel/curve of `paper_curves.csv`) by whose course a value was chosen. A claim that reads one
of them is no test of a run with this value and is counted as fitted, apart from what is judged (docs/claims.md).

"The paper" is its value as it has it, "here" what `scale=paper` uses: another one where our convention is another (the last column
says how to convert), and where we chose so. Other scales differ from "here" as `configs/sizes` says.
`ntkrun experiment=fig3 --cfg job` lists the same below the settings of a run. A picture names the paper for what is printed or
recovered and for nothing else.
"""


def table(name: str) -> list[str]:
    """The settings of one figure; those of several of its parts in one line where they are alike."""
    parts = values_of(compose([f"experiment={name}", "scale=paper"]).settings)
    rows: dict[tuple[str, ...], list[str]] = {}
    for part, settings in parts.items():
        for setting, value in settings.items():
            origin = origin_of(name, f"parts.{part}.{setting}" if part else setting)
            if origin and not (origin.quiet and setting.startswith("theory.")):
                rows.setdefault((setting, *cells(origin, value)), []).append(part)
    lines = ["| setting | origin | the paper | here | where, why |", "|---|---|---|---|---|"]
    for kind in KINDS:
        for (setting, *told), having in rows.items():
            if told[0] == kind:
                where = "" if len(having) == len(parts) else f" ({', '.join(having)})"
                lines.append("| " + " | ".join([f"`{setting}`{where}", *told]).replace("||", "\\|\\|") + " |")
    return lines


def cells(origin: Any, value: Any) -> tuple[str, str, str, str]:
    """origin, the paper's value, ours at scale=paper, where and why."""
    fit = f"; fitted to {', '.join(f'`{curves}`' for curves in origin.fitted_to)}" if origin.fitted_to else ""
    if not origin.of_the_paper:
        return origin.kind, "", f"`{in_words(value)}`", origin.where + fit
    printed = f"{in_words(origin.paper)}; printed {in_words(origin.printed)}" if origin.printed is not None else ""
    why = f"{origin.where}; {origin.why}" if origin.why else origin.where
    return origin.kind, f"`{printed or in_words(origin.paper)}`", f"`{in_words(value)}`", why + fit


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    for name in in_the_papers_order(experiment_names()):
        lines += [f"## {load_experiment(name).title}", ""]
        why = alone(name)
        lines += [f"All settings are ours: {why}.", ""] if why else [*table(name), ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"wrote {PAGE}")
