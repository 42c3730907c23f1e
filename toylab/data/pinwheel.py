"""Five bent arms around the origin."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.data.base import AbstractDataset, Moments, datasets
from toylab.options import Number, number, whole
from toylab.types import AnyArray, Matrix, Point, Points, PRNGKey, Scalar

_SCALE = 1.5
_REACH = 8.0  # standard deviations of b that the quadrature covers
_DROP = (
    37.0  # the quadrature stops where the density has fallen by about e^-37 = 1e-16, the rounding of float64
)
_GRID = np.linspace(-_REACH, _REACH, 97)
# Equal steps: the density of b vanishes at both ends, so that the trapezoidal rule converges faster than Gauss nodes.
_NODES = np.linspace(-1, 1, 129)


class Pinwheel(AbstractDataset):
    r"""Gaussian blobs, turned by an angle that grows with the radius.

        x0 = 1.5 R(theta) (b, y),  b ~ N(1, radial_std^2),  y ~ N(0, tangential_std^2),
        theta = arm angle + twist e^b.

    Given the arm and b, a point is Gaussian on a line, so that the oracle integrates over b alone, arm by arm. At time
    t the posterior of b has a width of order t. The nodes of the quadrature are therefore placed anew for every (x, t),
    around the most likely b of each arm. A fixed grid would need a spacing far below t, and a mixture of full-rank
    Gaussians at the nodes leaves an error of the spacing squared.

    Args:
        radial_std, tangential_std: standard deviations along and across an arm, before the rotation.
        twist: how strongly an arm bends.
        num_arms: number of arms.
    """

    radial_std: Float[Array | np.ndarray, ""]
    tangential_std: Float[Array | np.ndarray, ""]
    twist: Float[Array | np.ndarray, ""]
    num_arms: int = eqx.field(static=True)

    @property
    def dim(self) -> int:
        """Dimension of a data point."""
        return 2

    def draw(self, key: PRNGKey, n: int) -> Points:
        """``n`` points: an arm, a place along and across it, then the rotation."""
        key_arm, key_base = jax.random.split(key)
        arm = jax.random.randint(key_arm, (n,), 0, self.num_arms)
        base = jax.random.normal(key_base, (2, n))
        b, y = 1 + self.radial_std * base[0], self.tangential_std * base[1]
        angle = 2 * jnp.pi * arm / self.num_arms + self.twist * jnp.exp(b)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        return _SCALE * jnp.stack([b * cos - y * sin, b * sin + y * cos], axis=-1)

    def velocity_moments(self, x: Point, t: Scalar) -> tuple[Point, Matrix]:
        """Mean and covariance of v_cond given x_t = x, over the posterior of arm and b."""
        arm_angles = (2 * np.pi * np.arange(self.num_arms) / self.num_arms).astype(x.dtype)
        over_arms = jax.vmap(self._along_arm, in_axes=(None, None, 0))
        log_density, velocities, withins = over_arms(x, t, arm_angles)
        posterior = jax.nn.softmax(log_density.ravel())
        velocities, withins = velocities.reshape(-1, 2), withins.reshape(-1, 2, 2)
        v = posterior @ velocities
        deviations = velocities - v
        between = jnp.einsum("k,ki,kj->ij", posterior, deviations, deviations)
        return v, jnp.einsum("k,kij->ij", posterior, withins) + between

    def _along_arm(
        self, x: Point, t: Scalar, arm_angle: Scalar
    ) -> tuple[Float[Array, " k"], Float[Array, "k 2"], Float[AnyArray, "k 2 2"]]:
        """Log weight, E[v_cond | x, b] and Cov[v_cond | x, b] at the nodes of one arm.

        In the rotated frame of b, x_t = (a 1.5 b + t eps_along, N(0, a^2 width^2 + t^2)): eps_along is known exactly,
        and the coordinate across is Gaussian, as a component of a mixture.
        """
        a = 1 - t
        width = _SCALE * self.tangential_std.astype(x.dtype)
        variance_t = (a * width) ** 2 + t**2
        # The integral does not depend on where the nodes lie. Without the stop-gradient, Jacobians would differentiate
        # through argmin and Gauss-Newton, at a cost and with errors that cancel only in the limit.
        fixed, *place = jax.lax.stop_gradient((self, x, t, arm_angle))
        b_mode, half, low = fixed._window(*place)
        delta = (low - b_mode) + half * (1 + _NODES.astype(x.dtype))

        # Offsets along and across at b_mode + delta, by the addition theorem: in float32 the plain difference of two
        # numbers of size one has an error of 1e-7, which division by t = 1e-4 turns into 1e-3 on every node.
        twist = self.twist.astype(x.dtype)
        angle_mode = arm_angle + twist * jnp.exp(b_mode)
        along_mode, across_mode = _rotate_back(x, angle_mode)
        turn = twist * jnp.exp(b_mode) * jnp.expm1(delta)
        # Half angles: 1 - cos(turn) = 2 sin^2(turn / 2) has no cancellation at small turns.
        sin_half, cos_half = jnp.sin(turn / 2), jnp.cos(turn / 2)
        sin_turn, cos_turn = 2 * sin_half * cos_half, 1 - 2 * sin_half**2
        change = across_mode * sin_turn - 2 * along_mode * sin_half**2 - a * _SCALE * delta
        eps_along = (along_mode - a * _SCALE * b_mode + change) / t
        across = across_mode * cos_turn - along_mode * sin_turn

        b = b_mode + delta
        prior = ((b - 1) / self.radial_std.astype(x.dtype)) ** 2
        log_density = -0.5 * (eps_along**2 + across**2 / variance_t + prior)
        log_density = log_density + jnp.log(half)
        v_along = eps_along - _SCALE * b
        v_across = (t - a * width**2) / variance_t * across
        cos_mode, sin_mode = jnp.cos(angle_mode), jnp.sin(angle_mode)
        cos, sin = cos_mode * cos_turn - sin_mode * sin_turn, sin_mode * cos_turn + cos_mode * sin_turn
        velocities = jnp.stack([cos * v_along - sin * v_across, sin * v_along + cos * v_across], axis=-1)
        normal = jnp.stack([-sin, cos], axis=-1)
        return log_density, velocities, width**2 / variance_t * normal[:, :, None] * normal[:, None, :]

    def _window(self, x: Point, t: Scalar, arm_angle: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        """Most likely b of an arm, and half width and lower end of the interval that the quadrature covers.

        The log density of b is minus half a sum of three squares (along, across, prior): a grid gives the start,
        Gauss-Newton the maximum, and its curvature the width.
        """
        a = 1 - t
        radial_std, twist = self.radial_std.astype(x.dtype), self.twist.astype(x.dtype)
        across_std = jnp.sqrt((a * _SCALE * self.tangential_std.astype(x.dtype)) ** 2 + t**2)

        def residuals(b, along_std):
            along, across = _rotate_back(x, arm_angle + twist * jnp.exp(b))
            residual = jnp.stack(
                [(along - a * _SCALE * b) / along_std, across / across_std, (b - 1) / radial_std]
            )
            return residual, along, across

        def curvature_and_slope(b):
            residual, along, across = residuals(b, t)
            turning = twist * jnp.exp(b)
            slope = jnp.stack(
                [(turning * across - a * _SCALE) / t, -turning * along / across_std, 1 / radial_std]
            )
            return slope @ slope, slope @ residual

        def gauss_newton(_, b):
            curvature, slope = curvature_and_slope(b)
            return jnp.clip(b - slope / curvature, grid[0], grid[-1])

        grid = 1 + radial_std * jnp.asarray(_GRID, x.dtype)
        # Blur the peak to the spacing of the grid: at small t it would lie between two grid points.
        blurred, _, _ = residuals(grid, jnp.maximum(t, 2 * _SCALE * (grid[1] - grid[0])))
        start = grid[jnp.argmin(jnp.sum(blurred**2, axis=0))]
        b = jax.lax.fori_loop(0, 6, gauss_newton, start)
        curvature, _ = curvature_and_slope(b)
        # Four times the reach of a Gaussian, since the density of a bent arm falls more slowly on its inner side. A
        # peak that the nodes resolve on the whole range gets no window: a second peak may lie outside of it.
        spacing = (grid[-1] - grid[0]) / (len(_NODES) - 1)
        wide = curvature * spacing**2 < 0.64
        reach = jnp.where(wide, jnp.inf, 4 * jnp.sqrt(2 * _DROP / curvature))
        low, high = jnp.maximum(b - reach, grid[0]), jnp.minimum(b + reach, grid[-1])
        return b, (high - low) / 2, low

    def moments(self) -> Moments:
        """Mean and covariance, by Gauss-Hermite quadrature over b."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        weights = np.tile(weights / weights.sum(), self.num_arms) / self.num_arms
        b = np.tile(1 + float(self.radial_std) * nodes, self.num_arms)
        arms = np.repeat(2 * np.pi * np.arange(self.num_arms) / self.num_arms, len(nodes))
        angle = arms + float(self.twist) * np.exp(b)
        centres = _SCALE * b[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        normals = _SCALE * float(self.tangential_std) * np.stack([-np.sin(angle), np.cos(angle)], axis=-1)
        mean = weights @ centres
        deviations = centres - mean
        covariance = np.einsum("k,ki,kj->ij", weights, deviations, deviations)
        return Moments(mean, covariance + np.einsum("k,ki,kj->ij", weights, normals, normals))


def _rotate_back(x: Point, angle: Float[AnyArray, "..."]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Coordinates of ``x`` along and across an arm at ``angle``."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return cos * x[0] + sin * x[1], cos * x[1] - sin * x[0]


def _fold(radial_std: float, tangential_std: float, twist: float) -> float:
    """Distance, in standard deviations of (b, y), of the nearest point where an arm folds over itself.

    The map (b, y) -> x0 has Jacobian determinant 1 - twist e^b y, which vanishes at y = 1 / (twist e^b).
    """
    b = 1 + radial_std * np.linspace(-8, 8, 401)
    slope = abs(twist) * np.exp(b) * tangential_std
    return float(np.min(np.hypot((b - 1) / radial_std, 1 / np.maximum(slope, 1e-9))))


@datasets.register("pinwheel", citation="lu2026variance")
def pinwheel(
    num_arms: int = 5, radial_std: Number = 0.3, tangential_std: Number = 0.1, twist: Number = 0.25
) -> Pinwheel:
    """Bent arms: blobs at (1, 0), turned by the arm's angle plus twist exp(base_x), times 1.5."""
    num_arms = whole("num_arms", num_arms, 1, 20)
    radial_std = number("radial_std", radial_std, low=0.02, high=0.5)
    tangential_std = number("tangential_std", tangential_std, low=0.02, high=1)
    twist = number("twist", twist, low=-1, high=1)
    if _fold(radial_std, tangential_std, twist) < 5:
        raise ValueError(
            "the arms fold over themselves: lower radial_std, tangential_std or twist, "
            f"got {radial_std:g}, {tangential_std:g} and {twist:g}"
        )
    return Pinwheel(np.asarray(radial_std), np.asarray(tangential_std), np.asarray(twist), num_arms)
