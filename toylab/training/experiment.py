"""Experiment: a config as a pytree, structure static and every number an array.

Experiments of one structure are lanes of one compiled program.
"""

from collections.abc import Hashable, Mapping

import equinox as eqx
import jax
import numpy as np

from toylab.coefficients import AbstractCoefficient, coefficients
from toylab.config import RunConfig
from toylab.data import AbstractDataset, create_dataset
from toylab.methods import AbstractMethod, AbstractTwoStageMethod, methods
from toylab.methods.guidance import Guidance
from toylab.methods.meanflow import MeanFlow
from toylab.methods.terms import AdaptiveWeight, Anchor
from toylab.nets import NetSpec, nets
from toylab.proxies import proxies
from toylab.times import AbstractTimeSampler, time_samplers
from toylab.types import Count, DataShape, Scalar


class Experiment(eqx.Module):
    """Modules and numbers of one run. Leaves may differ between lanes; static fields and array shapes may not."""

    dataset: AbstractDataset
    method: AbstractMethod
    coefficient: AbstractCoefficient
    times: AbstractTimeSampler
    learning_rate: Scalar | float
    grad_clip: Scalar | float
    ema_decay: Scalar | float
    max_gap: Scalar | float
    zero_loss: Scalar | float
    """Expected loss of the zero predictor u = 0, E|eps - x0|^2: the unit in which divergence is measured."""
    steps: Count | int
    seed: Count | int
    label_dropout: Scalar | float
    guidance: Guidance | None
    """Classifier-free guidance of the target, None without."""
    net: NetSpec = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)
    num_equal: int = eqx.field(static=True)
    optimizer: str = eqx.field(static=True)
    adam_beta2: float = eqx.field(static=True)
    lr_schedule: str = eqx.field(static=True)


def build_experiment(config: RunConfig) -> Experiment:
    """The experiment that ``config`` describes, leaves as numpy scalars and arrays.

    Raises:
        ValueError: an unknown name or a bad option, in one line that names the choices.
    """
    dataset = create_dataset(config.dataset, config.dataset_options)
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
            f"coefficient {config.coefficient!r} needs independent data and noise; {config.method!r} couples them "
            f"in pairs"
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
        zero_loss=dataset.zero_loss(),
        steps=config.steps,
        seed=config.seed,
        label_dropout=config.label_dropout,
        guidance=_build_guidance(config, dataset, method),
        net=_build_net(config, dataset.shape, method),
        batch_size=config.batch_size,
        num_equal=config.num_equal if method.uses_pairs else config.batch_size,
        optimizer=config.optimizer,
        adam_beta2=config.adam_beta2,
        lr_schedule=config.lr_schedule,
    )
    return jax.tree.map(_as_array, experiment)


LIVE_SETTINGS = {
    "beta": lambda experiment: experiment.coefficient.beta,
    "learning_rate": lambda experiment: experiment.learning_rate,
}
"""Settings that may change during a run -> their leaf in an experiment. Leaves are inputs of the compiled program, so a
change compiles nothing."""


def with_live_settings(experiment: Experiment, values: Mapping[str, float]) -> Experiment:
    """``experiment`` with other values of live settings.

    Raises:
        ValueError: a setting that cannot change during a run.
    """
    for name, value in values.items():
        if name not in LIVE_SETTINGS:
            choices = ", ".join(sorted(LIVE_SETTINGS))
            raise ValueError(f"{name!r} cannot change during a run; choices: {choices}")
        # float64 as `build_experiment` makes it: equal to the experiment of a config with that value.
        experiment = eqx.tree_at(LIVE_SETTINGS[name], experiment, np.asarray(value, np.float64))
    return experiment


PIECES = {
    "tangent": ("proxy", "proxy_options"),
    "target": ("target", "target_options"),
    "weight": ("adaptive_power", "adaptive_constant"),
    "anchor": ("anchor_weight", "anchor_min", "anchor_max"),
}
"""Pieces that methods share, and the settings that they are made of."""

