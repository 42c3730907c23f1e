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
from toylab.methods import AbstractMethod, methods
from toylab.methods.meanflow import MeanFlow
from toylab.methods.terms import AdaptiveWeight, Anchor
from toylab.nets import MLPSpec
from toylab.proxies import proxies
from toylab.times import AbstractTimeSampler, time_samplers


class Experiment(eqx.Module):
    """All that one run needs. Leaves may differ between lanes; static fields and array shapes may not."""

    dataset: AbstractDataset
    method: AbstractMethod
    coefficient: AbstractCoefficient
    times: AbstractTimeSampler
    learning_rate: float
    grad_clip: float
    ema_decay: float
    max_gap: float
    steps: int
    seed: int
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
    coefficient = coefficients.create(config.coefficient, {**config.coefficient_options, "beta": config.beta})
    if coefficient.observed_share and not isinstance(method, MeanFlow):
        raise ValueError(
            f"coefficient {config.coefficient!r} estimates beta of meanflow, not of {config.method!r}"
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


def structure(experiment: Experiment) -> Hashable:
    """What must agree for two experiments to be lanes of one program."""
    leaves, treedef = jax.tree.flatten(experiment)
    return treedef, tuple((leaf.shape, leaf.dtype) for leaf in leaves)


def _build_method(config: RunConfig) -> AbstractMethod:
    """The method with those of the common pieces that it accepts."""
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


def _as_array(leaf: object) -> np.ndarray:
    array = np.asarray(leaf)
    return array.astype(np.int32) if array.dtype.kind in "iu" else array.astype(np.float64)
