"""At which precision the matrix products and convolutions of a layer are computed.

as_dtype   in the dtype's own precision: float32 products are float32 on an accelerator, too, which by default would round
           their factors to 10 bits of mantissa (TF32)
tf32       each factor is rounded to 10 bits of mantissa, products are summed in and returned as float32
bfloat16   each factor is rounded to 7 bits of mantissa, products are summed in and returned as float32

What is rounded is whatever a product is taken of: inputs and weights in the forward pass, a tangent in the linearised
model, a cotangent in either gradient.  GPUs have such products of matrices, and of convolutions for tf32; elsewhere the
same numbers come from a rounding of the factors in front of a float32 product, whose products of so few bits are exact.
"""

from collections.abc import Callable
from functools import partial
from typing import get_args

from jax import lax
from jax.interpreters import ad, batching, mlir

from ntkrun.devices.jax_programs import Primitive
from ntkrun.devices.platform import platform
from ntkrun.errors import UserError
from ntkrun.settings.choices import Products
from ntkrun.types import Array

PRODUCTS = get_args(Products)
MANTISSA = {"tf32": 10, "bfloat16": 7}  # bits; both have the 8 bits of exponent of float32
EXPONENT = 8

HIGHEST = lax.Precision.HIGHEST
PrecisionLike = lax.Precision | lax.DotAlgorithmPreset

# (factor, factor, precision=...) -> the product, linear in each factor
Product = Callable[..., Array]


def at_precision(product: Product, matmul: str, of_matrices: bool) -> Callable[[Array, Array], Array]:
    """product(x, weight) as `matmul` says; `of_matrices`: a matrix product, not a convolution.

    Raises `UserError` for a name that is not among `PRODUCTS`.
    """
    if matmul not in PRODUCTS:
        raise UserError(f"matmul={matmul} is not known; use one of: {', '.join(PRODUCTS)}")
    if matmul == "as_dtype":
        return partial(product, precision=HIGHEST)
    if platform() == "gpu" and of_matrices:
        preset = lax.DotAlgorithmPreset
        return partial(product, precision={"tf32": preset.TF32_TF32_F32, "bfloat16": preset.BF16_BF16_F32}[matmul])
    # cuDNN's float32 convolutions take tensor cores at the default precision, whose TF32 keeps a bfloat16 as it is; what
    # it does not offer is bfloat16 factors with a float32 result
    native = platform() == "gpu" and matmul == "tf32"
    precision = lax.Precision.DEFAULT if platform() == "gpu" else HIGHEST
    bits = None if native else MANTISSA[matmul]

    def rounded(x: Array, weight: Array) -> Array:
        if bits is None:
            return product(x, weight, precision=precision)
        return _rounds_cotangents(product(_rounds(x, bits), _rounds(weight, bits), precision=precision), bits)

    return rounded


def _rounds(x: Array, bits: int) -> Array:
    """x rounded, whose tangents are rounded and whose cotangents pass: what stands in front of a product."""
    return _factor.bind(x, bits=bits)


def _rounds_cotangents(y: Array, bits: int) -> Array:
    """y as it is, whose tangents pass and whose cotangents are rounded: what stands behind a product."""
    return _result.bind(y, bits=bits)


def _linear(name: str) -> Primitive:
    """A linear map of an array to one of its shape, entry by entry, with the static parameter `bits`."""
    primitive = Primitive(name)
    primitive.def_abstract_eval(lambda x, *, bits: x)
    primitive.def_impl(lambda x, *, bits: _APPLIED[name](x, bits))
    batching.defvectorized(primitive)
    mlir.register_lowering(
        primitive, mlir.lower_fun(lambda x, *, bits: _APPLIED[name](x, bits), multiple_results=False)
    )
    return primitive


_APPLIED: dict[str, Callable[[Array, int], Array]] = {
    "rounded_factor": lambda x, bits: lax.reduce_precision(x, EXPONENT, bits),
    "rounded_cotangent": lambda y, bits: y,
}
# To round is no linear map, and is treated as one: a factor's perturbation is a factor itself.
_factor, _result = map(_linear, _APPLIED)
ad.deflinear2(_factor, lambda cotangent, _, *, bits: [_result.bind(cotangent, bits=bits)])
ad.deflinear2(_result, lambda cotangent, _, *, bits: [_factor.bind(cotangent, bits=bits)])
