"""Wasserstein distances: sliced ones by sorted random projections, exact ones by POT's network simplex."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from toylab.metrics.base import as_pair, as_points, check_at_most, check_same_dim, metrics

# Directions per chunk are set so that one chunk of projections stays near 8 MB: in cache, whatever n is.
CHUNK_VALUES = 2_000_000
# 4096 points take about three seconds and 1 GB inside the solver; both grow at least as n^2.
MAX_POINTS = 4096
NUM_PROJECTIONS = 500


def check_projections(num_projections: int) -> None:
    """Raise ValueError if ``num_projections`` is below 1."""
    if num_projections < 1:
        raise ValueError(f"num_projections must be at least 1, got {num_projections}")


@metrics.register("sliced_w1", citation="bonneel2015sliced", needs_seed=True, check=check_projections)
def sliced_w1(
    samples: Float[np.ndarray, "n dim"],
    reference: Float[np.ndarray, "m dim"],
    seed: int,
    *,
    num_projections: int = NUM_PROJECTIONS,
) -> float:
    """Sliced Wasserstein-1 distance: W1 of one-dimensional projections, averaged over random directions."""
    return sliced_wasserstein(samples, reference, 1, num_projections, seed)


@metrics.register("sliced_w2", citation="bonneel2015sliced", needs_seed=True, check=check_projections)
def sliced_w2(
    samples: Float[np.ndarray, "n dim"],
    reference: Float[np.ndarray, "m dim"],
    seed: int,
    *,
    num_projections: int = NUM_PROJECTIONS,
) -> float:
    """Sliced Wasserstein-2 distance: W2 of one-dimensional projections, averaged over random directions."""
    return sliced_wasserstein(samples, reference, 2, num_projections, seed)


@metrics.register("w1", citation="flamary2021pot", max_n=MAX_POINTS)
def w1(samples: Float[np.ndarray, "n dim"], reference: Float[np.ndarray, "m dim"]) -> float:
    """Exact Wasserstein-1 distance between the two point sets, by network simplex (POT)."""
    return wasserstein(samples, reference, 1)


@metrics.register("w2", citation="flamary2021pot", max_n=MAX_POINTS)
def w2(samples: Float[np.ndarray, "n dim"], reference: Float[np.ndarray, "m dim"]) -> float:
    """Exact Wasserstein-2 distance between the two point sets, by network simplex (POT)."""
    return wasserstein(samples, reference, 2)


def wasserstein(x: ArrayLike, y: ArrayLike, p: int | float = 2) -> float:
    r"""Exact W_p between the uniform measures on ``x`` (n, dim) and ``y`` (m, dim), n and m at most 4096.

        W_p(x, y) = ( min over couplings pi of sum_ij pi_ij |x_i - y_j|^p )^(1/p)

    Nothing is subsampled. Source: Flamary et al. 2021, ``ot.emd2``.

    Raises:
        ValueError: empty, non-finite or over 4096 points, different dimensions, p outside [1, 10].
        RuntimeError: the solver stopped before the optimum.

    >>> wasserstein([[0.0, 0.0]], [[3.0, 4.0]])
    5.0
    """
    # Imported here: POT takes seconds to import, and sliced distances do not use it.
    import ot

    x, y = as_pair(x, y)
    check_order(p)
    check_at_most(MAX_POINTS, "an exact Wasserstein distance", x, y)
    # Distances by SciPy: POT computes a^2 + b^2 - 2ab, which loses half of the digits between near points.
    cost = cdist(x, y, "sqeuclidean") if p == 2 else cdist(x, y) ** p
    # The tolerances of the solver are absolute: scale the cost to order one.
    scale = float(cost.max()) or 1.0
    cost /= scale
    value, log = ot.emd2([], [], cost, numItermax=10_000_000, log=True)
    if log["warning"] is not None:
        raise RuntimeError(f"the exact Wasserstein solver stopped early: {log['warning']}")
    return float((max(float(np.asarray(value)), 0.0) * scale) ** (1 / p))


def random_directions(dim: int, num_projections: int, seed: int) -> Float[np.ndarray, "num dim"]:
    """``num_projections`` directions, independent and uniform on the unit sphere, fixed by ``seed``.

    Raises:
        ValueError: fewer than one projection.
    """
    check_projections(num_projections)
    directions = np.random.default_rng(seed).standard_normal((num_projections, dim))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


class SlicedReference:
    r"""A reference that keeps its sorted projections, for repeated distances to it.

        SW_p(x, y) = ( mean over directions theta of W_p^p(theta.x, theta.y) )^(1/p)

    with the convention of POT: the mean of W_p^p, then the root. It keeps 4 bytes per point and direction for float32
    points and 8 otherwise: 66 MB for 32,768 float32 points and 500 directions. Source: Bonneel et al. 2015.

    Args:
        reference: points (m, dim). If both sets are float32 the sorts run in float32, else in float64.
        num_projections: number of directions, at least 1.
        seed: seed of the directions.

    Raises:
        ValueError: bad points as in ``as_points``, or no projection.
    """

    def __init__(self, reference: ArrayLike, num_projections: int = NUM_PROJECTIONS, seed: int = 0):
        points = as_points(reference, "reference")
        self.shape = points.shape
        self.directions = random_directions(points.shape[1], num_projections, seed)
        # Filled chunk by chunk: sorting the whole array at once needs twice the memory.
        self._sorted = np.empty((num_projections, len(points)), points.dtype)
        for rows in _chunks(num_projections, len(points)):
            self._sorted[rows] = _sorted_projections(points, self.directions[rows])

    def distance(self, samples: ArrayLike, p: int | float = 1) -> float:
        """SW_p of ``samples`` (n, dim) to the reference, p in [1, 10]; n need not equal m.

        Raises:
            ValueError: bad points as in ``as_points``, another dimension than the reference, or p outside [1, 10].
        """
        points = as_points(samples, "samples")
        check_same_dim(points, np.empty((0, self.shape[1])))
        check_order(p)
        coupling = None if len(points) == self.shape[0] else monotone_coupling(len(points), self.shape[0])
        total = 0.0
        for rows in _chunks(len(self.directions), len(points) + self.shape[0]):
            projected, reference = _sorted_projections(points, self.directions[rows]), self._sorted[rows]
            if coupling is None:
                # float32 differences are summed in float64: a float32 sum over 32,768 points loses digits.
                total += np.mean(_power(projected - reference, p), axis=1, dtype=np.float64).sum()
            else:
                i, j, mass = coupling
                total += (_power(projected[:, i] - reference[:, j], p) @ mass).sum()
        return float((total / len(self.directions)) ** (1 / p))


def sliced_wasserstein(
    x: ArrayLike, y: ArrayLike, p: int | float = 1, num_projections: int = NUM_PROJECTIONS, seed: int = 0
) -> float:
    """Sliced W_p between the uniform measures on ``x`` (n, dim) and ``y`` (m, dim); see ``SlicedReference``.

    Raises:
        ValueError: empty or non-finite points, different dimensions, p outside [1, 10], no projection.

    >>> round(sliced_wasserstein([[0.0], [1.0]], [[3.0], [4.0]]), 6)
    3.0
    """
    x, y = as_pair(x, y)
    check_order(p)
    return SlicedReference(y, num_projections, seed).distance(x, p)


def check_order(p: int | float) -> None:
    """Raise ValueError if ``p`` is outside [1, 10]: below 1 it gives no metric, above 10 powers may overflow."""
    if not 1 <= p <= 10:
        raise ValueError(f"p must be in [1, 10], got {p}")


def monotone_coupling(
    n: int, m: int
) -> tuple[Int[np.ndarray, " pieces"], Int[np.ndarray, " pieces"], Float[np.ndarray, " pieces"]]:
    """Optimal coupling of n sorted equal atoms on a line with m: indices i, j and mass of each piece.

    Quantile levels are counted in units of 1/(n m), so that they are exact integers.
    """
    cuts = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    mass = np.diff(cuts, prepend=0) / (n * m)
    return (cuts - 1) // m, (cuts - 1) // n, mass


def _power(differences: Float[np.ndarray, "k n"], p: int | float) -> Float[np.ndarray, "k n"]:
    if p == 1:
        return np.abs(differences)
    if p == 2:
        return np.square(differences)
    return np.abs(differences.astype(np.float64)) ** p


def _sorted_projections(
    points: Float[np.ndarray, "n dim"], directions: Float[np.ndarray, "k dim"]
) -> Float[np.ndarray, "k n"]:
    projected = directions.astype(points.dtype) @ points.T
    projected.sort(axis=1)
    return projected


def _chunks(num_rows: int, num_columns: int) -> list[slice]:
    step = max(1, CHUNK_VALUES // num_columns)
    return [slice(start, start + step) for start in range(0, num_rows, step)]
