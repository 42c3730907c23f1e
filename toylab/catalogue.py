"""All registries in one place: the names of each kind, with summaries."""

from toylab.coefficients import coefficients
from toylab.config import PRESETS
from toylab.configs import config_names, summary
from toylab.data import datasets
from toylab.data.images import image_sets
from toylab.methods import methods
from toylab.metrics import metrics
from toylab.nets import nets
from toylab.proxies import proxies
from toylab.registry import Registry
from toylab.times import time_samplers

REGISTRIES: dict[str, Registry] = {
    "datasets": datasets,
    "methods": methods,
    "proxies": proxies,
    "coefficients": coefficients,
    "time_samplers": time_samplers,
    "metrics": metrics,
    "image_sets": image_sets,
    "nets": nets,
}
"""Kind -> registry."""

KINDS = (*REGISTRIES, "presets", "configs")
"""Every kind that `available` and `describe` accept."""


def describe(kind: str) -> dict[str, str]:
    """Name -> one-line summary, sorted by name.

    Raises:
        ValueError: no such kind; the message names the choices.
    """
    if kind == "presets":
        return {name: PRESETS[name].summary for name in sorted(PRESETS)}
    if kind == "configs":
        return {name: summary(name) for name in config_names()}
    if kind not in REGISTRIES:
        raise ValueError(f"unknown kind {kind!r}; choices: {', '.join(KINDS)}")
    registry = REGISTRIES[kind]
    summaries = {name: registry.entry(name).summary for name in registry.names()}
    if kind == "methods":
        return {name: f"{summary} {_facts(name)}" for name, summary in summaries.items()}
    return summaries


def _facts(method: str) -> str:
    """Changes of a method relative to vanilla MeanFlow, and the confidence that it matches the publication."""
    build = methods.entry(method).build
    changes = ", ".join(getattr(build, "changes", ())) or "nothing"
    return f"[changes {changes}; confidence {getattr(build, 'confidence', 'unknown')}]"


def available(kind: str) -> list[str]:
    """Sorted names of one kind: datasets, methods, proxies, coefficients, time_samplers, metrics, image_sets, nets,
    presets or configs.

    Raises:
        ValueError: no such kind; the message names the choices.
    """
    return list(describe(kind))
