"""What Figures S9 and S10 record and measure: one run where they overlap, and measures that find what was put in."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from paper_tables import kernel_errors

from ntkrun.experiments import curves
from ntkrun.experiments.analysis import kernel_estimates as error_grids
from ntkrun.experiments.analysis.kernel_estimates import Panel
from ntkrun.experiments.figures import load_experiment
from ntkrun.lockstep.progress import Silent
from ntkrun.reference import panel_points
from ntkrun.runner.gather import together
from ntkrun.runner.plan import make_cells

NNGP = Panel(curves.NNGP, 1)


def errors_of(settings_of, name: str, width: int) -> pd.DataFrame:
    experiment = load_experiment(name)
    raw = settings_of(name, "smoke", f"model.width={width}", "model.depth=1", "draws=4")
    (cell,) = make_cells(experiment, raw)
    return together(experiment, [(cell, experiment.run.compute(cell.settings, cell.name, Silent()).table)])


def test_s9_with_one_layer_and_s10_are_one_run(settings_of):
    first, second = (errors_of(settings_of, name, 8) for name in ("figs9", "figs10"))
    for panel in (Panel(curves.NNGP, 1), Panel(curves.NTK, 1)):
        one, other = (error_grids.grid(table, panel) for table in (first, second))
        assert list(one.columns) == [1, 2, 4] and (one.to_numpy() > 0).all()
        pd.testing.assert_frame_equal(one, other)


def table(factor: float, slope_n: float, slope_m: float) -> pd.DataFrame:
    rows = [
        {"curve": "error/nngp", "model.depth": 1, "width": n, "M": m, "value": factor * n**slope_n * m**slope_m}
        for n in (8, 16, 64)
        for m in (1, 4, 256)
    ]
    return pd.DataFrame(rows)


def test_slopes_and_factor_of_an_exact_law_are_found():
    found = table(2.5, -0.5, -0.4)
    assert error_grids.slope_in_width(found, NNGP) == pytest.approx(-0.5)
    assert error_grids.slope_in_draws(found, NNGP) == pytest.approx(-0.4)
    assert error_grids.prefactor(table(2.5, -0.5, -0.5), NNGP) == pytest.approx(2.5)


def test_the_papers_points_are_no_distance_from_themselves():
    rows = [
        {"curve": "error/ntk", "model.depth": 1, "width": int(name[1:]), "M": int(x), "value": 2 * y}
        for name, points in panel_points("figs10", "ntk").items()
        for x, y in points[["x", "y"]].to_numpy()
    ]
    assert len(rows) == 169
    assert error_grids.paper_distance(pd.DataFrame(rows), Panel(curves.NTK, 1), "figs10", "ntk") == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["figs9", "figs10"])
def test_the_papers_own_points_meet_the_claims(name):
    """The bands hold for the run that they were read from."""
    rows = []
    for panel in ("nngp_l1", "ntk_l1", "nngp_l3", "ntk_l3") if name == "figs9" else ("nngp", "ntk"):
        for curve, points in panel_points(name, panel).items():
            for x, y in points[["x", "y"]].to_numpy():
                n, m = (x, curve[1:]) if name == "figs9" else (curve[1:], x)
                kernel, _, depth = panel.partition("_l")
                told = {"curve": f"error/{kernel}", "model.depth": int(depth or 1)}
                rows.append(told | {"width": int(n), "M": int(m), "value": y})
    for claim in load_experiment(name).claims:
        assert claim.band[0] <= claim.measure(pd.DataFrame(rows)) <= claim.band[1], claim.id
        assert np.isfinite(claim.measure(pd.DataFrame(rows)))


def test_the_two_maps_of_figure_s10_have_one_scale_of_colours():
    maps = [one for one in load_experiment("figs10").plot(kernel_errors("figs10")).findobj(QuadMesh)]
    limits = {mesh.get_clim() for mesh in maps if isinstance(mesh, QuadMesh) and mesh.get_cmap().name == "viridis"}
    values = kernel_errors("figs10")["value"]
    assert len(maps) >= 2 and limits == {(values.min(), values.max())}
