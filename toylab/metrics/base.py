"""What a metric is: a number from samples and a reference, with its direction and its largest n."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from toylab.registry import Registry
from toylab.storage.untrusted import MAX_COORDINATE


@runtime_checkable
class ModesLike(Protocol):
    """The modes of a mixture, as ``toylab.data.Modes`` has them; a protocol, so that metrics need no jax."""

    @property
    def centres(self) -> np.ndarray:
        """Centres, shape (k, dim)."""
        ...

    @property
    def stds(self) -> np.ndarray:
        """Standard deviation around each centre, shape (k,)."""
        ...

    @property
    def weights(self) -> np.ndarray:
        """Probability of each mode, shape (k,), sum 1."""
        ...


@dataclass(frozen=True)
class AbstractMetric(ABC):
    """A number from samples and a reference: call it as ``metric(samples, reference, modes, seed)``.

    A member sets the class variables and writes ``compute``; the call checks the arrays first, once for all.
    """

    higher_is_better: ClassVar[bool] = False
    needs_modes: ClassVar[bool] = False
    max_n: ClassVar[int] = 1_000_000

    def __call__(
        self, samples: ArrayLike, reference: ArrayLike, modes: ModesLike | None = None, seed: int = 0
    ) -> float:
        """The metric of ``samples`` (n, dim) against ``reference`` (m, dim); ``seed`` fixes projections.

        Raises:
            ValueError: empty, non-finite or too many points, dimensions that differ, or no ``modes`` where
                ``needs_modes`` is set.
        """
        x, y = as_pair(samples, reference)
        check_at_most(self.max_n, type(self).__name__, x, y)
        if self.needs_modes:
            if modes is None:
                raise ValueError(f"{type(self).__name__} needs a dataset with modes")
            if (dim := np.shape(modes.centres)[-1]) != x.shape[1]:
                raise ValueError(f"samples have dimension {x.shape[1]}, the modes {dim}")
        return float(self.compute(x, y, modes, seed))

    @abstractmethod
    def compute(
        self,
        samples: Float[np.ndarray, "n dim"],
        reference: Float[np.ndarray, "m dim"],
        modes: ModesLike | None,
        seed: int,
    ) -> float:
        """The metric of checked arrays; ``modes`` is given where ``needs_modes`` is set."""


def can_be_scored(points: Float[np.ndarray, "n dim"]) -> bool:
    """Whether every coordinate is finite and no larger than 1e15: else a metric refuses the points."""
    return bool(np.all(np.abs(points) <= MAX_COORDINATE))  # False for NaN


def as_points(points: ArrayLike, name: str) -> Float[np.ndarray, "n dim"]:
    """``points`` as a finite array (n, dim): float32 stays float32, all else becomes float64.

    Raises:
        ValueError: not numbers, not two axes, empty, NaN or infinite, or a coordinate beyond 1e15.
    """
    array = np.asarray(points)
    if array.dtype.kind in "OSUcMm":
        raise ValueError(f"{name} must be real numbers, got dtype {array.dtype}")
    if array.dtype != np.float32:
        array = array.astype(np.float64)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must have shape (n, dim) with n, dim >= 1, got {array.shape}")
    if not np.all(np.isfinite(array)):
        bad = np.count_nonzero(~np.isfinite(array).all(axis=1))
        raise ValueError(f"{name} has {bad} of {len(array)} points that are NaN or infinite")
    if (largest := float(np.abs(array).max())) > MAX_COORDINATE:
        raise ValueError(f"{name} has a coordinate of size {largest:.3g}, above {MAX_COORDINATE:g}")
    return array


def as_pair(
    samples: ArrayLike, reference: ArrayLike
) -> tuple[Float[np.ndarray, "n dim"], Float[np.ndarray, "m dim"]]:
    """Both arrays checked by ``as_points``, of one dimension.

    Raises:
        ValueError: as ``as_points``, or dimensions that differ.
    """
    x, y = as_points(samples, "samples"), as_points(reference, "reference")
    check_same_dim(x, y)
    return x, y


def check_same_dim(x: Float[np.ndarray, "n _"], y: Float[np.ndarray, "m _"]) -> None:
    """Raise ValueError where the points of ``x`` and ``y`` differ in dimension."""
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"samples have dimension {x.shape[1]}, the reference {y.shape[1]}")


def check_at_most(max_n: int, name: str, x: np.ndarray, y: np.ndarray) -> None:
    """Raise ValueError where ``x`` or ``y`` has more than ``max_n`` points."""
    if (n := max(len(x), len(y))) > max_n:
        raise ValueError(f"{name} takes at most {max_n} points, got {n}")


metrics: Registry[AbstractMetric] = Registry("metric", "toylab.metrics")
