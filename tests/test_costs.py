"""FLOPs and memory read from traces, against formulas counted by hand."""

import jax
import jax.numpy as jnp
import pytest

from ntkrun.costs import Piece, along_width
from ntkrun.experiments.base import load_experiment
from ntkrun.runner.forecast import START_UP, expected_seconds, forecast, forecast_table
from ntkrun.runner.plan import make_cells
from ntkrun.runner.store import Store


def shape(*sizes: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def test_products_count_two_per_term_and_loops_as_often_as_they_turn():
    def thrice(a, b):
        return jax.lax.fori_loop(0, 3, lambda _, x: x @ b, a)

    piece = Piece("x", thrice, (shape(5, 7), shape(7, 7)), times=10, copies=2)
    assert piece.flops_once == 2 * 3 * 2 * 5 * 7 * 7 and piece.flops == 10 * piece.flops_once


def test_a_convolution_costs_what_its_products_cost():
    def convolution(x, w):
        return jax.lax.conv_general_dilated(x, w, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    assert Piece("x", convolution, (shape(4, 8, 8, 3), shape(3, 3, 3, 5)), 1).flops == 2 * 4 * 4 * 4 * 27 * 5


def test_peak_memory_frees_what_is_used_up():
    def chain(x):  # never more than the argument, one array and the next
        y = x + 1.0
        for _ in range(5):
            y = jnp.sin(y)
        return y

    assert Piece("x", chain, (shape(1000),)).peak_bytes == 3 * 4000
    assert Piece("x", jax.jit(chain), (shape(1000),), copies=2).peak_bytes == 2 * 3 * 4000


def test_a_lockstep_step_is_eight_products_a_layer_less_the_inputs_gradient(settings_of):
    raw = settings_of("figs3", "smoke", "data.n_train=64", "data.n_test=16", "model.width=32", "optimizer.batch_size=8")
    experiment = load_experiment("figs3")
    (found,) = forecast(experiment, make_cells(experiment, raw)[:1])
    inner, first, readout = 32 * 32, 784 * 32, 32 * 10
    # network: 3 products; f_lin: 1 primal, 2 tangent, 2 transposed; the first layer's input has no derivative: 2 and 3
    assert found.flops_per_step == pytest.approx(2 * 8 * (8 * (inner + readout) + 5 * first))
    assert found.parameters == inner + first + readout + 32 + 32 + 10 and found.steps == 32
    text = forecast_table([found, found], flop_rate=1e9)
    assert f"{2 * found.flops / 1e9 / 3600:.3g}" in text.splitlines()[-2]


def test_the_widest_network_of_figure_4_is_traced_without_being_allocated(settings_of):
    experiment = load_experiment("fig4")
    (cell,) = make_cells(experiment, settings_of("fig4", "paper", "data.source=stand_in"))
    (found,) = forecast(experiment, [cell])
    channels, images = 1024, 8
    # Table S1 with N = 1: two convolutions at 32 x 32, three at 16 x 16 and at 8 x 8 (one each is the shortcut)
    positions = 2 * 32**2 + 3 * 16**2 + 3 * 8**2
    assert found.flops_per_step == pytest.approx(
        8 * images * positions * 2 * 9 * channels**2, rel=0.01
    )  # stem, readout
    assert found.parameters == 9 * 3 * channels + 8 * 9 * channels**2 + 10 * channels
    assert found.peak_bytes > 5 * 4 * found.parameters  # theta_0, both models and their momenta


def test_programs_between_two_widths_are_those_of_a_trace(settings_of):
    raw = settings_of("figs5", "smoke", "parts.L1=null", "parts.D32=null", "parts.C4.model.width=[4,6,9,16]")
    experiment = load_experiment("figs5")
    cells = make_cells(experiment, raw)
    assert forecast(experiment, cells) == [forecast(experiment, [cell])[0] for cell in cells]


def test_what_does_not_follow_from_the_ends_is_traced():
    def piece(width: int) -> Piece:
        return Piece("x", lambda a, b: (a @ b)[: min(width, 9)], (shape(width, width), shape(width, 5)))

    family = {width: piece(width) for width in (2, 4, 8, 16, 32)}
    found = along_width(family)
    assert [p.known is not None for p in found.values()] == [False, True, False, False, False]
    for width, one in found.items():
        assert (one.flops, one.peak_bytes) == (piece(width).flops, piece(width).peak_bytes)


def test_a_cell_is_expected_to_take_what_it_took_and_its_flops_where_that_is_not_known(
    settings_of, tmp_path, monkeypatch
):
    experiment, raw = load_experiment("fig3"), settings_of("fig3", "smoke")
    (cell,), store = make_cells(experiment, raw), Store(tmp_path, "smoke", "fig3")
    flops = forecast(experiment, [cell])[0].flops / cell.settings.flop_rate
    assert expected_seconds(experiment, [cell], store) == {cell.config_hash: pytest.approx(START_UP + flops)}
    monkeypatch.setattr("ntkrun.runner.forecast.measured_seconds", lambda: {cell.config_hash: 17.0})
    assert expected_seconds(experiment, [cell], store) == {cell.config_hash: 17.0}
