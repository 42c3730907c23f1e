"""From a config to a pytree: structure static, every number an array.

Experiments of one structure are lanes of one compiled program.
"""

from collections.abc import Hashable

import equinox as eqx
import jax
import numpy as np

from toylab.coefficients import AbstractCoefficient, coefficients
from toylab.config import RunConfig
from toylab.data import AbstractDataset, datasets
from toylab.methods import AbstractMethod, AbstractTwoStageMethod, methods
from toylab.methods.meanflow import MeanFlow
from toylab.methods.terms import AdaptiveWeight, Anchor
from toylab.nets import MLPSpec
from toylab.proxies import proxies
from toylab.times import AbstractTimeSampler, time_samplers
from toylab.types import Count, Scalar


class Experiment(eqx.Module):
    """All that one run needs. Leaves may differ between lanes; static fields and array shapes may not."""

    dataset: AbstractDataset
    method: AbstractMethod
    coefficient: AbstractCoefficient
    times: AbstractTimeSampler
    learning_rate: Scalar | float
    grad_clip: Scalar | float
    ema_decay: Scalar | float
    max_gap: Scalar | float
    zero_loss: Scalar | float
    """Expected loss of a net that says zero, E|eps - x0|^2: the scale on which a loss has blown up."""
    steps: Count | int
    seed: Count | int
    net: MLPSpec = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)
    num_equal: int = eqx.field(static=True)
    optimizer: str = eqx.field(static=True)
    lr_schedule: str = eqx.field(static=True)


def build_experiment(config: RunConfig) -> Experiment:
    """The experiment that ``config`` describes, leaves as numpy scalars and arrays.

    Raises:
        ValueError: an unknown name or a bad option, in one line that names the choices.
    """
    dataset = datasets.create(config.dataset, config.dataset_options)
    method = _build_method(config)
    if "beta" in config.coefficient_options:
        raise ValueError("coefficient_options cannot hold beta: that is the setting beta")
    coefficient = coefficients.create(config.coefficient, {**config.coefficient_options, "beta": config.beta})
    if coefficient.observed_share and not isinstance(method, MeanFlow):
        raise ValueError(
            f"coefficient {config.coefficient!r} estimates beta of meanflow, not of {config.method!r}"
        )
    if coefficient.local and isinstance(method, AbstractTwoStageMethod) and method.num_pairs:
        raise ValueError(
            f"coefficient {config.coefficient!r} knows the noise of independent ends, not of the pairs "
            f"of {config.method!r}"
        )
    experiment = Experiment(
        dataset=dataset,
        method=method,
        coefficient=coefficient,
        times=time_samplers.create(config.time_sampler, config.time_options),
        learning_rate=config.learning_rate,
        grad_clip=config.grad_clip,
        ema_decay=config.ema_decay,
        max_gap=config.max_gap,
        zero_loss=_zero_loss(dataset),
        steps=config.steps,
        seed=config.seed,
        net=MLPSpec(
            dim=dataset.dim,
            width=config.width,
            depth=config.depth,
            activation=config.activation,
            embed_dim=config.embed_dim,
            embed_scale=config.embed_scale,
            output_scale=config.output_scale,
            **method.net_options,
        ),
        batch_size=config.batch_size,
        num_equal=config.num_equal if method.uses_pairs else config.batch_size,
        optimizer=config.optimizer,
        lr_schedule=config.lr_schedule,
    )
    return jax.tree.map(_as_array, experiment)


PIECES = {
    "tangent": ("proxy", "proxy_options"),
    "target": ("target", "target_options"),
    "weight": ("adaptive_power", "adaptive_constant"),
    "anchor": ("anchor_weight", "anchor_min", "anchor_max"),
}
"""Pieces that methods share, and the settings that they are made of."""


def unused_settings(config: RunConfig) -> list[str]:
    """Settings of ``config`` that differ from their default although its method has no use for them.

    Raises:
        ValueError: an unknown method.
    """
    accepted, default = methods.options(config.method), RunConfig()
    names = [name for piece, names in PIECES.items() if piece not in accepted for name in names]
    return [name for name in names if getattr(config, name) != getattr(default, name)]


def without_unused_settings(config: RunConfig) -> RunConfig:
    """``config`` with those settings at their default: for grids over methods, where a flag means all that take it."""
    default = RunConfig()
    return config.replace(**{name: getattr(default, name) for name in unused_settings(config)})


def structure(experiment: Experiment) -> Hashable:
    """What must agree for two experiments to be lanes of one program."""
    leaves, treedef = jax.tree.flatten(experiment)
    return treedef, tuple((leaf.shape, leaf.dtype) for leaf in leaves)


def _build_method(config: RunConfig) -> AbstractMethod:
    """The method with those of the common pieces that it accepts.

    Raises:
        ValueError: a setting of a piece that it does not accept, or an unknown option.
    """
    if unused := unused_settings(config):
        accepted = [
            name
            for piece, names in PIECES.items()
            if piece in methods.options(config.method)
            for name in names
        ]
        choices = ", ".join(accepted) or "none of proxy, target, adaptive_power and anchor_weight"
        raise ValueError(f"method {config.method!r} does not use {unused[0]}; it takes {choices}")
    anchor = (
        Anchor(config.anchor_weight, config.anchor_min, config.anchor_max) if config.anchor_weight else None
    )
    pieces = {
        "tangent": proxies.create(config.proxy, config.proxy_options),
        "target": proxies.create(config.target, config.target_options),
        "weight": AdaptiveWeight(config.adaptive_power, config.adaptive_constant),
        "anchor": anchor,
    }
    accepted = methods.options(config.method)
    own = sorted(set(accepted) - set(pieces))
    if unknown := sorted(set(config.method_options) - set(own)):
        choices = ", ".join(own) or "none"
        raise ValueError(f"unknown option {unknown[0]!r} of method {config.method!r}; choices: {choices}")
    used = {name: piece for name, piece in pieces.items() if name in accepted}
    return methods.create(config.method, {**used, **config.method_options})


def _zero_loss(dataset: AbstractDataset) -> float:
    """E|eps - x0|^2 = dim + Tr Cov[x0] + |E[x0]|^2."""
    mean, covariance = dataset.moments()
    return float(dataset.dim + np.trace(covariance) + mean @ mean)


def _as_array(leaf: object) -> np.ndarray:
    array = np.asarray(leaf)
    return array.astype(np.int32) if array.dtype.kind in "iu" else array.astype(np.float64)
