"""Distances of features: closed forms, other libraries, double loops; mutants of each are told apart."""

import numpy as np
import pytest
import scipy.linalg

from toylab.features import (
    Gaussian,
    distances,
    fit_gaussian,
    frechet_distance,
    kernel_distance,
    read_gaussian,
)


def random_gaussian(seed, dim=6, rank=None):
    random = np.random.default_rng(seed)
    factor = random.normal(size=(dim, rank or dim + 2))
    return Gaussian(random.normal(size=dim), factor @ factor.T / dim)


def test_gaussians_along_the_axes_have_a_closed_form():
    s, q = np.array([1.0, 2.0, 0.0]), np.array([3.0, 0.5, 1.5])
    first = Gaussian(np.array([1.0, 0.0, -2.0]), np.diag(s**2))
    second = Gaussian(np.zeros(3), np.diag(q**2))
    assert frechet_distance(first, second) == pytest.approx(5 + np.sum((s - q) ** 2), rel=1e-12)


@pytest.mark.parametrize(("rank", "tolerance"), [(None, 1e-10), (3, 1e-6)])
def test_the_root_is_the_matrix_root_of_scipy(rank, tolerance):
    for seed in range(5):
        first, second = random_gaussian(seed, rank=rank), random_gaussian(seed + 100)
        root = scipy.linalg.sqrtm(first.covariance @ second.covariance)
        expected = np.sum((first.mean - second.mean) ** 2) + np.trace(
            first.covariance + second.covariance - 2 * root.real
        )
        assert frechet_distance(first, second) == pytest.approx(expected, rel=tolerance)
        assert frechet_distance(second, first) == pytest.approx(expected, rel=tolerance)
        # The formula for covariances that commute is another one, and the test would see it.
        roots = scipy.linalg.sqrtm(first.covariance) @ scipy.linalg.sqrtm(second.covariance)
        assert abs(np.trace(roots).real - np.trace(root).real) > 1e-3


def test_a_rotation_changes_nothing_and_a_gaussian_is_at_zero_from_itself():
    first, second = random_gaussian(1), random_gaussian(2)
    turn = scipy.linalg.qr(np.random.default_rng(3).normal(size=(6, 6)))[0]
    turned = [Gaussian(turn @ each.mean, turn @ each.covariance @ turn.T) for each in (first, second)]
    assert frechet_distance(*turned) == pytest.approx(frechet_distance(first, second), rel=1e-10)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-12)


def test_samples_come_near_the_distance_of_their_gaussians_from_above():
    first, second = random_gaussian(4), random_gaussian(5)
    random = np.random.default_rng(6)

    def drawn(n):
        samples = [random.multivariate_normal(each.mean, each.covariance, n) for each in (first, second)]
        return frechet_distance(*map(fit_gaussian, samples))

    exact = frechet_distance(first, second)
    assert drawn(200_000) == pytest.approx(exact, rel=0.02)
    same = [
        frechet_distance(*(fit_gaussian(random.normal(size=(n, 6))) for _ in range(2))) for n in (50, 500)
    ]
    assert same[0] > 4 * same[1] > 0  # of one distribution: a bias of order 1 / n


@pytest.mark.parametrize("bad", [np.zeros((1, 3)), np.zeros(3), np.full((4, 3), np.nan)])
def test_what_no_gaussian_fits_is_refused(bad):
    with pytest.raises(ValueError, match="at least 2 rows of finite features"):
        fit_gaussian(bad)


def test_dimensions_must_agree():
    with pytest.raises(ValueError, match="dimension 6, the reference 5"):
        frechet_distance(random_gaussian(0), random_gaussian(0, dim=5))
    with pytest.raises(ValueError, match="dimension 3, the reference 2"):
        kernel_distance(np.zeros((4, 3)), np.zeros((4, 2)))


def double_loop(x, y, with_diagonal=False):
    def mean(a, b, skip):
        pairs = [(p, q) for i, p in enumerate(a) for j, q in enumerate(b) if not (skip and i == j)]
        return np.mean([(p @ q / len(p) + 1) ** 3 for p, q in pairs])

    skip = not with_diagonal
    return mean(x, x, skip) + mean(y, y, skip) - 2 * mean(x, y, False)


def test_the_kernel_distance_is_the_double_loop(monkeypatch):
    monkeypatch.setattr(distances, "BLOCK_ROWS", 4)
    random = np.random.default_rng(0)
    x, y = random.normal(size=(11, 5)), random.normal(size=(7, 5)) + 0.5
    assert kernel_distance(x, y) == pytest.approx(double_loop(x, y), rel=1e-10)
    assert abs(double_loop(x, y, with_diagonal=True) - double_loop(x, y)) > 0.1


def test_the_kernel_distance_has_no_bias():
    random = np.random.default_rng(1)
    pairs = [random.normal(size=(2, 20, 4)) for _ in range(400)]
    values = [kernel_distance(*pair) for pair in pairs]
    stderr = np.std(values, ddof=1) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * stderr
    with_diagonal = [double_loop(*pair, with_diagonal=True) for pair in pairs[:20]]
    assert np.mean(with_diagonal) > 20 * stderr


def test_of_large_sets_a_seeded_part_is_taken(monkeypatch):
    monkeypatch.setattr(distances, "MAX_ROWS", 50)
    random = np.random.default_rng(2)
    x, y = random.normal(size=(300, 4)), random.normal(size=(80, 4)) + 1
    assert kernel_distance(x, y, seed=3) == kernel_distance(x, y, seed=3) != kernel_distance(x, y, seed=4)
    with pytest.raises(ValueError, match="at least 2 rows a side, got 300 and 1"):
        kernel_distance(x, y[:1])


@pytest.mark.parametrize("names", [("mu", "sigma"), ("ref_mu", "ref_sigma")])
def test_statistics_of_a_reference_are_read(tmp_path, names):
    stored = random_gaussian(7)
    np.savez(tmp_path / "ref.npz", **dict(zip(names, stored, strict=True)))
    read = read_gaussian(tmp_path / "ref.npz", 6)
    np.testing.assert_array_equal(read.covariance, stored.covariance)
    np.testing.assert_array_equal(read.mean, stored.mean)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mu": np.zeros(5), "sigma": np.eye(5)}, r"'mu' has shape \(5,\), not \(6,\)"),
        ({"mu": np.zeros(6), "sigma": np.triu(np.ones((6, 6)))}, "sigma is not symmetric"),
        ({"mu": np.zeros(6), "sigma": np.eye(6), "x": np.zeros(2)}, "has 3 files, at most 2"),
        ({"mu": np.array([{}] * 6), "sigma": np.eye(6)}, "dtype object"),
        ({"mean": np.zeros(6), "cov": np.eye(6)}, "has no array 'mu'"),
        ({"mu": np.full(6, np.nan), "sigma": np.eye(6)}, "NaN or infinite"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, arrays, message):
    path = tmp_path / "ref.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=message) as error:
        read_gaussian(path, 6)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
