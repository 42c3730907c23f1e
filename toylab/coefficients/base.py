"""What a coefficient rule is."""

from abc import abstractmethod

import equinox as eqx

from toylab.registry import Registry
from toylab.types import Scalar


class AbstractCoefficient(eqx.Module):
    """A rule for beta, the weight of the proxy in the tangent (1 - beta) v_cond + beta v_hat."""

    beta: eqx.AbstractVar[float]

    @abstractmethod
    def __call__(self, progress: Scalar, r: Scalar, t: Scalar) -> Scalar:
        """Beta after the share ``progress`` in [0, 1] of training, for the interval [r, t]."""


coefficients: Registry[AbstractCoefficient] = Registry("coefficient", "toylab.coefficients")
