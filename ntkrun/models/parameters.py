"""Views of a parameter tree: its layers in forward order, its size, and the map between the two parameterizations."""

import math
import re
from typing import Any

import jax

from ntkrun.types import Array, Params, check_number, check_params


def natural_key(name: str) -> tuple[str | int, ...]:
    """Sorts layer_10 behind layer_9: JAX orders the keys of a dict as strings."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name))


def layer_names(params: Params) -> tuple[str, ...]:
    """Top-level names of the tree in forward order, layer_1 .. layer_{L+1}."""
    return tuple(sorted(params, key=natural_key))


def named_leaves(tree: Any) -> dict[tuple[str, ...], Any]:
    """Path -> leaf of any tree, in the order of its leaves: keys of dicts, places in lists, names of fields."""
    paths = jax.tree_util.tree_leaves_with_path(tree)
    return {tuple(map(_part, path)): leaf for path, leaf in paths}


def _part(key: Any) -> str:
    return next(str(getattr(key, attribute)) for attribute in ("key", "idx", "name") if hasattr(key, attribute))


def count_parameters(params: Params) -> int:
    """Number of scalars in the tree.  Raises `UserError` for what is no tree of arrays, as all of these."""
    check_params(params)
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def ntk_to_standard(params: Params, *, sigma_w2: float, sigma_b2: float) -> Params:
    """W = sqrt(sigma_w2 / fan_in) omega, b = sqrt(sigma_b2) beta: the parameters of the same function under (S36)."""
    check_params(params)
    check_number("sigma_w2", sigma_w2, above=0)
    check_number("sigma_b2", sigma_b2, at_least=0)
    converted = {}
    for name, node in params.items():
        if "omega" not in node:
            converted[name] = ntk_to_standard(node, sigma_w2=sigma_w2, sigma_b2=sigma_b2)
            continue
        weight = math.sqrt(sigma_w2 / fan_in(node["omega"])) * node["omega"]
        bias = {"b": math.sqrt(sigma_b2) * node["beta"]} if "beta" in node else {}
        converted[name] = {"W": weight, **bias}
    return converted


def standard_rates(params: Params, *, n_max: int, sigma_w2: float, sigma_b2: float, eta0: float = 1.0) -> Params:
    """Per-parameter rates under which an NTK network moves like a standard one at eta_std = eta0 / n_max, (S37).

    eta_w^l = n_l eta0 / (n_max sigma_w2),  eta_b^l = eta0 / (n_max sigma_b2),  n_l = fan-in of the layer.
    params is the tree of the NTK network; the result has its structure and Python floats as leaves.  Derivation: a step
    d(omega) = -eta_w dl/d(omega) moves W = sqrt(sigma_w2/n_l) omega by -eta_w (sigma_w2/n_l) dl/dW, which is the step
    -(eta0/n_max) dl/dW for the eta_w above; the bias likewise.
    """
    check_params(params)
    check_number("n_max", n_max, at_least=1)
    check_number("sigma_w2", sigma_w2, above=0)
    check_number("sigma_b2", sigma_b2, at_least=0)
    check_number("eta0", eta0, above=0)
    rates = {}
    for name, node in params.items():
        if "omega" not in node:
            rates[name] = standard_rates(node, n_max=n_max, sigma_w2=sigma_w2, sigma_b2=sigma_b2, eta0=eta0)
            continue
        bias = {"beta": eta0 / (n_max * sigma_b2)} if "beta" in node else {}
        rates[name] = {"omega": fan_in(node["omega"]) * eta0 / (n_max * sigma_w2), **bias}
    return rates


def fan_in(weight: Array) -> int:
    """Products that one entry of h sums: c for a dense weight (c, features), 9 c for a convolution's (3, 3, c, features)."""
    return math.prod(weight.shape[:-1])
