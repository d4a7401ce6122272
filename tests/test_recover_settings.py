"""scripts/recover_settings.py: of curves made by a known setting the inference finds that setting, and of others it does not."""

import numpy as np
import pandas as pd
import pytest

from ntkrun.kernels.analytic import analytic_kernels

AXIS_TIMES = (0.01, 0.16, 2.56, 40.96)


@pytest.fixture(autouse=True)
def _scripts(root, monkeypatch):
    monkeypatch.syspath_prepend(root / "scripts")


@pytest.fixture
def images():
    """Two kinds of smooth images that can be told apart, and a bright mean image that they share."""
    from recover.pools import Pool

    rng = np.random.default_rng(0)
    parts = rng.standard_normal((20, 6 * 6 * 3)) / np.arange(1, 21)[:, None]
    amounts = rng.standard_normal((240, 20))
    labels = np.repeat([0, 1], 120)
    amounts[:, 1] += np.where(labels == 0, 1.0, -1.0)
    pixels = 0.5 + 0.1 * amounts @ parts + 0.05 * rng.standard_normal((240, 108))
    return Pool(pixels.reshape(-1, 6, 6, 3), labels, ("first", "second"))


def curves(images, rule, q, seeds, c=(0.5, 1.0, 2.0)):
    """Numbers of losses and accuracies, (c, draws, numbers), of 32 training and 64 test images."""
    from recover import loss_curves
    from recover.pools import Images, draw, inputs

    kernels = analytic_kernels(inputs(images, rule, q), depth=2, activation="relu", sigma_w2=2.0, sigma_b2=0.1)
    axis = loss_curves.Axis("fig3", AXIS_TIMES, AXIS_TIMES, (2.56, 40.96))
    rows = [draw(images, Images(rule, q, ("first", "second")), 32, 64, seed) for seed in seeds]
    return loss_curves.simulated(kernels, rows, axis, c, functions=8)


def nugget(numbers):
    return np.full(numbers, 0.05)


def test_the_setting_that_made_a_curve_wins(images):
    """Rule, scale and clock: curves of unseen draws are given to the setting that made them, not to its rivals."""
    from recover.likelihood import fit

    settings = [("sphere", 1.0), ("sphere", 2.5), ("uncentred", 1.0)]
    known = [curves(images, *one, range(12)) for one in settings]
    for truth, one in enumerate(settings):
        unseen = curves(images, *one, range(100, 104))[1]
        odds = np.zeros((len(settings), 3))
        for curve in unseen:
            odds += [[fit(rows, curve, nugget(len(curve))).log_likelihood for rows in by_c] for by_c in known]
        assert np.unravel_index(np.argmax(odds), odds.shape) == (truth, 1), settings[truth]


def test_a_curve_of_its_own_kind_has_an_ordinary_p_value_and_a_foreign_one_the_smallest(images):
    """Control: a setting that nobody tried is not said to fit."""
    from recover.likelihood import fit

    known = curves(images, "sphere", 1.0, range(12))[1]
    width = nugget(known.shape[1])
    own = [fit(known, one, width).p_value for one in curves(images, "sphere", 1.0, range(100, 104))[1]]
    foreign = [fit(known, one, width).p_value for one in curves(images, "raw", 1.0, range(100, 104))[1]]
    assert 0.1 < np.median(own) < 0.9
    assert np.max(foreign) <= 2 / (1 + len(known))


def test_likelihood_is_the_gaussian_of_many_draws():
    """Known equal: draws of a Gaussian whose density is written down."""
    from recover.likelihood import fit

    rng = np.random.default_rng(0)
    sds = np.array([0.5, 2.0, 1.0])
    observed = np.array([0.5, -2.0, 0.0])
    exact = -0.5 * np.sum((observed / sds) ** 2) - np.log(sds).sum() - 1.5 * np.log(2 * np.pi)
    found = fit(sds * rng.standard_normal((20_000, 3)), observed, np.full(3, 1e-3))
    assert found.log_likelihood == pytest.approx(exact, abs=0.05)


