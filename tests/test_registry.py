"""Registries: citations exist, options are named, and a bug inside a builder stays a bug."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toylab.catalogue import REGISTRIES
from toylab.data import datasets
from toylab.proxies import AbstractProxy, Context, proxies
from toylab.registry import Registry

KEYS = set(re.findall(r"@\w+\{([^,]+),", (Path(__file__).parents[1] / "references.bib").read_text()))
ENTRIES = [registry.entry(name) for registry in REGISTRIES.values() for name in registry.names()]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_citation_is_in_the_bibliography(entry):
    assert entry.citation in KEYS | {""}


def things() -> Registry:
    registry = Registry("thing", "toylab.times")
    registry._discovered = True

    @registry.register("buggy")
    def buggy(size: float = 1.0, name: str = "x"):
        return len(size)  # type: ignore[arg-type]

    @registry.register("fine")
    def fine(size: float, share: float = 0.5):
        return size, share

    return registry


@pytest.mark.parametrize("value", ["x", None, True, [1], float("nan"), float("inf")])
def test_an_option_that_is_no_number_is_named(value):
    with pytest.raises(
        ValueError, match=r"share must be a finite number, got .* \(an option of thing 'fine'\)"
    ):
        things().create("fine", {"size": 1.0, "share": value})


@pytest.mark.parametrize("value", [1, np.float32(0.5), np.int64(3)])
def test_numbers_of_any_kind_are_numbers(value):
    assert things().create("fine", {"size": 1.0, "share": value}) == (1.0, value)


def test_unknown_and_missing_options_are_named():
    with pytest.raises(ValueError, match="unknown option 'colour' of thing 'fine'; choices: share, size"):
        things().create("fine", {"size": 1, "colour": 3})
    with pytest.raises(ValueError, match="needs the option 'size'"):
        things().create("fine")


def test_a_bug_inside_a_builder_is_not_called_a_bad_option():
    with pytest.raises(TypeError, match="has no len"):
        things().create("buggy", {"size": 2.0})


@pytest.mark.slow
@pytest.mark.parametrize("name", proxies.names())
def test_no_gradient_flows_through_a_proxy(name):
    proxy = proxies.create(name)
    assert type(proxy).__call__ is AbstractProxy.__call__
    dataset = datasets.create("two_moons")
    x0, eps, t = jnp.array([0.4, 0.1]), jnp.array([-1.0, 0.7]), jnp.asarray(0.6)

    def said(weight):
        def net(x, r, t):
            return weight * x

        inputs = Context(net, net, dataset, jnp.asarray(dataset.sample(512)))
        return jnp.sum(proxy(weight * x0, t, weight * x0, eps, inputs))

    assert float(jax.grad(said)(1.3)) == 0
    assert np.isfinite(float(said(1.3)))
