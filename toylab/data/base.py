"""What a dataset is: a distribution with a sampler, declared moments and an exact marginal velocity."""

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
    """First and second moments of a distribution on R^dim: what its sampler is tested against."""

    mean: Float[np.ndarray, " dim"]
    covariance: Float[np.ndarray, "dim dim"]


class Modes(NamedTuple):
    """The modes of a mixture, for coverage and balance: centres, standard deviations, and weights."""

    centres: Float[np.ndarray, "k dim"]
    stds: Float[np.ndarray, " k"]
    weights: Float[np.ndarray, " k"]


class Place(NamedTuple):
    """Where a batch stands in the stream of a run: what data that are finite go through in order need to know."""

    key: PRNGKey
    """Of the stream: the same for all of its batches."""
    step: Count
    """Batches before this one."""


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
        """Mean v(x, t) and covariance Sigma(x, t) of v_cond given x_t = x, for t in [1e-4, 1]."""

    @abstractmethod
    def moments(self) -> Moments:
        """Declared mean and covariance of x0, found without the sampler."""

    @property
    def shape(self) -> DataShape:
        """What a net must know of the data."""
        return DataShape(self.dim)

    @property
    def is_stand_in(self) -> bool:
        """Whether it only has the shape of data that are not at hand: enough to count and to time, not to train."""
        return False

    def draw_labelled(self, key: PRNGKey, n: int, place: Place | None = None) -> tuple[Points, Labels | None]:
        """``n`` data points and their classes, None where there are none.

        Args:
            key: of independent draws.
            n: static.
            place: in a stream that visits every point equally often; a distribution has no such order.
        """
        return self.draw(key, n), None

    def zero_loss(self) -> float:
        """E|eps - x0|^2 = dim + Tr Cov[x0] + |E[x0]|^2: the expected loss of a net that says zero."""
        mean, covariance = self.moments()
        return float(self.dim + np.trace(covariance) + mean @ mean)

    def modes(self) -> Modes | None:
        """Modes where the distribution is a mixture of well-separated parts, else None."""
        return None

    def velocity(self, x: Point, t: Scalar) -> Point:
        """Marginal velocity v(x, t) = E[eps - x0 | x_t = x]."""
        return self.velocity_moments(x, t)[0]

    def sample(self, n: int, seed: int = 0) -> Float[np.ndarray, "n dim"]:
        """``n`` data points as float32 numpy, the same for the same ``seed``.

        Raises:
            ValueError: ``n`` below 1.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        with jax.enable_x64(False):  # float64 would draw other numbers
            return np.asarray(_draw(self, jax.random.key(seed), n))

    def _repr_html_(self) -> str:
        """What a notebook shows of a dataset: its law, its size, and points of it."""
        from toylab.plots.figures import data_figure, png_bytes  # matplotlib is for those who draw

        picture = png_bytes(data_figure(self.sample(4096)), dpi=80) if self.dim > 1 else None
        return notebook_html(facts_of(self), picture, "4,096 data points")


def facts_of(dataset: AbstractDataset) -> dict[str, str]:
    """Label -> text of what tells a distribution apart: law, dimension, modes, mean and spread of each coordinate."""
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
