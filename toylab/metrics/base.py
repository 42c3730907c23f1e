"""The registry of metrics: functions of samples and a reference, with the facts that a call needs to know."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from toylab.registry import Registry
from toylab.storage.untrusted import MAX_COORDINATE

Function = TypeVar("Function", bound=Callable[..., float])

# Limit of metrics that take O(n log n) time.
MAX_N = 1_000_000


@runtime_checkable
class ModesLike(Protocol):
    """The modes of a mixture, such as ``toylab.data.Modes``; a protocol, since metrics must not import JAX."""

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
class Metric:
    """A registered function with its facts and chosen options: call it as ``metric(samples, reference, modes, seed)``.

    Args:
        name: the registered name, for error messages.
        function: called with checked arrays ``samples`` and ``reference``, and with ``modes=`` and ``seed=`` if needed.
        higher_is_better: direction of the metric.
        needs_modes: whether it is defined only on datasets with modes.
        needs_seed: whether it draws random numbers, for example directions of projections.
        max_n: largest number of points.
    """

    name: str
    function: Callable[..., float]
    higher_is_better: bool = False
    needs_modes: bool = False
    needs_seed: bool = False
    max_n: int = MAX_N

    def __call__(
        self, samples: ArrayLike, reference: ArrayLike, modes: ModesLike | None = None, seed: int = 0
    ) -> float:
        """The metric of ``samples`` (n, dim) against ``reference`` (m, dim); ``seed`` fixes its random numbers.

        Raises:
            ValueError: empty, non-finite or too many points, different dimensions, or no ``modes`` if they are needed.
        """
        x, y = as_pair(samples, reference)
        check_at_most(self.max_n, self.name, x, y)
        needed: dict[str, Any] = {"seed": seed} if self.needs_seed else {}
        if self.needs_modes:
            if modes is None:
                raise ValueError(f"{self.name} needs a dataset with modes")
            if (dim := np.shape(modes.centres)[-1]) != x.shape[1]:
                raise ValueError(f"samples have dimension {x.shape[1]}, the modes {dim}")
            needed["modes"] = modes
        return float(self.function(x, y, **needed))


class MetricRegistry(Registry[Metric]):
    """Metrics by name. A registered function takes samples (n, dim) and reference (m, dim) and returns a number.

    The call checks both arrays first. Keyword-only parameters of the function are its options.
    """

    def register(
        self,
        name: str,
        citation: str = "",
        *,
        higher_is_better: bool = False,
        needs_modes: bool = False,
        needs_seed: bool = False,
        max_n: int = MAX_N,
        check: Callable[..., None] | None = None,
    ) -> Callable[[Function], Function]:
        """Register the decorated function under ``name``, with its facts.

        Args:
            name: name of the metric.
            citation: key of references.bib.
            higher_is_better: direction of the metric.
            needs_modes: the function also takes ``modes``, the modes of the dataset.
            needs_seed: the function also takes ``seed``.
            max_n: largest number of points.
            check: called with all options when a metric is created; raises ValueError for a bad value.
        """

        def decorate(function: Function) -> Function:
            parameters = inspect.signature(function).parameters.values()
            options = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
            defaults = {p.name: p.default for p in options}

            @wraps(function)
            def build(**chosen: Any) -> Metric:
                if check is not None:
                    check(**(defaults | chosen))
                bound = partial(function, **chosen)
                return Metric(name, bound, higher_is_better, needs_modes, needs_seed, max_n)

            # The registry reads the options of a member from its signature.
            build.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
            super(MetricRegistry, self).register(name, citation)(build)
            return function

        return decorate


metrics = MetricRegistry("metric", "toylab.metrics")


def can_be_scored(points: Float[np.ndarray, "n dim"]) -> bool:
    """Whether every coordinate is finite and at most 1e15 in size; metrics reject other points."""
    return bool(np.all(np.abs(points) <= MAX_COORDINATE))  # False for NaN


def as_points(points: ArrayLike, name: str) -> Float[np.ndarray, "n dim"]:
    """``points`` as a finite array (n, dim): float32 stays float32, every other type becomes float64.

    Raises:
        ValueError: not numbers, not two axes, empty, NaN or infinite, or a coordinate larger than 1e15.
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
    """Both arrays checked by ``as_points``, of equal dimension.

    Raises:
        ValueError: bad points as in ``as_points``, or different dimensions.
    """
    x, y = as_points(samples, "samples"), as_points(reference, "reference")
    check_same_dim(x, y)
    return x, y


def check_same_dim(x: Float[np.ndarray, "n _"], y: Float[np.ndarray, "m _"]) -> None:
    """Raise ValueError if the points of ``x`` and ``y`` differ in dimension."""
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"samples have dimension {x.shape[1]}, the reference {y.shape[1]}")


def check_at_most(max_n: int, name: str, x: np.ndarray, y: np.ndarray) -> None:
    """Raise ValueError if ``x`` or ``y`` has more than ``max_n`` points."""
    if (n := max(len(x), len(y))) > max_n:
        raise ValueError(f"{name} takes at most {max_n} points, got {n}")
