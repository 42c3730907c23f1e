"""Networks u(x, r, t): Equinox modules that take one example and return one velocity."""

from toylab.nets.base import nets
from toylab.nets.embed import sinusoidal_embedding
from toylab.nets.flat import FlatNet, NetSpec, flat_net
from toylab.nets.labelled import Guided, OfClass
from toylab.nets.mlp import MLP, MLPSpec

__all__ = [
    "MLP",
    "FlatNet",
    "Guided",
    "MLPSpec",
    "NetSpec",
    "OfClass",
    "flat_net",
    "nets",
    "sinusoidal_embedding",
]
