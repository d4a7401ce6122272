"""The evidence of several figures added up: what one code base says, and which classes the other figures would choose.

In each figure c, the flow time of a unit of its axis, is known up to the factor of the loss, 1/2 or 1, and a quarter of an
octave either way, which a network's own kernel may be off the infinite one: the mean likelihood over these three.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from recover.likelihood import averaged

IMAGES = ["rule", "q", "classes"]
SLACK = 2.0 ** np.array([-0.25, 0.0, 0.25])
# c of the printed rate under the loss 1/2 mean (f - y)^2.  The axes of Figures 3 and S8 are t = .01 i; S8's printed rate is not
# what was drawn, whatever the images (docs/recovered_settings.md), and is taken to move like Figure 3.
PRINTED_C = {"fig3": 1.0, "figs8 (S37)": 1.0, "fig2": 0.5, "figs2": 1.0, "figs6": 1.0}
TENSORFLOW, JAX = ("fig3", "figs8 (S37)", "fig2"), ("figs2", "figs6")


def at_factor(evidence: pd.DataFrame, factor: float) -> pd.DataFrame:
    """One row for each figure and hypothesis about the images: its log-likelihood with the loss's factor known."""
    rows = []
    known = evidence[evidence["figure"].isin(list(PRINTED_C))]
    for (figure, *images), part in known.groupby(["figure", *IMAGES]):
        wanted = PRINTED_C[str(figure)] * factor * SLACK
        near = part[[bool(np.isclose(c, wanted).any()) for c in part["c"]]]
        if len(near):
            values = near["log_likelihood"].to_numpy()
            rows.append([figure, *images, factor, averaged(values), near["p_value"].to_numpy()[values.argmax()]])
    return pd.DataFrame(rows, columns=["figure", *IMAGES, "factor", "log_likelihood", "p_value"])


def added(rows: pd.DataFrame, figures: Sequence[str]) -> pd.DataFrame:
    """Columns: a figure each, and their sum, best first; hypotheses that were tried in all of them."""
    wide = rows.pivot(index=[*IMAGES, "factor"], columns="figure", values="log_likelihood")
    wide = wide.reindex(columns=list(figures)).dropna()
    return wide.assign(sum=wide.sum(axis=1)).sort_values("sum", ascending=False)


def chosen_by_the_others(by_classes: Mapping[str, pd.Series], printed: str) -> pd.DataFrame:
    """For each figure the classes that all others prefer, and what these classes gain in it over the printed ones.

    `by_classes`: for each figure its log-likelihoods by classes.
    """
    wide = pd.DataFrame(dict(by_classes)).dropna()
    rows = {}
    for figure in wide:
        others = wide.drop(columns=figure).sum(axis=1)
        chosen = str(others.idxmax())
        rows[figure] = {
            "chosen by the others": chosen,
            "their log-odds for it": others.loc[chosen] - others.loc[printed],
            "log-odds in this figure": wide[figure].loc[chosen] - wide[figure].loc[printed],
        }
    return pd.DataFrame(rows).T
