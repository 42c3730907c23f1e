"""Proxies: estimates of the marginal velocity, for the tangent or for the target."""

from toylab.proxies.base import AbstractProxy, Context, proxies

__all__ = ["AbstractProxy", "Context", "proxies"]
