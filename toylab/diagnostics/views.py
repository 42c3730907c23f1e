"""Views of a trained net: samples in few and many steps, their paths, the velocity field beside the exact one.

Arrays only: who draws them is another matter. All speak of the moving average, as `Run.sample` does.
"""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.data.oracle import Oracle
from toylab.devices.parallel import single_precision
from toylab.metrics.base import can_be_scored, metrics
from toylab.metrics.score import Score, floor
from toylab.metrics.statistics import Interval, mean_interval
from toylab.metrics.wasserstein import SlicedReference
from toylab.nets import flat_net
from toylab.nets.sampling import SAMPLERS
from toylab.options import whole
from toylab.training import Run
from toylab.training.experiment import Experiment
from toylab.types import PRNGKey, Scalar, interpolate

STEPS = (1, 2, 4, 16)
"""Network evaluations per sample, from one step to many."""


class FewSteps(NamedTuple):
    """Samples from the same noise in few and in many steps.

    Attributes:
        steps: network evaluations per sample.
        samples: of each, those of the first key.
        reference: fresh data, that of the first key.
        scores: sliced W1 of each, over all keys.
        gain: how much nearer to the data the last of ``steps`` is than the first: the mean over keys, each of which has
            one noise and one data for both, and its 95 % interval; NaN where samples are not finite.
    """

    steps: tuple[int, ...]
    samples: Float[np.ndarray, "counts n dim"]
    reference: Float[np.ndarray, "n dim"]
    scores: tuple[Score, ...]
    gain: Interval


class Trajectories(NamedTuple):
    """Paths of the same noise from t = 1 to t = 0: the net's, and the exact flow's.

    Attributes:
        steps: network evaluations of each of the net's paths.
        times: at which the net's paths stand, from 1 to 0, one array for each of ``steps``.
        model: the net's paths; between two states a step is a straight line.
        oracle_times: from 1 to 0.
        oracle: the exact flow.
        gaps: mean distance at t = 0 between the net's end and the exact one, and its standard error, for each of
            ``steps``.
        reference: data points.
    """

    steps: tuple[int, ...]
    times: tuple[Float[np.ndarray, " states"], ...]
    model: tuple[Float[np.ndarray, "n states dim"], ...]
    oracle_times: Float[np.ndarray, " moments"]
    oracle: Float[np.ndarray, "n moments dim"]
    gaps: tuple[tuple[float, float], ...]
    reference: Float[np.ndarray, "m dim"]


class Field(NamedTuple):
    """The velocity at time ``t`` on a grid, the net's u(x, t, t) and the exact v(x, t).

    Attributes:
        t: time.
        grid: points.
        model: the net's velocity there.
        oracle: the exact velocity there.
        points: points x_t of the path at that time, drawn from p_t.
        rms: root of the mean of |u - v|^2 over p_t.
        stderr: its standard error.
        exact_rms: root of the mean of |v|^2 over p_t: what ``rms`` is small or large against.
        n: points of p_t behind these numbers.
    """

    t: float
    grid: Float[np.ndarray, "m dim"]
    model: Float[np.ndarray, "m dim"]
    oracle: Float[np.ndarray, "m dim"]
    points: Float[np.ndarray, "k dim"]
    rms: float
    stderr: float
    exact_rms: float
    n: int


def few_step_samples(
    run: Run, steps: Sequence[int] = STEPS, *, n: int = 2048, num_keys: int = 4, seed: int = 0
) -> FewSteps:
    """Samples of ``run`` in each of ``steps`` evaluations, from the same noise, with their distance to the data.

    Args:
        run: a trained run.
        steps: network evaluations per sample.
        n: samples, and data points, per key.
        num_keys: independent pairs of noise and data; the standard errors are over these.
        seed: fixes noise, data and projections; the same seed gives the same noise to every run.

    Raises:
        ValueError: no steps, or a count out of range.
    """
    steps = _counts(steps)
    num_keys = whole("num_keys", num_keys, 1, 1000)
    values: list[list[float]] = [[] for _ in steps]
    shown, reference = [], None
    for key in range(num_keys):
        seed_noise, seed_data, seed_metric = _seeds(seed, key)
        fresh = run.dataset.sample(n, seed=seed_data)
        measure = SlicedReference(fresh, seed=seed_metric)
        samples = [run.sample(n, nfe=nfe, seed=seed_noise) for nfe in steps]
        for column, points in zip(values, samples, strict=True):
            column.append(measure.distance(points) if can_be_scored(points) else np.nan)
        if reference is None:
            shown, reference = samples, fresh
    assert reference is not None  # there is at least one key
    base = floor(metrics.create("sliced_w1"), run.dataset.sample, n, seed=seed).value
    scores = tuple(Score.of(column, n, base, nfe) for column, nfe in zip(values, steps, strict=True))
    return FewSteps(steps, np.stack(shown), reference, scores, _gain(np.subtract(values[0], values[-1])))


