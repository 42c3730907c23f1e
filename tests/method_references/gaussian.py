"""The closed form on data N(0, s^2 I): exact average velocity, velocity, flow map, covariance."""

import jax.numpy as jnp


class GaussianSolution:
    """u*(x, r, t) plus theta . features(r, t) x, with a second head v*(x, t) plus the same.

    theta = 0 is the exact solution.
    """

    def __init__(self, std: float, theta):
        self.std, self.theta = std, theta

    def sigma(self, time):
        """Width of x_t: the flow map is x -> x sigma(r) / sigma(t)."""
        return jnp.sqrt((1 - time) ** 2 * self.std**2 + time**2)

    def features(self, r, t):
        """Directions in which the solution may be wrong, three numbers."""
        return jnp.stack([1 + 0 * t, jnp.cos(3 * t), t - r])

    def __call__(self, x, r, t):
        # (sigma(t) - sigma(r)) / (t - r) without the division by a gap that may vanish.
        slope = ((t + r) * (1 + self.std**2) - 2 * self.std**2) / (self.sigma(t) + self.sigma(r))
        return x * (slope / self.sigma(t) + self.theta @ self.features(r, t))

    def with_velocity(self, x, r, t):
        """Both heads; the second is the velocity at every r."""
        velocity = (t * (1 + self.std**2) - self.std**2) / self.sigma(t) ** 2
        return self(x, r, t), x * (velocity + self.theta @ self.features(r, t))
