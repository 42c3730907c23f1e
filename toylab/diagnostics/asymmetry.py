"""Theorem check: an error of the proxy in the tangent against the same error in the target."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from toylab.data import AbstractDataset, datasets
from toylab.devices.parallel import compiled
from toylab.plots.figures import BASELINE, CHOSEN, DATA, panel_grid
from toylab.types import MIN_TIME, Point, PRNGKey, Scalar

_STEPS = 64


class Asymmetry(NamedTuple):
    """What `target_tangent_asymmetry` found.

    Args:
        table: a row per gap: tangent and target, root mean square change of the stationary u over |error|; formula,
            that of -(1/2)(t - r) d_x u error; ratio, least-squares factor of the tangent's change on the formula,
            with its standard error ratio_stderr over points.
        tangent_slope: d log(tangent) / d log(gap) over the three smallest gaps: 1 says proportional to the gap.
        target_slope: the same for the target: 0 says it does not depend on the gap.
        n: points.
    """

    table: pd.DataFrame
    tangent_slope: float
    target_slope: float
    n: int

    def figure(self) -> Figure:
        """Change of u against the gap, log scales."""
        return asymmetry_figure(self)


def target_tangent_asymmetry(
    dataset: str | AbstractDataset,
    t: float = 0.7,
    gaps: Sequence[float] = (0.02, 0.04, 0.08, 0.16, 0.32, 0.6),
    error: float = 0.02,
    num_points: int = 1024,
    seed: int = 0,
) -> Asymmetry:
    r"""How the stationary solution moves when v_hat = v + e stands in the tangent, or in the target.

    Stationary MeanFlow says d/ds[(s - r) u] = v along the characteristic dx/ds = w, with w the tangent's velocity.
    Both changes follow from solving that, without any training:

        tangent: u = mean of v over the path of v + e through x_t,   change = -(1/2)(t - r) d_x u e + ...
        target:  u = mean of v + e over the path of v,               change = e.

    The factor 1/2 is that of the averaging: an error of the tangent at s displaces by what is left of the interval.

    Args:
        dataset: name or dataset.
        t: later time, in (0, 1].
        gaps: of which at least three, ascending, all below t.
        error: length of e, which has a random direction per point and is constant along a path.
        num_points: points x_t ~ p_t, at least 16.
        seed: of points and directions.

    Raises:
        ValueError: unknown dataset, or a number out of range.

    Source: Lu and Wang 2026 (lu2026variance), who state the order in the gap; the factor is derived here.
    """
    if isinstance(dataset, str):
        dataset = datasets.create(dataset, {})
    if not 0 < t <= 1:
        raise ValueError(f"t must lie in (0, 1], got {t}")
    ascending = list(gaps) == sorted(set(gaps)) and len(gaps) >= 3
    if not (ascending and gaps[0] > 0 and gaps[-1] < t - MIN_TIME):
        raise ValueError(f"gaps must be at least three, ascending, between 0 and t = {t}, got {list(gaps)}")
    if not error > 0 or num_points < 16:
        raise ValueError(f"error must be positive and num_points at least 16, got {error} and {num_points}")
    program = compiled(_effects(num_points))
    rows = []
    for gap in gaps:
        numbers = [np.asarray(value, np.float64) for value in (t, gap, error)]
        found = program(dataset, jax.random.key(seed), *numbers)
        tangent, target, formula = (np.asarray(each, np.float64) for each in found)
        ratio, ratio_stderr = _ratio(tangent, formula)
        size = {
            name: float(np.sqrt(np.mean(np.sum(each**2, axis=1))) / error)
            for name, each in (("tangent", tangent), ("target", target), ("formula", formula))
        }
        rows.append({"gap": float(gap), **size, "ratio": ratio, "ratio_stderr": ratio_stderr})
    table = pd.DataFrame(rows)
    slopes = [
        float(np.polyfit(np.log(table["gap"][:3]), np.log(table[name][:3]), 1)[0])
        for name in ("tangent", "target")
    ]
    return Asymmetry(table, slopes[0], slopes[1], num_points)


@lru_cache(maxsize=8)
def _effects(num_points: int):
    def effects(dataset: AbstractDataset, key: PRNGKey, t: Scalar, gap: Scalar, error: Scalar):
        """Change of u by the tangent's error and by the target's, and the formula for the first; (n, dim) each."""
        key_data, key_eps, key_error = jax.random.split(key, 3)
        x0 = dataset.draw(key_data, num_points)
        dtype = x0.dtype
        t, gap, error = (jnp.asarray(value, dtype) for value in (t, gap, error))
        eps = jax.random.normal(key_eps, x0.shape, dtype)
        directions = jax.random.normal(key_error, x0.shape, dtype)
        errors = error * directions / jnp.linalg.norm(directions, axis=1, keepdims=True)

        def one(x: Point, e: Point) -> tuple[Point, Point, Point]:
            nothing = jnp.zeros_like(e)
            right = _stationary(dataset, x, t, gap, nothing, nothing)
            jacobian = jax.jacfwd(lambda x: _stationary(dataset, x, t, gap, nothing, nothing))(x)
            by_tangent = _stationary(dataset, x, t, gap, e, nothing) - right
            by_target = _stationary(dataset, x, t, gap, nothing, e) - right
            return by_tangent, by_target, -0.5 * gap * jacobian @ e

        return jax.vmap(one)((1 - t) * x0 + t * eps, errors)

    return effects


def _stationary(
    dataset: AbstractDataset, x: Point, t: Scalar, gap: Scalar, tangent_error: Point, target_error: Point
) -> Point:
    """Mean of v + target_error along the path of v + tangent_error from x at t down to t - gap (Runge-Kutta 4)."""
    h = 1 / _STEPS

    def slope(s, state):
        at, _ = state
        v = dataset.velocity(at, t - s * gap)
        return -gap * (v + tangent_error), v + target_error

    def step(state, s):
        def moved(scale, k):
            return tuple(a + scale * b for a, b in zip(state, k, strict=True))

        k1 = slope(s, state)
        k2 = slope(s + h / 2, moved(h / 2, k1))
        k3 = slope(s + h / 2, moved(h / 2, k2))
        k4 = slope(s + h, moved(h, k3))
        mean = tuple((a + 2 * b + 2 * c + d) / 6 for a, b, c, d in zip(k1, k2, k3, k4, strict=True))
        return moved(h, mean), None

    (_, integral), _ = jax.lax.scan(step, (x, jnp.zeros_like(x)), jnp.arange(_STEPS, dtype=x.dtype) * h)
    return integral


def _ratio(effect: np.ndarray, formula: np.ndarray) -> tuple[float, float]:
    """Least-squares factor of ``effect`` on ``formula`` and its standard error over points."""
    products, squares = np.sum(effect * formula, axis=1), np.sum(formula**2, axis=1)
    ratio = products.sum() / squares.sum()
    stderr = (products - ratio * squares).std(ddof=1) / len(squares) ** 0.5 / squares.mean()
    return float(ratio), float(stderr)


def asymmetry_figure(found: Asymmetry) -> Figure:
    """Change of the stationary solution against the gap."""
    figure, (panel,) = panel_grid(1)
    table = found.table
    panel.loglog(table["gap"], table["target"], "s-", color=BASELINE, ms=4, label="error in the target")
    panel.loglog(table["gap"], table["tangent"], "o-", color=CHOSEN, ms=4, label="error in the tangent")
    panel.loglog(table["gap"], table["formula"], "--", color=DATA, label="(1/2)(t - r)|d_x u e|")
    panel.set(title=f"slopes {found.target_slope:.2f}, {found.tangent_slope:.2f}", xlabel="gap t - r")
    panel.set_ylabel("change of u over |error|")
    panel.xaxis.set_minor_formatter(NullFormatter())  # its labels would overlap
    panel.legend(fontsize="x-small", frameon=False)
    return figure
