"""Metrics against closed forms, POT, SciPy and their own invariances; floors against the n^-1/2 law."""

import importlib
import json
import math

import numpy as np
import ot
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from toylab.data import Modes
from toylab.metrics import (
    Metric,
    Score,
    SlicedReference,
    floor,
    metrics,
    sliced_wasserstein,
    wasserstein,
)
from toylab.metrics.wasserstein import random_directions

NAMES = ["energy_distance", "mode_balance", "mode_coverage", "sliced_w1", "sliced_w2", "w1", "w2"]
DISTANCES = [name for name in NAMES if not metrics.create(name).needs_modes]
MODES = Modes(
    np.array([[-4.0, 0.0], [4.0, 0.0], [0.0, 4.0]]), np.array([0.3, 0.3, 0.3]), np.array([0.5, 0.3, 0.2])
)


def normal(n: int, dim: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim))


def mixture(n: int, seed: int = 0, weights: np.ndarray = MODES.weights) -> np.ndarray:
    rng = np.random.default_rng(seed)
    component = rng.choice(len(weights), size=n, p=weights)
    return MODES.centres[component] + MODES.stds[component, None] * rng.standard_normal((n, 2))


def test_the_registry_finds_every_metric():
    assert metrics.names() == NAMES
    assert all(metrics.entry(name).summary for name in NAMES)
    with pytest.raises(ValueError, match="choices: num_projections"):
        metrics.create("sliced_w1", {"projections": 3})


# Conformance: one test per promise, over every metric.


@pytest.mark.parametrize("name", NAMES)
def test_a_call_is_a_finite_float_and_repeats(name: str):
    metric = metrics.create(name)
    assert isinstance(metric, Metric)
    x, y = mixture(200, 1), mixture(200, 2)
    value = metric(x, y, MODES, 3)
    assert type(value) is float
    assert math.isfinite(value)
    assert metric(x, y, MODES, 3) == value


@pytest.mark.parametrize("name", NAMES)
def test_a_better_sample_scores_better(name: str):
    metric = metrics.create(name)
    reference, good = mixture(400, 1), mixture(400, 2)
    collapsed = mixture(400, 2, np.array([1.0, 0.0, 0.0]))
    gain = metric(good, reference, MODES) - metric(collapsed, reference, MODES)
    assert gain > 0.1 if metric.higher_is_better else gain < -0.1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_a_value_that_is_not_finite_raises(name: str, which: int, bad: float):
    pair = [mixture(20, 1), mixture(20, 2)]
    pair[which][7, 1] = bad
    with pytest.raises(ValueError, match=("samples", "reference")[which]) as info:
        metrics.create(name)(*pair, MODES)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (np.zeros((0, 2)), np.zeros((4, 2)), "n, dim >= 1"),
        (np.zeros(4), np.zeros((4, 2)), "n, dim >= 1"),
        (np.zeros((4, 3)), np.zeros((4, 2)), "dimension 3, the reference 2"),
        (np.zeros((4, 3)), np.zeros((4, 3)), "dimension 3, the modes 2"),
        (np.zeros((4, 2), complex), np.zeros((4, 2)), "complex128"),
        (np.array([["a", "b"]]), np.zeros((4, 2)), "real numbers"),
    ],
)
def test_bad_points_are_named(name: str, x: np.ndarray, y: np.ndarray, said: str):
    metric = metrics.create(name)
    if "modes" in said and not metric.needs_modes:
        pytest.skip("needs no modes")
    with pytest.raises(ValueError, match=said):
        metric(x, y, MODES)


@pytest.mark.parametrize("name", ["w1", "w2", "energy_distance"])
def test_too_many_points_are_refused_not_subsampled(name: str):
    metric = metrics.create(name)
    with pytest.raises(ValueError, match=f"at most {metric.max_n} points, got {metric.max_n + 1}"):
        metric(np.zeros((metric.max_n + 1, 2)), np.zeros((2, 2)))