NET_SETTINGS = ("width", "depth", "activation", "embed_dim", "embed_scale", "output_scale")
"""Settings that a net takes where it has a parameter of that name; its other parameters are in ``net_options``."""


def unused_settings(config: RunConfig) -> list[str]:
    """Settings of ``config`` that differ from their default although its method or net does not use them.

    Raises:
        ValueError: an unknown method or net.
    """
    accepted, default = methods.options(config.method), RunConfig()
    names = [name for piece, names in PIECES.items() if piece not in accepted for name in names]
    names += [name for name in NET_SETTINGS if name not in nets.options(config.net)]
    return [name for name in names if getattr(config, name) != getattr(default, name)]


def without_unused_settings(config: RunConfig) -> RunConfig:
    """``config`` with its `unused_settings` at their default: for grids, where a flag means all methods that use it."""
    default = RunConfig()
    return config.replace(**{name: getattr(default, name) for name in unused_settings(config)})


def structure(experiment: Experiment) -> Hashable:
    """Key of the compiled program: tree structure with static fields, shapes and dtypes of the leaves."""
    leaves, treedef = jax.tree.flatten(experiment)
    return treedef, tuple((leaf.shape, leaf.dtype) for leaf in leaves)


def _build_net(config: RunConfig, data: DataShape, method: AbstractMethod) -> NetSpec:
    """The net for these data, with the options that the method requires.

    Raises:
        ValueError: an unknown net or option, or one that does not fit the data.
    """
    accepted = nets.options(config.net)
    settings = {name: getattr(config, name) for name in NET_SETTINGS if name in accepted}
    reserved = {"data", *settings, *method.net_options}
    if clash := sorted(reserved & set(config.net_options)):
        raise ValueError(
            f"net_options cannot hold {clash[0]}: it is a setting, or set by the data or the method"
        )
    return nets.create(config.net, {"data": data, **settings, **config.net_options, **method.net_options})


def _build_guidance(config: RunConfig, dataset: AbstractDataset, method: AbstractMethod) -> Guidance | None:
    """The guidance of the target, None without.

    Raises:
        ValueError: settings of labels on data without them, or with a method or a proxy that cannot have them.
    """
    if config.guidance == 1 and config.guidance_mix == 0 and config.label_dropout == 0:
        return None
    if not dataset.shape.num_classes:
        raise ValueError(
            f"dataset {config.dataset!r} has no classes: guidance must be 1, guidance_mix and label_dropout 0"
        )
    if config.guidance == 1 and config.guidance_mix == 0:
        return None
    for name in ("proxy", "target"):
        # Such a proxy weighs the example's own x0 and eps against data; guidance replaces both ends.
        if not proxies.entry(getattr(config, name)).build.follows_coupling:
            raise ValueError(
                f"{name} {getattr(config, name)!r} estimates the velocity without guidance: choose another "
                f"{name}, or guidance 1 and guidance_mix 0"
            )
    return Guidance(config.guidance, config.guidance_mix or None)


def _build_method(config: RunConfig) -> AbstractMethod:
    """The method, given the shared pieces that it accepts.

    Raises:
        ValueError: a setting of a piece that it does not accept, or an unknown option.
    """
    if unused := [name for name in unused_settings(config) if name in NET_SETTINGS]:
        options = ", ".join(sorted(set(nets.options(config.net)) - {"data"}))
        raise ValueError(f"net {config.net!r} does not use {unused[0]}; its net_options are {options}")
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


def _as_array(leaf: object) -> np.ndarray:
    array = np.asarray(leaf)
    if array.dtype in (
        np.uint8,
        np.float16,
    ):  # images keep their storage format: four bytes per pixel may not fit
        return array
    # One dtype per kind, whatever type a config's number has (0 or 0.0): dtypes are part of the structure. float64
    # loses nothing here; the leaves become float32 where lanes are put on devices.
    return array.astype(np.int32) if array.dtype.kind in "iu" else array.astype(np.float64)
