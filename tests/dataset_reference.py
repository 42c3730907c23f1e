"""What the tests know about datasets from elsewhere: samplers and posteriors written from the paper, in
plain numpy.

Nothing here uses the package's quadratures. A new dataset needs no entry: the shared tests then compare its
oracle with its own sampler. Options are needed where a dataset has no default.
"""

import numpy as np
from scipy.special import log_ndtr

from toylab.data import datasets

CLOUD = np.random.default_rng(7).normal(size=(40, 2)) * [1.0, 0.4] + [0.5, 0.0]
OPTIONS = {
    "points": {"array": CLOUD.tolist(), "std": 0.15},
    "gaussian_mixture": {"means": [[0, 0], [2, 1], [-1, 2]], "stds": [0.5, 0.3, 0.8], "weights": [1, 2, 3]},
}


def build(name):
    return datasets.create(name, OPTIONS.get(name))


def mixture_parts(name):
    """Means, stds and weights of the sets that are mixtures of round Gaussians, from their definitions."""
    if name == "eight_gaussians":
        angles = np.pi / 4 * np.arange(8)
        return 3 * np.stack([np.cos(angles), np.sin(angles)], 1), np.full(8, 0.25), np.full(8, 1 / 8)
    if name == "two_gaussians":
        return np.array([[-4.0, 0], [4, 0]]), np.full(2, 0.2), np.full(2, 0.5)
    if name == "gaussian_mixture":
        o = OPTIONS[name]
        return np.array(o["means"], float), np.array(o["stds"]), np.array(o["weights"]) / 6
    if name == "points":
        return CLOUD, np.full(40, 0.15), np.full(40, 1 / 40)
    if name == "dgmm":
        centres = build(name).means
        assert np.allclose(np.linalg.norm(centres, axis=1), 1.5)
        return centres, np.full(64, 0.5), np.full(64, 1 / 64)
    return None


def curve_branches(name, s):
    """Branches and noise of a noisy curve at parameters ``s``."""
    if name == "two_moons":
        upper, lower = [np.cos(s), np.sin(s)], [1 - np.cos(s), 0.5 - np.sin(s)]
        return [2 * np.stack(upper, -1), 2 * np.stack(lower, -1)], 0.16
    spiral = np.stack([s * np.cos(s), s * np.sin(s)], -1)
    return ([spiral / 8], 0.08) if name == "swiss_roll" else ([spiral / 5, -spiral / 5], 0.08)


def curve_parameter(name, uniform):
    if name == "two_moons":
        return np.pi * uniform
    return 1.5 * np.pi * (1 + 2 * uniform) if name == "swiss_roll" else 3 * np.pi * np.sqrt(uniform)


CURVES = ("two_moons", "swiss_roll", "two_spirals")
MIXTURES = ("eight_gaussians", "two_gaussians", "gaussian_mixture", "points", "dgmm")


def reference_sample(name, n, seed):
    """``n`` samples by the paper's definition, or by the dataset's own sampler where the paper has none."""
    rng = np.random.default_rng(seed)
    if name in MIXTURES:
        means, stds, weights = mixture_parts(name)
        k = rng.choice(len(means), size=n, p=weights)
        return means[k] + stds[k, None] * rng.standard_normal((n, 2))
    if name in CURVES:
        branches, noise = curve_branches(name, curve_parameter(name, rng.random(n)))
        centres = np.stack(branches)[rng.integers(len(branches), size=n), np.arange(n)]
        return centres + noise * rng.standard_normal((n, 2))
    if name == "checkerboard":
        x1 = rng.uniform(-2, 2, n)
        x2 = rng.random(n) - 2 * rng.integers(2, size=n) + np.floor(x1) % 2
        return 2 * np.stack([x1, x2], -1)
    if name == "pinwheel":
        b, y = 1 + 0.3 * rng.standard_normal(n), 0.1 * rng.standard_normal(n)
        angle = 2 * np.pi / 5 * rng.integers(5, size=n) + 0.25 * np.exp(b)
        cos, sin = np.cos(angle), np.sin(angle)
        return 1.5 * np.stack([cos * b - sin * y, sin * b + cos * y], -1)
    return np.asarray(build(name).sample(n, seed=seed), np.float64)


