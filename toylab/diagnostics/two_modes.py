r"""The exact flow between noise and two Gaussians, in closed form and by quadrature in one dimension.

The modes stand at -+m on the first axis, with standard deviation s; a = 1 - t, S_t = a^2 s^2 + t^2. The coordinates do
not mix: the second is Gaussian, the first has velocity c x - (t / S_t) m tanh(a m x / S_t) with c = (t - a s^2) / S_t.
"""

import numpy as np
from scipy.special import log_ndtr, logsumexp

from toylab.types import MIN_TIME

_TIMES = 48
_PLACES = 600

Values = np.ndarray | np.floating


def log_separatrix_expansion(separation: float, std: float, r, t) -> Values:
    r"""log of d phi_{t->r} / dx at x = 0, half way between the modes.

    There v = 0 at every time, so that the variational equation integrates in closed form:

        rho = (sigma(r) / sigma(t)) exp[(m^2 / 2) (1 / (s^2 + q_r^2) - 1 / (s^2 + q_t^2))],   q = t / (1 - t),

    in particular s exp(m^2 / (2 s^2)) = s exp(separation^2 / (8 s^2)) from noise (t = 1) to data (r = 0).
    """
    return _potential(separation / 2, std, r) - _potential(separation / 2, std, t)


def log_max_expansion(separation: float, std: float) -> float:
    """log of the largest |rho| over all 0 <= r <= t <= 1, reached on the separatrix."""
    times = np.linspace(0, 1, 2001)
    potential = _potential(separation / 2, std, times)
    # The best partner of every t is the highest potential at an earlier time.
    return float(np.max(np.maximum.accumulate(potential) - potential))


def log_variance_ratio(separation: float, std: float) -> float:
    r"""log of E Tr(rho Sigma rho^T) / E Tr Sigma: noise at beta = 0 over noise at beta = 1, on the exact solution.

    Over x_t ~ p_t and sorted uniform times in [1e-4, 1 - 1e-4]. Along the first axis the map keeps mass,
    rho = p_t(x) / p_r(y) with y = phi(x), so that

        E[rho^2 Sigma] = int p_t(x(y))^2 / p_r(y) Sigma(x(y), t) dy,

    which is summed in logarithms: between far modes it is carried by points that no sample will ever hold.
    """
    m, s = separation / 2, std
    # Close to data and to noise the times are dense: there the map is steepest.
    grid = 1 / (1 + np.exp(-np.linspace(np.log(MIN_TIME), -np.log(MIN_TIME), _TIMES)))
    weights = np.gradient(grid)
    columns = [_Column(m, s, time) for time in grid]
    noisy, plain = [], []
    for j, at_t in enumerate(columns):
        log_trace = np.logaddexp(at_t.log_mean_sigma(), np.log(s**2 / at_t.variance))
        for i, at_r in enumerate(columns[: j + 1]):
            # The diagonal is half a cell of the triangle r < t.
            log_weight = np.log(weights[i] * weights[j] * (0.5 if i == j else 1.0))
            second = np.log(at_r.variance * s**2 / at_t.variance**2)
            noisy.append(log_weight + np.logaddexp(_log_amplified(at_r, at_t), second))
            plain.append(log_weight + log_trace)
    return float(logsumexp(noisy) - logsumexp(plain))


class _Column:
    """The first coordinate at one time, on the positive half axis."""

    def __init__(self, m: float, s: float, time: float):
        self.m, self.s, self.time = m, s, time
        self.variance = (1 - time) ** 2 * s**2 + time**2
        self.sigma, self.centre = self.variance**0.5, (1 - time) * m
        # The ridge between far modes has width variance / centre: log-spaced places resolve it.
        inner = self.sigma * np.geomspace(1e-5, 1, _PLACES // 2)
        outer = np.linspace(self.sigma, self.centre + 9 * self.sigma, _PLACES)
        self.places = np.concatenate([inner, outer[1:]])
        self.ranks = self.rank(self.places)

    def rank(self, x: np.ndarray) -> np.ndarray:
        """log of the mass between 0 and x over the mass beyond x: precise at both ends."""
        near, far = (x - self.centre) / self.sigma, -(x + self.centre) / self.sigma
        inside = log_ndtr(near) + np.log(-np.expm1(np.minimum(log_ndtr(far) - log_ndtr(near), -1e-300)))
        beyond = np.logaddexp(log_ndtr(-near), log_ndtr(far))
        return inside - beyond

    def place(self, rank: np.ndarray) -> np.ndarray:
        """The inverse of ``rank``."""
        return np.exp(np.interp(rank, self.ranks, np.log(self.places)))

    def log_density(self, x: np.ndarray) -> np.ndarray:
        left, right = -((x + self.centre) ** 2), -((x - self.centre) ** 2)
        both = np.logaddexp(left / (2 * self.variance), right / (2 * self.variance))
        return both - np.log(2 * self.sigma * np.sqrt(2 * np.pi))

    def log_sigma(self, x: np.ndarray) -> np.ndarray:
        """log Cov[v_cond | x]: within the modes, and between them."""
        argument = np.abs(self.centre * x / self.variance)
        log_sech_squared = 2 * (np.log(2) - argument - np.log1p(np.exp(-2 * argument)))
        between = 2 * np.log(max(self.m, 1e-300) * self.time / self.variance) + log_sech_squared
        return np.logaddexp(np.log(self.s**2 / self.variance), between)

    def log_mean_sigma(self) -> float:
        """log E Cov[v_cond | x]."""
        return _log_integral(self.places, self.log_density(self.places) + self.log_sigma(self.places))


def _log_amplified(at_r: _Column, at_t: _Column) -> float:
    """log E[rho^2 Sigma] of the first coordinate."""
    y = at_r.places
    x = at_t.place(at_r.ranks)
    return _log_integral(y, 2 * at_t.log_density(x) - at_r.log_density(y) + at_t.log_sigma(x))


def _log_integral(places: np.ndarray, log_values: np.ndarray) -> float:
    """log of the integral over the whole axis of an even function, by the trapezoidal rule."""
    steps = np.diff(places, prepend=0.0)
    edges = np.concatenate([log_values[:1], log_values])
    return float(np.log(2) + logsumexp(np.logaddexp(edges[:-1], edges[1:]) - np.log(2) + np.log(steps)))


def _potential(m: float, s: float, time) -> Values:
    time = np.asarray(time, np.float64)
    a = 1 - time
    variance = a**2 * s**2 + time**2
    # 1 / (s^2 + q^2) = a^2 / S_t needs no division by a.
    return 0.5 * np.log(variance) + 0.5 * m**2 * a**2 / variance