def trajectories(
    run: Run, steps: Sequence[int] = (1, 16), *, n: int = 160, num_times: int = 33, seed: int = 0
) -> Trajectories:
    """Paths of ``n`` noise points: the net's in each of ``steps`` evaluations, and those of the exact flow.

    Args:
        run: a trained run.
        steps: network evaluations of a path; its end is `Run.sample` with as many and the same seed.
        n: paths.
        num_times: at which the exact flow is given.
        seed: fixes the noise.

    Raises:
        ValueError: no steps, or a count out of range.
    """
    steps = _counts(steps)
    n, num_times = whole("n", n, 2, 10_000), whole("num_times", num_times, 2, 1000)
    with single_precision():
        model = tuple(
            np.asarray(_paths(run.experiment, run.state.params_ema, jax.random.key(seed), n, nfe))
            for nfe in steps
        )
    exact, moments = Oracle(run.dataset), np.linspace(1.0, 0.0, num_times)
    states = [np.asarray(model[0][:, 0])]
    # From moment to moment: from noise anew to each of them would cost a dozen times as much.
    for t, r in itertools.pairwise(moments):
        states.append(np.asarray(exact.flow_map(states[-1], t, r)))
    oracle = np.stack(states, axis=1)
    gaps = tuple(_mean_and_stderr(np.linalg.norm(path[:, -1] - oracle[:, -1], axis=1)) for path in model)
    times = tuple(np.linspace(1.0, 0.0, path.shape[1]) for path in model)
    return Trajectories(steps, times, model, moments, oracle, gaps, run.dataset.sample(1024, seed=seed + 1))


def field(
    run: Run, t: float, grid: Float[np.ndarray, "m dim"], *, n: int = 2048, shown: int = 512, seed: int = 0
) -> Field:
    """The net's velocity u(x, t, t) and the exact one at the points of ``grid``, and how far apart they are.

    Args:
        run: a trained run.
        t: time in (0, 1].
        grid: points, as from `square_grid`.
        n: points of p_t over which the difference is averaged.
        shown: how many of them are handed back.
        seed: fixes these points: the same data and noise at every ``t``.

    Raises:
        ValueError: a time or a count out of range.
    """
    n = whole("n", n, 2, 1_000_000)
    x0 = run.dataset.sample(n, seed=seed)
    eps = np.random.default_rng([seed, 1]).standard_normal(x0.shape).astype(x0.dtype)
    points = np.asarray(jax.vmap(interpolate, (0, 0, None))(x0, eps, np.asarray(t, x0.dtype)))
    places = np.concatenate([np.asarray(grid, x0.dtype), points])
    oracle = np.asarray(Oracle(run.dataset).velocity(places, t))
    with single_precision():
        model = np.asarray(_velocities(run.experiment, run.state.params_ema, places, np.float32(t)))
    squares = np.sum(np.square(model - oracle, dtype=np.float64), axis=1)[len(grid) :]
    mean, stderr = _mean_and_stderr(squares)
    rms, exact = np.sqrt(mean), np.sqrt(np.mean(np.sum(np.square(oracle[len(grid) :], dtype=np.float64), 1)))
    return Field(
        t=float(t),
        grid=np.asarray(grid),
        model=model[: len(grid)],
        oracle=oracle[: len(grid)],
        points=points[:shown],
        rms=float(rms),
        # Of a root: d sqrt(m) = dm / (2 sqrt(m)).
        stderr=float(stderr / (2 * rms)) if rms > 0 else 0.0,
        exact_rms=float(exact),
        n=n,
    )


def square_grid(centre: Sequence[float], half: float, per_side: int = 15) -> Float[np.ndarray, "m 2"]:
    """The middles of ``per_side`` by ``per_side`` cells that fill a square."""
    middles = (np.arange(per_side) + 0.5) / per_side * 2 - 1
    x, y = np.meshgrid(centre[0] + half * middles, centre[1] + half * middles)
    return np.stack([x.ravel(), y.ravel()], axis=1)


@partial(jax.jit, static_argnames=("n", "nfe"))
def _paths(
    experiment: Experiment, params: Array, key: PRNGKey, n: int, nfe: int
) -> Float[Array, "n states dim"]:
    net = flat_net(experiment.net).bind(params)
    trajectory = SAMPLERS[experiment.method.sampler]
    noise = jax.random.normal(key, (n, experiment.net.dim), jnp.float32)  # as in `Run.sample`
    return jax.vmap(lambda eps: trajectory(net, eps, nfe))(noise)


@jax.jit
def _velocities(
    experiment: Experiment, params: Array, x: Float[Array, "n dim"], t: Scalar
) -> Float[Array, "n dim"]:
    net = flat_net(experiment.net).bind(params)
    return jnp.asarray(jax.vmap(lambda x: net(x, t, t))(x))


def _mean_and_stderr(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))


def _gain(differences: Float[np.ndarray, " keys"]) -> Interval:
    if np.all(np.isfinite(differences)):
        return mean_interval(differences)
    return Interval(np.nan, np.nan, np.nan, len(differences))


def _counts(steps: Sequence[int]) -> tuple[int, ...]:
    if not steps:
        raise ValueError("steps must name at least one count")
    return tuple(whole("steps", count, 1, 10_000) for count in steps)


def _seeds(seed: int, key: int) -> list[int]:
    """Seeds of noise, data and projections of one key, never shared."""
    return (np.random.SeedSequence([seed, key]).generate_state(3) >> 1).tolist()
