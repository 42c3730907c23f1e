"""Exact velocity, covariance, Jacobian, flow map and average velocity, from a dataset alone.

The functions take one example and are pure: use them inside jit, vmap and grad. ``Oracle`` maps them over arrays.

The ODE is solved down to t = MIN_TIME = 1e-4 only, since the velocity of sharp sets makes it stiff below. From there to
r the flow takes one straight step along the velocity, so that r = 0 ends at the posterior mean E[x0 | x_t]. On a
dataset of noise s the error of that step is below 1e-8 / s.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from toylab.data import AbstractDataset, datasets
from toylab.types import MIN_TIME, AnyArray, Matrix, Point, Scalar

# Steps after which the solver gives up and the result is NaN.
_MAX_STEPS = 4096
# Numbers in the largest intermediate array of one batch: 64 MB in float64.
_BATCH_NUMBERS = 2**23
_LARGEST_BATCH = 1024


def velocity(dataset: AbstractDataset, x: Point, t: Scalar) -> Point:
    """Marginal velocity v(x, t) = E[eps - x0 | x_t = x]."""
    return dataset.velocity_moments(x, t)[0]


def velocity_covariance(dataset: AbstractDataset, x: Point, t: Scalar) -> Matrix:
    """Sigma(x, t) = Cov[eps - x0 | x_t = x] = Cov[x0 | x_t = x] / t^2."""
    return dataset.velocity_moments(x, t)[1]


def velocity_jacobian(dataset: AbstractDataset, x: Point, t: Scalar) -> Matrix:
    """d_x v(x, t), by forward differentiation: no subtraction of numbers of size 1/t."""
    return jax.jacfwd(velocity, argnums=1)(dataset, x, t)


def average_velocity(dataset: AbstractDataset, x: Point, r: Scalar, t: Scalar) -> Point:
    r"""Average velocity u(x, r, t) = (x - phi_{t->r}(x)) / (t - r); at r = t the velocity itself.

    Solved for u directly: with tau = t - s (t - r), s from 0 to 1,

        dy/ds = v(x - (t - r) y, tau),   y(0) = 0,   u = y(1),

    which divides by nothing, so that it stays accurate as r -> t.
    """
    r_floor = _floor(r, t)

    def field(s, y, _):
        return velocity(dataset, x - (t - r_floor) * y, t - s * (t - r_floor))

    u = _solve(field, jnp.zeros_like(x))
    # The straight last step from MIN_TIME to r, weighted by its share of the interval.
    last = velocity(dataset, x - (t - r_floor) * u, r_floor)
    return u + _share(r, r_floor, t) * (last - u)


def average_velocity_and_jacobian(
    dataset: AbstractDataset, x: Point, r: Scalar, t: Scalar
) -> tuple[Point, Matrix]:
    r"""u(x, r, t) and d_x u, by the variational equation alongside: dY/ds = d_x v (I - (t - r) Y)."""
    r_floor = _floor(r, t)
    identity = jnp.eye(x.shape[0], dtype=x.dtype)

    def field(s, state, _):
        y, y_jacobian = state[0], state[1:]
        here, tau = x - (t - r_floor) * y, t - s * (t - r_floor)
        towards = (identity - (t - r_floor) * y_jacobian).T
        v, push = jax.linearize(lambda x: velocity(dataset, x, tau), here)
        return jnp.concatenate([v[None], jax.vmap(push)(towards).T])

    state = _solve(field, jnp.zeros((x.shape[0] + 1, x.shape[0]), x.dtype))
    u, u_jacobian = state[0], state[1:]
    end = x - (t - r_floor) * u
    share = _share(r, r_floor, t)
    last = velocity(dataset, end, r_floor)
    last_jacobian = velocity_jacobian(dataset, end, r_floor) @ (identity - (t - r_floor) * u_jacobian)
    return u + share * (last - u), u_jacobian + share * (last_jacobian - u_jacobian)


def flow_map(dataset: AbstractDataset, x: Point, t: Scalar, r: Scalar) -> Point:
    """phi_{t->r}(x): the point at time r of the flow dx/dt = v that passes through ``x`` at time t."""
    return x - (t - r) * average_velocity(dataset, x, r, t)


def flow_map_jacobian(dataset: AbstractDataset, x: Point, t: Scalar, r: Scalar) -> Matrix:
    """rho = d phi_{t->r}(x) / d x = I - (t - r) d_x u."""
    _, jacobian = average_velocity_and_jacobian(dataset, x, r, t)
    return jnp.eye(x.shape[0], dtype=x.dtype) - (t - r) * jacobian


def _floor(r: Scalar, t: Scalar) -> Scalar:
    return jnp.minimum(jnp.maximum(r, MIN_TIME), t)


def _share(r: Scalar, r_floor: Scalar, t: Scalar) -> Scalar:
    """Share (r_floor - r) / (t - r) of the interval that the last step covers, 0 at r = t."""
    return jnp.where(r_floor > r, (r_floor - r) / jnp.where(t > r, t - r, 1), 0)


def _solve(field: Callable[..., AnyArray], start: Float[Array, "..."]) -> Float[Array, "..."]:
    """Solution at s = 1 of dy/ds = field(s, y, None), y(0) = start; NaN where the solver gives up."""
    # Imported here because the first look-up of a dataset imports this module, and diffrax adds 0.4 s to it.
    import diffrax

    # In float32 rounding alone makes the step-size controller reject steps at tolerances far below 1e-5.
    tolerance = 1e-10 if start.dtype == jnp.float64 else 1e-5
    zero, one = jnp.zeros((), start.dtype), jnp.ones((), start.dtype)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        diffrax.Dopri8() if start.dtype == jnp.float64 else diffrax.Tsit5(),
        t0=zero,
        t1=one,
        dt0=one / 64,
        y0=start,
        stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
        saveat=diffrax.SaveAt(t1=True),
        max_steps=_MAX_STEPS,
        throw=False,
    )
    assert solution.ys is not None  # asked for by SaveAt(t1=True)
    return jnp.where(solution.result == diffrax.RESULTS.successful, solution.ys[0], jnp.nan)


class Oracle:
    """The exact quantities of a dataset, on arrays of points.

    Points have shape (n, dim), times are scalars or have shape (n,), with 0 <= r <= t and 0 < t <= 1; numpy and jax
    arrays are accepted. The result is a jax array, float64 where x64 is enabled, else float32. Large arrays are
    processed in batches, so memory does not grow with n times the size of the dataset.

    Every method can be differentiated in reverse mode. Forward mode works for all but the flow methods (the solver has
    no forward rule), for which `flow_map_jacobian` gives the Jacobian.

    Args:
        dataset: the distribution.

    Raises:
        ValueError: from every method, if shapes do not match, a concrete point is not finite or a concrete time is out
            of range.
    """

    def __init__(self, dataset: AbstractDataset):
        self.dataset = dataset

    def velocity(self, x: ArrayLike, t: ArrayLike) -> Float[Array, "n dim"]:
        """Marginal velocity v(x, t)."""
        return self._map(velocity, x, t)

    def velocity_covariance(self, x: ArrayLike, t: ArrayLike) -> Float[Array, "n dim dim"]:
        """Covariance Sigma(x, t) of the conditional velocity."""
        return self._map(velocity_covariance, x, t)

    def velocity_jacobian(self, x: ArrayLike, t: ArrayLike) -> Float[Array, "n dim dim"]:
        """Jacobian d_x v(x, t)."""
        return self._map(velocity_jacobian, x, t)

    def flow_map(self, x: ArrayLike, t: ArrayLike, r: ArrayLike) -> Float[Array, "n dim"]:
        """The flow from ``x`` at time t down to time r."""
        return self._map(flow_map, x, t, r)

    def flow_map_jacobian(self, x: ArrayLike, t: ArrayLike, r: ArrayLike) -> Float[Array, "n dim dim"]:
        """Jacobian rho of the flow map."""
        return self._map(flow_map_jacobian, x, t, r)

    def average_velocity(self, x: ArrayLike, r: ArrayLike, t: ArrayLike) -> Float[Array, "n dim"]:
        """Average velocity u(x, r, t); the velocity where r = t."""
        return self._map(_average_velocity_t_first, x, t, r)

    def _map(self, function: Callable[..., AnyArray], x: ArrayLike, t: ArrayLike, *r: ArrayLike) -> Array:
        x, times = _check(self.dataset.dim, x, t, *r)
        return _map_batches(function, self.dataset, x, times)


def _average_velocity_t_first(dataset: AbstractDataset, x: Point, t: Scalar, r: Scalar) -> Point:
    return average_velocity(dataset, x, r, t)


def oracle(dataset: str | AbstractDataset, **options: Any) -> Oracle:
    """The oracle of a dataset, given itself or by its name and options.

    Raises:
        ValueError: unknown name or option, or options together with a dataset object.
    """
    if isinstance(dataset, str):
        return Oracle(datasets.create(dataset, options))
    if not isinstance(dataset, AbstractDataset):
        raise ValueError(
            f"dataset must be a dataset or one of {', '.join(datasets.names())}, got {dataset!r}"
        )
    if options:
        raise ValueError(f"options {sorted(options)} need the name of a dataset, got a dataset object")
    return Oracle(dataset)


@eqx.filter_jit
def _map_batches(
    function: Callable[..., AnyArray],
    dataset: AbstractDataset,
    x: Float[Array, "n dim"],
    times: tuple[Array, ...],
) -> Array:
    def one(arguments):
        return jnp.asarray(function(dataset, *arguments))

    arguments = (x, *(jnp.broadcast_to(time, x.shape[:1]) for time in times))
    numbers = sum(np.size(leaf) for leaf in jax.tree.leaves(dataset))
    batch_size = int(np.clip(_BATCH_NUMBERS // max(numbers, 1), 1, _LARGEST_BATCH))
    n = len(x)
    if n <= batch_size:
        return jax.vmap(one)(arguments)
    # Pad to whole batches by repeating the last point: lax.map compiles the body a second time for a remainder.
    padding = -n % batch_size
    padded = jax.tree.map(
        lambda a: jnp.pad(a, [(0, padding)] + [(0, 0)] * (a.ndim - 1), mode="edge"), arguments
    )
    return jax.lax.map(one, padded, batch_size=batch_size)[:n]


def _check(dim: int, x: ArrayLike, *times: ArrayLike) -> tuple[Float[Array, "n dim"], tuple[Array, ...]]:
    """The points and the times t, and r where given, as arrays of one precision."""
    x = jnp.asarray(x, jnp.result_type(float))
    if x.ndim != 2 or x.shape[1] != dim:
        raise ValueError(f"x must have shape (n, {dim}), got {x.shape}")
    if not isinstance(x, jax.core.Tracer) and not np.all(finite := np.isfinite(np.asarray(x)).all(axis=1)):
        raise ValueError(
            f"x must be finite, got {np.asarray(x)[~finite][0].tolist()} in row {np.argmin(finite)}"
        )
    concrete = not any(isinstance(value, jax.core.Tracer) for value in times)
    for name, value in zip("tr", times, strict=False):
        if np.shape(value) not in ((), x.shape[:1]):
            raise ValueError(f"{name} must be a scalar or have shape ({len(x)},), got {np.shape(value)}")
    if concrete:
        t = np.asarray(times[0], np.float64)
        if not np.all((t > 0) & (t <= 1)):
            raise ValueError(f"t must be in (0, 1], got {t[~((t > 0) & (t <= 1))].flat[0]:g}")
        if len(times) > 1:
            r, t = np.broadcast_arrays(np.asarray(times[1], np.float64), t)
            if not np.all((r >= 0) & (r <= t)):
                bad = ~((r >= 0) & (r <= t))
                raise ValueError(f"r must be in [0, t], got r = {r[bad].flat[0]:g} at t = {t[bad].flat[0]:g}")
    return x, tuple(jnp.asarray(value, x.dtype) for value in times)
