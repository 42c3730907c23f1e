"""Base class of datasets: a distribution with a sampler, declared moments and an exact marginal velocity."""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from toylab.plots.notebook import notebook_html
from toylab.registry import Registry
from toylab.types import Count, DataShape, Labels, Matrix, Point, Points, PRNGKey, Scalar


class Moments(NamedTuple):
    """First and second moments of a distribution on R^dim; the tests compare its sampler with them."""

    mean: Float[np.ndarray, " dim"]
    covariance: Float[np.ndarray, "dim dim"]


class Modes(NamedTuple):
    """The modes of a mixture, for coverage and balance: centres, standard deviations, and weights."""

    centres: Float[np.ndarray, "k dim"]
    stds: Float[np.ndarray, " k"]
    weights: Float[np.ndarray, " k"]


class Place(NamedTuple):
    """Position of a batch in the stream of a run, for finite data that are visited in a shuffled order."""

    key: PRNGKey
    """Key of the stream, the same for all of its batches."""
    step: Count
    """Number of batches before this one."""


class AbstractDataset(eqx.Module):
    r"""A distribution of data x0 in R^dim, exact enough to be its own oracle.

    With x_t = (1-t) x0 + t eps and v_cond = eps - x0, a dataset knows the conditional mean
    v(x, t) = E[v_cond | x_t = x] and covariance Sigma(x, t) = Cov[v_cond | x_t = x]. All arrays are pytree
    leaves, so datasets of one structure can be lanes of one compiled ensemble.
    """

    @property
    @abstractmethod
    def dim(self) -> int:
        """Dimension of a data point."""

    @abstractmethod
    def draw(self, key: PRNGKey, n: int) -> Points:
        """``n`` independent data points; pure and usable inside jit (``n`` static)."""

    @abstractmethod
    def velocity_moments(self, x: Point, t: Scalar) -> tuple[Point, Matrix]:
        """Mean v(x, t) and covariance Sigma(x, t) of v_cond given x_t = x, for t in [MIN_TIME, 1]."""

    @abstractmethod
    def moments(self) -> Moments:
        """Declared mean and covariance of x0, computed without the sampler."""

    @property
    def shape(self) -> DataShape:
        """Shape of the data as a net needs it: dimension, image size, number of classes."""
        return DataShape(self.dim)

    @property
    def is_stand_in(self) -> bool:
        """Whether random values replace data that are not installed: enough for cost and timing, not for training."""
        return False

    def draw_labelled(self, key: PRNGKey, n: int, place: Place | None = None) -> tuple[Points, Labels | None]:
        """``n`` data points and their classes; None for data without classes.

        Args:
            key: random key of independent draws.
            n: number of points; static.
            place: position in a stream that visits every point of finite data equally often; distributions ignore it.
        """
        return self.draw(key, n), None

    def zero_loss(self) -> float:
        """Expected loss of the zero predictor u = 0: E|eps - x0|^2 = dim + Tr Cov[x0] + |E[x0]|^2."""
        mean, covariance = self.moments()
        return float(self.dim + np.trace(covariance) + mean @ mean)

    def modes(self) -> Modes | None:
        """Modes of a mixture of well-separated components; None for any other distribution."""
        return None

    def velocity(self, x: Point, t: Scalar) -> Point:
        """Marginal velocity v(x, t) = E[eps - x0 | x_t = x]."""
        return self.velocity_moments(x, t)[0]

    def sample(self, n: int, seed: int = 0) -> Float[np.ndarray, "n dim"]:
        """``n`` data points as a float32 numpy array, reproducible by ``seed``.

        Raises:
            ValueError: ``n`` below 1.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        with jax.enable_x64(False):  # under x64 the same key gives other random numbers
            return np.asarray(_draw(self, jax.random.key(seed), n))

    def _repr_html_(self) -> str:
        """HTML summary for notebooks: type of the distribution, its dimension and modes, and a picture of points."""
        # Imported here: matplotlib is slow to import, and only notebooks draw.
        from toylab.plots.figures import data_figure, png_bytes

        picture = png_bytes(data_figure(self.sample(4096)), dpi=80) if self.dim > 1 else None
        return notebook_html(facts_of(self), picture, "4,096 data points")


def facts_of(dataset: AbstractDataset) -> dict[str, str]:
    """Label -> text: type of the distribution, dimension, number of modes, mean and standard deviation."""
    moments, modes = dataset.moments(), dataset.modes()
    facts = {"Law": type(dataset).__name__, "Dimension": str(dataset.dim)}
    if modes is not None:
        facts["Modes"] = str(int(np.count_nonzero(modes.weights)))
    if dataset.dim <= 4:
        facts["Mean"] = _row(moments.mean)
        facts["Standard deviation"] = _row(np.sqrt(np.diag(moments.covariance)))
    return facts


def _row(numbers: Float[np.ndarray, " dim"]) -> str:
    return ", ".join(f"{number + 0.0:.2f}" for number in np.round(numbers, 2))


@eqx.filter_jit
def _draw(dataset: AbstractDataset, key: PRNGKey, n: int) -> Points:
    return dataset.draw(key, n)


datasets: Registry[AbstractDataset] = Registry("dataset", "toylab.data")