def test_a_set_without_modes_is_refused():
    assert [name for name in NAMES if metrics.create(name).needs_modes] == ["mode_balance", "mode_coverage"]
    for name in ("mode_balance", "mode_coverage"):
        with pytest.raises(ValueError, match="needs a dataset with modes"):
            metrics.create(name)(mixture(10), mixture(10))


@pytest.mark.parametrize("name", DISTANCES)
def test_a_distance_is_symmetric_and_zero_on_itself(name: str):
    metric = metrics.create(name)
    x, y = normal(150, seed=1), 1 + normal(110, seed=2)
    assert metric(x, y) == pytest.approx(metric(y, x), rel=1e-12)
    # The root of a difference of equal means: rounding of order 1e-16 becomes 1e-8.
    assert metric(x, x[::-1]) == pytest.approx(0, abs=1e-7)


# Closed forms.


@pytest.mark.parametrize("p", [1, 2, 3])
def test_a_shift_costs_its_length(p: int):
    x, shift = normal(120), np.array([3.0, -4.0])
    assert wasserstein(x, x + shift, p) == pytest.approx(5, rel=1e-12)
    # Projected, a shift costs |theta . shift| along each direction theta.
    expected = np.mean(np.abs(random_directions(2, 64, 5) @ shift) ** p) ** (1 / p)
    assert sliced_wasserstein(x, x + shift, p, 64, 5) == pytest.approx(expected, rel=1e-12)


def test_sliced_w2_of_a_shift_tends_to_its_length_over_sqrt_dim():
    # E (theta . shift)^2 = |shift|^2 / dim; a mean of 4000 directions is within 5% of it (4 standard errors).
    for dim in (2, 5):
        x = normal(50, dim)
        assert sliced_wasserstein(x, x + 2, 2, 4000) ** 2 == pytest.approx(4, rel=0.05)


def test_w2_between_gaussians():
    # Quantiles of two normals, so that the only error is the grid's: W2^2 = (m1 - m2)^2 + (s1 - s2)^2.
    q = scipy.stats.norm.ppf((np.arange(600) + 0.5) / 600)[:, None]
    assert wasserstein(q, 2 + 3 * q) == pytest.approx(math.sqrt(2**2 + 2**2), rel=5e-3)
    # A positive definite linear map plus a shift is optimal, for these points as between two Gaussians.
    x, root = normal(300), np.array([[2.0, 0.5], [0.5, 1.0]])
    mapped = x @ root + np.array([1.0, -1.0])
    expected = np.sqrt(np.mean(np.sum((mapped - x) ** 2, axis=1)))
    assert wasserstein(x, mapped) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("m", [60, 97])
def test_on_a_line_all_agree_with_scipy(m: int):
    x, y = normal(60, 1, 1), 0.5 + 2 * normal(m, 1, 2)
    expected = scipy.stats.wasserstein_distance(x[:, 0], y[:, 0])
    assert sliced_wasserstein(x, y, 1, 3) == pytest.approx(expected, rel=1e-12)
    assert wasserstein(x, y, 1) == pytest.approx(expected, rel=1e-12)
    energy = scipy.stats.energy_distance(x[:, 0], y[:, 0])
    assert metrics.create("energy_distance")(x, y) == pytest.approx(energy, rel=1e-9)


# POT.


@pytest.mark.parametrize(("n", "m"), [(500, 500), (500, 333), (7, 500)])
@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("dim", [2, 5])
def test_sliced_agrees_with_pot_on_the_same_projections(n: int, m: int, p: int, dim: int):
    x, y = normal(n, dim, 1), 0.3 + 1.5 * normal(m, dim, 2)
    directions = random_directions(dim, 40, 9)
    expected = ot.sliced_wasserstein_distance(x, y, p=p, projections=directions.T)
    assert sliced_wasserstein(x, y, p, 40, 9) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("p", [1, 2])
