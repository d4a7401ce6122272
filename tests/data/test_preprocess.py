"""Norms, oracles, and that the test set never enters a statistic."""

import numpy as np
import pytest

from ntkrun.data.preprocess import RULES, preprocess, rescale_to_sphere, shrunk
from ntkrun.errors import UserError


def random_images(n: int, shape: tuple[int, int, int] = (6, 5, 2), seed: int = 0) -> np.ndarray:
    """Pixels with strongly unequal variances, as those of photographs have."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    mixing = np.random.default_rng(99).standard_normal((size, size)) * np.geomspace(1, 1e-3, size)
    return np.clip(128 + 60 * rng.standard_normal((n, size)) @ mixing.T, 0, 255).astype(np.uint8).reshape(n, *shape)


def square_norms(x: np.ndarray) -> np.ndarray:
    return np.square(x).sum(axis=tuple(range(1, x.ndim)))


@pytest.mark.parametrize("rule", RULES)
def test_inputs_have_square_norm_n0(rule):
    train, test = preprocess(random_images(40), random_images(7, seed=1), rule)
    assert train.shape == (40, 6, 5, 2) and test.shape == (7, 6, 5, 2) and train.dtype == np.float64
    if rule in ("global", "standardize"):
        np.testing.assert_allclose(square_norms(train).mean(), 60, rtol=1e-12)
        np.testing.assert_allclose(train.mean(), 0, atol=1e-12)
    else:
        np.testing.assert_allclose(square_norms(train), 60, rtol=1e-12)
        np.testing.assert_allclose(square_norms(test), 60, rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_test_set_is_never_used_for_statistics(rule):
    train, test = random_images(40), random_images(9, seed=1)
    x_train, x_test = preprocess(train, test, rule)
    alone_train, alone_test = preprocess(train, test[3:4], rule)
    np.testing.assert_array_equal(x_train, alone_train)
    # Products of other shapes round differently.
    np.testing.assert_allclose(x_test[3:4], alone_test, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(preprocess(train, train, rule)[1], x_train, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_bytes_and_unit_floats_agree(rule):
    train, test = random_images(40), random_images(9, seed=1)
    as_floats = preprocess(train / 255, test / 255, rule)
    for a, b in zip(preprocess(train, test, rule), as_floats, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_global_is_one_shift_and_one_scale():
    train, test = random_images(40), random_images(9, seed=1)
    x_test = preprocess(train, test, "global")[1]
    np.testing.assert_allclose(x_test, (test - train.mean()) / train.std(), rtol=1e-11, atol=1e-11)


def test_standardize_is_one_shift_and_one_scale_a_coordinate():
    rng = np.random.default_rng(0)
    train, test = rng.normal([5, -1, 0], [100, 0.01, 1], (30, 3)), rng.normal([5, -1, 0], [100, 0.01, 1], (4, 3))
    train[:, 2] = test[0, 2] = 0.1 + 0.2
    x_train, x_test = preprocess(train, test, "standardize")
    expected = (test - train.mean(axis=0))[:, :2] / train.std(axis=0)[:2]
    np.testing.assert_allclose(x_test[:, :2], expected, rtol=1e-10)
    assert not x_train[:, 2].any() and not x_test[:, 2].any()


@pytest.mark.parametrize("rule", ["global", "sphere", "standardize"])
def test_vectors_are_images_of_one_row(rule):
    train, test = random_images(40), random_images(7, seed=1)
    flat = preprocess(train.reshape(40, -1), test.reshape(7, -1), rule)
    for vectors, images in zip(flat, preprocess(train, test, rule), strict=True):
        np.testing.assert_allclose(vectors, images.reshape(len(images), -1), rtol=1e-11, atol=1e-12)


def test_per_image_standardises_each_image_whatever_the_others_are():
    train, test = random_images(20), random_images(9, seed=1)
    got = preprocess(train, test, "per_image")[1]
    np.testing.assert_allclose(got.mean(axis=(1, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(got.std(axis=(1, 2, 3)), 1, rtol=1e-12)
    np.testing.assert_array_equal(got[3:4], preprocess(train[:2], test[3:4], "per_image")[1])


def test_chunks_make_no_difference(monkeypatch):
    train, test = random_images(200), random_images(30, seed=1)
    for rule in RULES:
        whole = preprocess(train, test, rule)
        with monkeypatch.context() as patch:
            patch.setattr("ntkrun.data.preprocess.CHUNK", 7)
            for a, b in zip(whole, preprocess(train, test, rule), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_narrow_dtype_is_a_rounding_of_the_wide_one():
    train, test = random_images(40), random_images(9, seed=1)
    for rule in RULES:
        wide, narrow = preprocess(train, test, rule), preprocess(train, test, rule, dtype=np.float32)
        assert narrow[0].dtype == np.float32
        np.testing.assert_array_equal(wide[0].astype(np.float32), narrow[0])


def test_constant_images_are_refused():
    constant = np.full((5, 4, 4, 1), 77, np.uint8)
    for rule in RULES:
        for train in (constant, constant / 255 * 0.3, constant[:1]):
            with pytest.raises(UserError):
                preprocess(train, constant, rule)
    with pytest.raises(UserError, match="example 2"):
        x = np.ones((4, 3, 3, 1))
        x[2] = 0
        rescale_to_sphere(x)
    with pytest.raises(UserError):
        preprocess(np.full((5, 4, 4, 1), np.nan), constant, "global")


def test_unknown_rule_and_empty_set():
    with pytest.raises(UserError, match="global, sphere, per_image, standardize"):
        preprocess(random_images(3), random_images(3), "whiten")
    with pytest.raises(UserError, match="n_train"):
        preprocess(random_images(3)[:0], random_images(3), "sphere")


def test_rescaling_keeps_directions():
    x = np.random.default_rng(0).standard_normal((5, 4, 3, 2))
    scaled = rescale_to_sphere(x)
    np.testing.assert_allclose(square_norms(scaled), 24, rtol=1e-13)
    ratio = scaled / x
    np.testing.assert_allclose(ratio, ratio[:, :1, :1, :1] * np.ones_like(x), rtol=1e-12)


def relu_kernels(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """NNGP and NTK of five hidden ReLU layers, sw2 = 2, sb2 = .1, straight from S24-S29."""
    nngp = 2 * x @ x.T / x.shape[1] + 0.1
    ntk = nngp
    for _ in range(5):
        scale = np.sqrt(np.outer(np.diag(nngp), np.diag(nngp)))
        angle = np.arccos(np.clip(nngp / scale, -1, 1))
        nngp = scale * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi + 0.1
        ntk = nngp + ntk * (np.pi - angle) / np.pi
    return nngp, ntk


# Bands: the smallest and largest of 48 draws, six of the images with eight f_0 each, by other seeds than the test's.
@pytest.mark.parametrize(
    ("rule", "first", "rate", "loss", "accuracy"),
    [
        ("sphere", 0, (5.1, 5.2), (0.38, 0.51), (0.68, 0.77)),  # airplane and horse
        ("per_image", 6, (5.19, 5.23), (0.42, 0.55), (0.60, 0.73)),  # frog and horse
    ],
)
def test_rules_make_the_regression_as_hard_as_known(cifar10, rule, first, rate, loss, accuracy):
    rng = np.random.default_rng(0)
    rows = [
        rng.permutation(np.flatnonzero((labels == first) | (labels == 7)))[:count]
        for labels, count in ((cifar10.train_labels, 256), (cifar10.test_labels, 512))
    ]
    y, y_test = (
        np.where(labels == first, 1.0, -1.0) for labels in (cifar10.train_labels[rows[0]], cifar10.test_labels[rows[1]])
    )
    inputs = preprocess(cifar10.train_images[rows[0]], cifar10.test_images[rows[1]], rule)
    nngp, ntk = relu_kernels(np.concatenate(inputs).reshape(768, -1))
    assert rate[0] < np.linalg.eigvalsh(ntk[:256, :256])[-1] / 256 < rate[1]
    f0 = np.linalg.cholesky(nngp + 1e-9 * np.eye(768)) @ rng.standard_normal((768, 8))
    f = f0[256:] + ntk[256:, :256] @ np.linalg.solve(ntk[:256, :256], y[:, None] - f0[:256])
    assert loss[0] < np.mean((f - y_test[:, None]) ** 2) / 2 < loss[1]
    assert accuracy[0] < np.mean(np.sign(f) == y_test[:, None]) < accuracy[1]


def test_smaller_images_are_means_over_squares():
    images = random_images(3, (4, 6, 2))
    small = shrunk(images, 2)
    by_hand = [images[1, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, 1].sum() / 4 / 255 for i in range(2) for j in range(3)]
    np.testing.assert_allclose(small[1, :, :, 1].ravel(), by_hand, rtol=1e-14)
    assert small.shape == (3, 2, 3, 2) and shrunk(images, 1) is images
    with pytest.raises(UserError, match="4 x 6"):
        shrunk(images, 3)