def _collect(log_weights, means, within, x, t):
    """v and Sigma from E[x0 | x, node] and Cov[x0 | x, node]: the textbook division by t, in float64."""
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    mean = weights @ means
    deviations = means - mean
    covariance = np.einsum("k,ki,kj->ij", weights, deviations, deviations)
    covariance += np.einsum("k,kij->ij", weights, np.broadcast_to(within, (len(means), 2, 2)))
    return (x - mean) / t, covariance / t**2


def exact_moments(name, x, t):
    """v and Sigma at one point, by dense quadrature over the true parameters; None where unknown."""
    a = 1 - t
    if name in MIXTURES or name in CURVES:
        if name in MIXTURES:
            means, stds, weights = mixture_parts(name)
        else:
            branches, noise = curve_branches(name, curve_parameter(name, (np.arange(40_000) + 0.5) / 40_000))
            means, stds, weights = np.concatenate(branches), noise, 1.0
        variance = np.broadcast_to(np.square(stds), len(means))
        total = a**2 * variance + t**2
        offset = x - a * means
        log_weights = np.log(weights) - 0.5 * (offset**2).sum(-1) / total - np.log(total)
        posterior_means = means + (a * variance / total)[:, None] * offset
        return _collect(
            log_weights, posterior_means, (variance * t**2 / total)[:, None, None] * np.eye(2), x, t
        )
    if name == "pinwheel":
        b = np.linspace(1 - 0.3 * 7, 1 + 0.3 * 7, int(max(8001, 40 / t)))
        angle = (2 * np.pi / 5 * np.arange(5)[:, None] + 0.25 * np.exp(b)).ravel()
        b = np.tile(b, 5)
        along = np.stack([np.cos(angle), np.sin(angle)], -1)
        across = np.stack([-np.sin(angle), np.cos(angle)], -1)
        width2 = 0.15**2
        total = a**2 * width2 + t**2
        log_weights = -0.5 * ((along @ x - 1.5 * a * b) / t) ** 2 - 0.5 * (across @ x) ** 2 / total
        log_weights -= 0.5 * ((b - 1) / 0.3) ** 2
        keep = log_weights > log_weights.max() - 45
        b, along, across, log_weights = b[keep], along[keep], across[keep], log_weights[keep]
        means = 1.5 * b[:, None] * along + (a * width2 / total * (across @ x))[:, None] * across
        within = width2 * t**2 / total * across[:, :, None] * across[:, None, :]
        return _collect(log_weights, means, within, x, t)
    if name == "checkerboard":
        log_mass, mean, variance = zip(*(_truncated_normals(x_i / a, t / a) for x_i in x), strict=True)
        i, j = np.nonzero(np.add.outer(np.arange(4), np.arange(4)) % 2 == 0)
        within = np.zeros((8, 2, 2))
        within[:, 0, 0], within[:, 1, 1] = variance[0][i], variance[1][j]
        return _collect(log_mass[0][i] + log_mass[1][j], np.stack([mean[0][i], mean[1][j]], -1), within, x, t)
    return None


def _truncated_normals(mean, std):
    """Log mass, mean and variance of N(mean, std^2) cut to the four intervals of the board: closed forms."""
    low = (np.arange(-4, 4, 2) - mean) / std
    high = low + 2 / std
    flip = low + high > 0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    log_mass = log_ndtr(high) + np.log1p(-np.exp(log_ndtr(low) - log_ndtr(high)))
    density_low, density_high = (np.exp(-0.5 * e**2 - log_mass) / np.sqrt(2 * np.pi) for e in (low, high))
    shift = density_low - density_high
    variance = 1 + low * density_low - high * density_high - shift**2
    return log_mass, mean + std * np.where(flip, -shift, shift), std**2 * variance


def noised(name, n, t, seed=0):
    """``n`` points of p_t: where the oracle must be right."""
    rng = np.random.default_rng(seed + 1000)
    return (1 - t) * reference_sample(name, n, seed) + t * rng.standard_normal((n, 2))
