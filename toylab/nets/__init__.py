"""Networks u(x, r, t): Equinox modules that take one example and return one velocity."""

from toylab.nets.embed import sinusoidal_embedding
from toylab.nets.flat import FlatNet, flat_net
from toylab.nets.mlp import MLP, MLPSpec

__all__ = ["MLP", "FlatNet", "MLPSpec", "flat_net", "sinusoidal_embedding"]