def test_initial_outputs_and_losses_are_those_of_the_closed_form(images):
    """Known equal: the train loss of f_lin by `theory.closed_form` for the same f_0, at c t."""
    from recover import loss_curves
    from recover.pools import Images, draw, inputs

    from ntkrun.theory.closed_form import gradient_flow

    kernels = analytic_kernels(inputs(images, "sphere", 1.0), depth=1, activation="relu", sigma_w2=2.0, sigma_b2=0.1)
    one = draw(images, Images("sphere", 1.0, ("first", "second")), 16, 40, 0)
    axis = loss_curves.Axis("fig3", AXIS_TIMES, AXIS_TIMES)
    found = loss_curves.simulated(kernels, [one], axis, (2.0,), functions=1)[0, 0]
    rows = np.concatenate([one.train, one.test])
    root = np.linalg.cholesky(
        kernels.nngp[np.ix_(rows, rows)] + 1e-9 * np.trace(kernels.nngp[np.ix_(rows, rows)]) / 56 * np.eye(56)
    )
    f0 = root @ np.random.default_rng(0).standard_normal((56, 1))
    flow = gradient_flow(kernels.ntk[np.ix_(one.train, one.train)], one.y_train[:, None], f0[:16])
    test = flow.test_at(2 * np.array(AXIS_TIMES), f0[16:], kernels.ntk[np.ix_(one.test, one.train)])
    train = flow.train_at(2 * np.array(AXIS_TIMES))
    wanted = [
        np.log(np.mean((f - y[:, None]) ** 2, axis=(1, 2)) / 2) for f, y in ((train, one.y_train), (test, one.y_test))
    ]
    assert found[:8] == pytest.approx(np.concatenate(wanted), abs=1e-6)


def test_draws_are_balanced_if_asked_and_keep_test_images_out_of_training(images):
    from recover.pools import Images, draw

    found = [
        draw(images, Images("sphere", 1.0, ("first", "second"), balanced=flag), 32, 64, 0) for flag in (True, False)
    ]
    assert found[0].y_train.sum() == 0
    for one in found:
        assert not set(one.train) & set(one.test)
        assert (images.labels[one.train] == (one.y_train < 0)).all()


def test_heavy_ball_keeps_of_a_mode_what_its_recursion_says():
    """Known equal: the powers of the recursion's companion matrix."""
    from recover import cnn

    rates = np.array([0.0, 0.01, 0.3])
    companion = [np.array([[1 + cnn.BETA - rate, -cnn.BETA], [1.0, 0.0]]) for rate in rates]
    wanted = [[(np.linalg.matrix_power(one, i) @ [1.0, 1.0])[0] for one in companion] for i in (1, 8, 32)]
    assert cnn.distances(rates, (1, 8, 32)) == pytest.approx(np.array(wanted), abs=1e-12)


def test_classes_are_chosen_by_the_other_figures():
    """A figure that alone prefers other classes does not choose for itself."""
    from recover.joint import chosen_by_the_others

    by_classes = {
        "one": pd.Series({"printed": 0.0, "harder": 5.0, "odd": 9.0}),
        "two": pd.Series({"printed": 0.0, "harder": 4.0, "odd": -3.0}),
        "three": pd.Series({"printed": 0.0, "harder": 3.0, "odd": -3.0}),
    }
    found = chosen_by_the_others(by_classes, "printed")
    assert found.loc["one", "chosen by the others"] == "harder"
    assert found.loc["one", "log-odds in this figure"] == 5.0
    assert found.loc["one", "their log-odds for it"] == 7.0


@pytest.mark.parametrize("n", [20, 200])  # fewer and more than the 108 pixels
@pytest.mark.parametrize("eps", [1.0, 1e-3])
def test_whitening_is_the_inverse_square_root_of_the_covariance(images, n, eps):
    from recover.whitening import whitened

    pixels = images.pixels[:n]
    flat = pixels.reshape(n, -1)
    values, vectors = np.linalg.eigh(np.cov(flat, rowvar=False, bias=True) + eps * np.eye(108))
    expected = (flat - flat.mean(axis=0)) @ (vectors / np.sqrt(values)) @ vectors.T
    expected *= np.sqrt(108 / np.square(expected).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(whitened(pixels, eps).reshape(n, -1), expected, rtol=1e-9, atol=1e-10)
