"""Networks u(x, r, t): Equinox modules that take one example and return one velocity."""

from toylab.nets.base import Guided, NetSpec, OfClass, nets, sinusoidal_embedding
from toylab.nets.flat import FlatNet, flat_net
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