def test_float32_sorts_agree_with_float64(p: int):
    x, y = normal(3000, seed=1), 0.05 + normal(3000, seed=2)
    in_single = sliced_wasserstein(x.astype(np.float32), y.astype(np.float32), p, 50)
    assert in_single == pytest.approx(sliced_wasserstein(x, y, p, 50), rel=1e-5)


def test_chunks_do_not_change_the_value(monkeypatch: pytest.MonkeyPatch):
    x, y = normal(300, seed=1), normal(211, seed=2)
    whole, energy = sliced_wasserstein(x, y, 2, 30), metrics.create("energy_distance")(x, y)
    # As an attribute of toylab.metrics the name is the function, not the module.
    monkeypatch.setattr(importlib.import_module("toylab.metrics.wasserstein"), "CHUNK_VALUES", 3600)
    monkeypatch.setattr("toylab.metrics.energy_distance.BLOCK_VALUES", 3600)
    assert sliced_wasserstein(x, y, 2, 30) == pytest.approx(whole, rel=1e-12)
    assert metrics.create("energy_distance")(x, y) == pytest.approx(energy, rel=1e-12)


def test_a_kept_reference_gives_the_same_distance():
    reference = SlicedReference(normal(200, seed=1), 32, 4)
    for x, p in ((normal(200, seed=2), 1), (normal(130, seed=3), 2)):
        assert reference.distance(x, p) == sliced_wasserstein(x, normal(200, seed=1), p, 32, 4)
    with pytest.raises(ValueError, match="dimension 3, the reference 2"):
        reference.distance(normal(10, 3))


@pytest.mark.parametrize("p", [0.5, 11, math.nan])
def test_an_order_out_of_range_is_refused(p: float):
    for distance in (sliced_wasserstein, wasserstein):
        with pytest.raises(ValueError, match=r"p must be in \[1, 10\]"):
            distance(normal(5), normal(5), p)


# Invariances.


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    scale=st.floats(0.01, 100),
    shift=st.floats(-50, 50),
    name=st.sampled_from(DISTANCES),
    seed=st.integers(0, 1000),
)
def test_distances_are_invariant_to_order_and_shift_and_scale_with_the_data(
    scale: float, shift: float, name: str, seed: int
):
    metric = metrics.create(name)
    x, y = normal(40, seed=seed), 1 + normal(30, seed=seed + 1)
    degree = 0.5 if name == "energy_distance" else 1
    moved = metric(scale * x[::-1] + shift, scale * np.roll(y, 3, axis=0) + shift)
    assert moved == pytest.approx(scale**degree * metric(x, y), rel=1e-6)


def test_exact_distances_are_invariant_to_rotation_and_order_as_they_must():
    x, y = normal(80, seed=1), 1 + normal(80, seed=2)
    turn = scipy.stats.special_ortho_group.rvs(2, random_state=0)
    for p in (1, 2):
        assert wasserstein(x @ turn, y @ turn, p) == pytest.approx(wasserstein(x, y, p), rel=1e-9)
        assert sliced_wasserstein(x, y, p) < wasserstein(x, y, p)
    assert wasserstein(x, y, 1) < wasserstein(x, y, 2)


# Modes.


def test_coverage_counts_the_modes_that_are_reached():
    coverage = metrics.create("mode_coverage")
    data = mixture(2000)
    assert coverage(data, data, MODES) == 1
    assert coverage(data[data[:, 1] < 2], data, MODES) == pytest.approx(2 / 3)
    # A mode ends at sqrt(q_2) = 3.41 standard deviations in two dimensions.
    up = np.array([0, 0.3])
    assert coverage(MODES.centres + 3.5 * up, data, MODES) == 0
    assert coverage(MODES.centres + 3.3 * up, data, MODES) == 1


