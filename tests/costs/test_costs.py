"""FLOPs, bytes, kernels and memory read from traces, against what is counted by hand."""

import jax
import jax.numpy as jnp
import pytest

from ntkrun.costs import Piece, along_width
from ntkrun.costs.program import traced
from ntkrun.experiments.figures import load_experiment
from ntkrun.runner.forecast import forecast
from ntkrun.runner.machines import KNOWN
from ntkrun.runner.plan import make_cells

H100 = KNOWN["h100"]


def shape(*sizes: int, dtype=jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, dtype)


def test_products_count_two_per_term_and_loops_as_often_as_they_turn():
    def thrice(a, b):
        return jax.lax.fori_loop(0, 3, lambda _, x: x @ b, a)

    piece = Piece("x", thrice, (shape(5, 7), shape(7, 7)), times=10)
    assert piece.flops_once == {"default": 3 * 2 * 5 * 7 * 7} and piece.flops == 10 * 3 * 2 * 5 * 7 * 7
    assert piece.launches == 3 and piece.bytes_once == 3 * 4 * (35 + 49 + 35)


def test_a_convolution_costs_what_its_products_cost():
    def convolution(x, w):
        return jax.lax.conv_general_dilated(x, w, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    piece = Piece("x", convolution, (shape(4, 8, 8, 3), shape(3, 3, 3, 5)), 1)
    assert piece.flops == 2 * 4 * 4 * 4 * 27 * 5
    assert piece.bytes_once == 4 * (4 * 8 * 8 * 3 + 27 * 5 + 4 * 4 * 4 * 5)


@pytest.mark.parametrize(
    ("dtype", "precision", "expected"),
    [
        (jnp.float32, None, "default"),
        (jnp.float32, "highest", "float32"),
        (jnp.float32, "high", "tf32"),
        (jnp.float32, jax.lax.DotAlgorithmPreset.TF32_TF32_F32, "tf32"),
        (jnp.float64, None, "float64"),
        (jnp.bfloat16, None, "bfloat16"),
    ],
)
def test_a_product_says_how_exactly_it_takes_its_factors(dtype, precision, expected):
    piece = Piece("x", lambda a: jnp.matmul(a, a, precision=precision), (shape(4, 4, dtype=dtype),))
    assert set(piece.flops_once) == {expected} and expected in H100.rates


def step(w1, w2, x, y):
    """Gradient descent of a network of one hidden ReLU layer."""

    def loss(w1, w2):
        return 0.5 * jnp.mean((jnp.maximum(x @ w1, 0.0) @ w2 - y) ** 2)

    g1, g2 = jax.grad(loss, argnums=(0, 1))(w1, w2)
    return w1 - 0.1 * g1, w2 - 0.1 * g2


def test_the_kernels_and_bytes_of_a_step_are_those_counted_by_hand():
    n, d, width = 30, 7, 50
    piece = Piece("step", step, (shape(d, width), shape(width, 1), shape(n, d), shape(n, 1)), 1)
    w1, w2, x, h, f = d * width, width, n * d, n * width, n
    by_hand = [
        x + w1 + h,  # h = x w1, which the next kernel and the mask of delta read
        h + h,  # relu(h)
        h + w2 + f + f,  # (f - y)/n, formed where f is
        h + f + w2 + w2,  # the new w2, formed where its gradient is
        f + w2 + h + h,  # delta: residual times w2 where h > 0
        x + h + w1 + w1,  # the new w1
    ]
    assert sorted(kernel.bytes for kernel in piece.kernels) == sorted(4 * count for count in by_hand)
    assert piece.launches == 6 and piece.flops == 2 * (x * width + h + h + h + x * width)


def test_peak_memory_holds_what_is_written_and_arguments_throughout():
    def chain(x):  # elementwise: nothing between is written
        for _ in range(5):
            x = jnp.sin(x)
        return x

    def products(x, w):  # the argument, one product and the next
        for _ in range(5):
            x = x @ w
        return x

    assert Piece("x", chain, (shape(1000),)).peak_bytes == Piece("x", jax.jit(chain), (shape(1000),)).peak_bytes
    assert Piece("x", chain, (shape(1000),)).peak_bytes == 2 * 4000
    arguments = (shape(10, 10), shape(10, 10))
    assert Piece("x", products, arguments).peak_bytes == 4 * 4 * 100
    assert Piece("x", products, arguments, donated=0).peak_bytes == 3 * 4 * 100


def test_a_loop_holds_what_its_body_holds():
    def looped(x, w):
        return jax.lax.fori_loop(0, 3, lambda _, x: (x @ w) @ w, x)

    # x, w and the result; within a turn the product between
    assert Piece("x", looped, (shape(10, 10), shape(10, 10))).peak_bytes == 4 * 4 * 100


def test_only_what_is_taken_of_an_array_is_read():
    rows = jax.ShapeDtypeStruct((8,), jnp.int32)
    piece = Piece("x", lambda x, rows, w: x[rows] @ w, (shape(50_000, 100), rows, shape(100, 10)))
    assert piece.bytes_once < 4 * (3 * 8 * 100 + 8 * 10 + 100 * 10) + 200


def test_what_nothing_depends_on_costs_nothing():
    piece = Piece("x", lambda a: (a @ a, a + 1.0)[1], (shape(9, 9),))
    assert piece.flops == 0 and piece.bytes_once == 2 * 4 * 81


def test_an_ensemble_holds_its_images_once(settings_of):
    raw = settings_of("figs7", "smoke", "data.n_train=4096", "data.n_test=512", "rates=8", "optimizer.batch_size=4")
    experiment = load_experiment("figs7")
    cells = make_cells(experiment, raw)[:1]
    (found,) = forecast(experiment, cells, H100)
    images = 4 * (4096 + 512) * 784
    # eight small networks, whose batches of 4 and the 512 images that are looked at once weigh little beside the images
    assert images < found.peak_bytes < 1.3 * images


def test_a_lockstep_step_is_eight_products_a_layer_less_the_inputs_gradient(settings_of):
    raw = settings_of("figs3", "smoke", "data.n_train=64", "data.n_test=16", "model.width=32", "optimizer.batch_size=8")
    experiment = load_experiment("figs3")
    (found,) = forecast(experiment, make_cells(experiment, raw)[:1], H100)
    inner, first, readout = 32 * 32, 784 * 32, 32 * 10
    # network: 3 products; f_lin: 1 primal, 2 tangent, 2 transposed; the first layer's input has no derivative: 2 and 3.
    # f_lin of the analytic kernel: Theta c of all examples
    analytic = 2 * 64 * 64 * 10
    assert found.flops_per_step == pytest.approx(2 * 8 * (8 * (inner + readout) + 5 * first) + analytic)
    assert found.parameters == inner + first + readout + 32 + 32 + 10 and found.steps == 32


def test_the_widest_network_of_figure_4_is_traced_without_being_allocated(settings_of):
    experiment = load_experiment("fig4")
    (cell,) = make_cells(experiment, settings_of("fig4", "paper", "data.source=stand_in"))
    (found,) = forecast(experiment, [cell], H100)
    channels, images = 1024, 8
    # Table S1 with N = 1: two convolutions at 32 x 32, three at 16 x 16 and at 8 x 8 (one each is the shortcut)
    positions = 2 * 32**2 + 3 * 16**2 + 3 * 8**2
    per_use = images * positions * 2 * 9 * channels**2
    assert (
        8 * per_use <= found.flops_per_step <= 10 * per_use
    )  # one product of f_lin's tangents at theta_0 more or less
    assert found.parameters == 9 * 3 * channels + 8 * 9 * channels**2 + 10 * channels
    assert found.peak_bytes > 5 * 4 * found.parameters  # theta_0, both models and their momenta


def test_programs_between_two_widths_are_those_of_a_trace(settings_of):
    raw = settings_of("figs5", "smoke", "parts.L1=null", "parts.D32=null", "parts.C4.model.width=[4,6,9,16]")
    experiment = load_experiment("figs5")
    cells = make_cells(experiment, raw)
    assert forecast(experiment, cells, H100) == [forecast(experiment, [cell], H100)[0] for cell in cells]


def test_what_does_not_follow_from_the_ends_is_traced():
    def piece(width: int) -> Piece:
        return Piece("x", lambda a, b: (a @ b)[: min(width, 9)], (shape(width, width), shape(width, 5)))

    family = {width: piece(width) for width in (2, 4, 8, 16, 32)}
    found = along_width(family)
    assert [p.derived is not None for p in found.values()] == [False, True, False, False, False]
    for width, one in found.items():
        assert (one.flops, one.peak_bytes) == (piece(width).flops, piece(width).peak_bytes)


def test_calls_of_functions_are_written_out():
    inside = traced(lambda a, b: jax.jit(jnp.tanh)(a) @ b, (shape(3, 4), shape(4, 2)))
    assert inside.lines[0].kind in ("pjit", "jit")
    piece = Piece("x", lambda a, b: jax.jit(jnp.tanh)(a) @ b, (shape(3, 4), shape(4, 2)))
    assert [kernel.kind for kernel in piece.kernels] == ["elementwise", "product"]


def test_what_is_not_trained_is_not_written():
    def step(w, v, x):
        def loss(w, v):
            return jnp.sum(jax.lax.stop_gradient(x @ w) @ v)

        g, h = jax.grad(loss, argnums=(0, 1))(w, v)
        return w - 0.1 * g, v - 0.1 * h

    piece = Piece("step", step, (shape(40, 40), shape(40, 1), shape(3, 40)))
    # x w, and the new v formed with its gradient from it
    assert sorted(kernel.bytes for kernel in piece.kernels if kernel.flops) == sorted(
        4 * count for count in (3 * 40 + 40 * 40 + 3 * 40, 3 * 40 + 3 + 40 + 40)
    )
