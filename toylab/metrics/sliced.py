"""Sliced Wasserstein distances: sort random projections, compare, average."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from toylab.metrics.base import as_pair, as_points, check_same_dim

# Directions per chunk are set so that one chunk of projections stays near 8 MB: in cache, whatever n is.
CHUNK_VALUES = 2_000_000


def random_directions(dim: int, num_projections: int, seed: int) -> Float[np.ndarray, "num dim"]:
    """``num_projections`` directions, independent and uniform on the unit sphere, fixed by ``seed``.

    Raises:
        ValueError: fewer than one projection.
    """
    if num_projections < 1:
        raise ValueError(f"num_projections must be at least 1, got {num_projections}")
    directions = np.random.default_rng(seed).standard_normal((num_projections, dim))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


class SlicedReference:
    r"""A reference whose sorted projections are kept, for a distance that is asked again and again.

        SW_p(x, y) = ( mean over directions theta of W_p^p(theta.x, theta.y) )^(1/p)

    which is the convention of POT: the mean is of W_p^p, the root comes last. Keeps 4 bytes (float32 points)
    or 8 a point and direction: 66 MB at 32,768 points and 500 directions. Source: Bonneel et al. 2015.

    Args:
        reference: points (m, dim); the sorts run in float32 where both sets are float32, else in float64.
        num_projections: number of directions, at least 1.
        seed: of the directions.

    Raises:
        ValueError: points as in ``as_points``, or no projection.
    """

    def __init__(self, reference: ArrayLike, num_projections: int = 500, seed: int = 0):
        points = as_points(reference, "reference")
        self.shape = points.shape
        self.directions = random_directions(points.shape[1], num_projections, seed)
        # Filled chunk by chunk: a whole-array sort would need twice the memory.
        self._sorted = np.empty((num_projections, len(points)), points.dtype)
        for rows in _chunks(num_projections, len(points)):
            self._sorted[rows] = _sorted_projections(points, self.directions[rows])

    def distance(self, samples: ArrayLike, p: int | float = 1) -> float:
        """SW_p of ``samples`` (n, dim) to the reference, p in [1, 10]; n need not equal m.

        Raises:
            ValueError: points as in ``as_points``, another dimension than the reference's, or p out of range.
        """
        points = as_points(samples, "samples")
        check_same_dim(points, np.empty((0, self.shape[1])))
        check_order(p)
        coupling = None if len(points) == self.shape[0] else monotone_coupling(len(points), self.shape[0])
        total = 0.0
        for rows in _chunks(len(self.directions), len(points) + self.shape[0]):
            projected, reference = _sorted_projections(points, self.directions[rows]), self._sorted[rows]
            if coupling is None:
                total += np.mean(_power(projected - reference, p), axis=1, dtype=np.float64).sum()
            else:
                i, j, mass = coupling
                total += (_power(projected[:, i] - reference[:, j], p) @ mass).sum()
        return float((total / len(self.directions)) ** (1 / p))


def sliced_wasserstein(
    x: ArrayLike, y: ArrayLike, p: int | float = 1, num_projections: int = 500, seed: int = 0
) -> float:
    """Sliced W_p between the uniform measures on ``x`` (n, dim) and ``y`` (m, dim); see ``SlicedReference``.

    Raises:
        ValueError: empty or non-finite points, dimensions that differ, p outside [1, 10], no projection.

    >>> round(sliced_wasserstein([[0.0], [1.0]], [[3.0], [4.0]]), 6)
    3.0
    """
    x, y = as_pair(x, y)
    check_order(p)
    return SlicedReference(y, num_projections, seed).distance(x, p)


def check_order(p: int | float) -> None:
    """Raise ValueError where p is outside [1, 10]: below it is no distance, above it overflows."""
    if not 1 <= p <= 10:
        raise ValueError(f"p must be in [1, 10], got {p}")


def monotone_coupling(
    n: int, m: int
) -> tuple[Int[np.ndarray, " pieces"], Int[np.ndarray, " pieces"], Float[np.ndarray, " pieces"]]:
    """The optimal coupling on a line of n sorted equal atoms with m: indices i, j and mass of each piece.

    Quantile levels are counted in units of 1/(n m), so they are exact integers.
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
