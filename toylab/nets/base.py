"""Nets by name: what builds the description of a net from that of its data."""

from toylab.nets.flat import NetSpec
from toylab.registry import Registry

nets: Registry[NetSpec] = Registry("net", "toylab.nets")
"""Each is a function of a `DataShape`, called ``data``, of settings that bear the names of fields of `RunConfig`, and
of options of its own. Methods ask for ``velocity_head`` and ``encoder_depth`` where they need them."""
