"""Errors whose message is meant for the person at the keyboard.

A `UserError` is one line that says what is wrong and what to type instead; the command line prints it
without a traceback and leaves with exit code 2.  Anything else that is raised is a bug of ours.
"""

import difflib
from collections.abc import Iterable
from typing import Any


class UserError(Exception):
    """Bad input or an unusable surrounding (data, disk); exit code 2."""


class NonFiniteError(UserError):
    """A value of a run became nan or inf; the message names the cell, the rival and the step."""


class ComputeForbiddenError(UserError):
    """`stage=report` met a cell that has not been run."""


def in_one_line(error: BaseException) -> str:
    """The type and the first 200 characters of what somebody else's error says."""
    return " ".join(f"{type(error).__name__}: {error}".split()).partition(" (https")[0][:200]


# what other programs call it -> its name here
CALLED_HERE = {
    "lr": "learning_rate",
    "eta": "learning_rate",
    "beta": "momentum",
    "beta1": "momentum",
    "epochs": "steps",
    "iterations": "steps",
    "layers": "depth",
    "n_layers": "depth",
    "hidden": "width",
    "channels": "width",
    "phi": "activation",
    "nonlinearity": "activation",
    "silu": "swish",
    "sgd": "gd",
    "heavy_ball": "momentum",
    "ce": "cross_entropy",
    "xent": "cross_entropy",
    "l2": "mse",
}


def did_you_mean(word: Any, known: Iterable[str]) -> str:
    """ ", did you mean tanh" for a word that is nearly one of the known ones, or stands for it elsewhere; else nothing."""
    names = {name.lower(): name for name in known}
    meant = CALLED_HERE.get(str(word).lower(), "")
    close = [meant] if meant in names else difflib.get_close_matches(str(word).lower(), list(names), n=1, cutoff=0.5)
    return f", did you mean {names[close[0]]}?" if close else ""