def test_coverage_asks_for_a_tenth_of_the_fair_mass():
    # Of 1000 samples a tenth of the third mode's fair 200 is 20.
    for count, covered in ((19, 2 / 3), (20, 1)):
        points = np.repeat(MODES.centres, [600, 400 - count, count], axis=0)
        assert metrics.create("mode_coverage")(points, points, MODES) == pytest.approx(covered)


def test_the_radius_of_a_mode_holds_its_mass_in_any_dimension():
    for dim in (1, 8):
        modes = Modes(np.zeros((1, dim)), np.array([0.7]), np.array([1.0]))
        x = 0.7 * normal(20_000, dim)
        # Covered for every share below 0.997 and none above: five standard errors are 0.002.
        assert metrics.create("mode_coverage", {"share": 0.995})(x, x, modes) == 1
        assert metrics.create("mode_coverage", {"share": 0.999})(x, x, modes) == 0


def test_balance_is_the_total_variation_of_the_shares():
    points = np.repeat(MODES.centres, [2, 3, 5], axis=0)
    # Shares (.2, .3, .5) against (.5, .3, .2).
    assert metrics.create("mode_balance")(points, points, MODES) == pytest.approx(0.3)
    assert metrics.create("mode_balance")(points[:2], points, MODES) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "options"), [("mode_coverage", {"share": 0.0}), ("sliced_w1", {"num_projections": 0})]
)
def test_bad_options_are_refused(name: str, options: dict):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        metrics.create(name, options)


# Floors and scores.


@pytest.mark.parametrize("name", ["sliced_w1", "energy_distance", "mode_balance"])
def test_the_floor_falls_as_one_over_root_n(name: str):
    options = {"num_projections": 50} if name == "sliced_w1" else {}
    metric = metrics.create(name, options)
    few, many = (floor(metric, mixture, n, 100, MODES) for n in (64, 1024))
    ratio = few.value / many.value
    error = ratio * math.hypot(few.stderr / few.value, many.stderr / many.value)
    assert error < 0.5
    assert abs(ratio - 4) < 4 * error
    assert few.n == 64
    assert few.num_repeats == 100


def test_the_floor_of_balance_is_its_expectation():
    # Two modes at 1/2: TV = |K/n - 1/2| with K binomial, and E|K - n/2| = sqrt(n / 2 pi) up to 1/n.
    modes = Modes(np.array([[-9.0], [9.0]]), np.array([1.0, 1.0]), np.array([0.5, 0.5]))

    def draw(n: int, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).choice([-9.0, 9.0], size=(n, 1))

    got = floor(metrics.create("mode_balance"), draw, 400, 400, modes)
    assert abs(got.value - 1 / math.sqrt(2 * math.pi * 400)) < 4 * got.stderr


def test_the_floor_draws_fresh_pairs_and_repeats_by_seed():
    seeds: list[int] = []

    def draw(n: int, seed: int) -> np.ndarray:
        seeds.append(seed)
        return normal(n, seed=seed)

    metric = metrics.create("sliced_w1", {"num_projections": 5})
    first = floor(metric, draw, 20, 6)
    assert len(set(seeds)) == 12
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert floor(metric, draw, 20, 6) == first
    assert floor(metric, draw, 20, 6, seed=1) != first
    with pytest.raises(ValueError, match="at least 2"):
        floor(metric, draw, 20, 1)


def test_a_score_is_a_mean_its_error_and_the_floor():
    score = Score.of([1.0, 2.0, 3.0], n=50, floor=0.5)
    assert score == Score(2.0, 1 / math.sqrt(3), 50, 0.5, 3)
    assert score.to_json() == {
        "value": 2.0, "stderr": 1 / math.sqrt(3), "n": 50, "floor": 0.5, "num_keys": 3, "nfe": 1,
    }  # fmt: skip
    assert json.loads(json.dumps(Score.of([1.0], 50, 0.5).to_json(), allow_nan=False))["stderr"] is None
