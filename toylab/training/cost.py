"""What a configuration costs before it is trained: operations and memory, read off the compiled program."""

import contextlib
import dataclasses
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from toylab.config import RunConfig
from toylab.devices.parallel import single_precision
from toylab.nets import flat_net
from toylab.training.experiment import Experiment, build_experiment
from toylab.training.state import init_state
from toylab.training.step import train_lane, train_step

COLLECTIVES = ("psum", "pmax", "pmin", "all_gather", "reduce_scatter", "ppermute", "pbroadcast", "all_to_all")
"""Primitives of JAX that move data between devices."""


def cost(config: RunConfig) -> dict[str, Any]:
    """Parameters, floating-point operations and memory of one run.

    Nothing is trained: functions are lowered for abstract shapes, and XLA counts the operations of their HLO.

    Returns:
        params: number of parameters.
        flops_forward: operations of the net on ONE example.
        flops_step: operations of one optimiser step on the whole batch: ``split`` as trained, with rows r = t
            apart; ``plain`` if every row took the Jacobian-vector product.
        bytes: memory of a lane's state: parameters, their moving average, optimiser state, counters.
        collectives: communications between devices while lanes train.

    Raises:
        ValueError: an unknown name or a bad option.
    """
    with single_precision(), _counted_for_a_cpu():
        return _cost(config)


def _cost(config: RunConfig) -> dict[str, Any]:
    experiment = _countable(config)
    net = flat_net(experiment.net)
    state = jax.eval_shape(init_state, experiment)
    x, time = jax.ShapeDtypeStruct((experiment.net.dim,), jnp.float32), jax.ShapeDtypeStruct((), jnp.float32)
    split = _step_flops(experiment)
    uses_pairs = experiment.num_equal < experiment.batch_size
    plain = _step_flops(_countable(config.replace(p_equal=0.0))) if uses_pairs else split
    return {
        "params": net.num_params,
        "flops_forward": _flops(
            lambda params, x, r, t: net.bind(params)(x, r, t), state.params, x, time, time
        ),
        "flops_step": {"plain": plain, "split": split},
        "bytes": sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)),
        "collectives": _collectives(experiment),
    }


def _counted_for_a_cpu() -> contextlib.AbstractContextManager:
    """Lower for a CPU wherever there is one, so that the counts are the same on every machine."""
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:  # JAX_PLATFORMS names accelerators alone
        return contextlib.nullcontext()


def _countable(config: RunConfig) -> Experiment:
    """The experiment with a net whose loops are written out."""
    experiment = build_experiment(config)
    return dataclasses.replace(experiment, net=experiment.net.unrolled())


def _step_flops(experiment: Experiment) -> int:
    state = jax.eval_shape(init_state, experiment)
    key = jax.eval_shape(lambda: jax.random.key(0))
    return _flops(train_step, experiment, state, key)


def _flops(fn: Callable, *arguments: Any) -> int:
    analysis = jax.jit(fn).lower(*arguments).cost_analysis()
    if not analysis or "flops" not in analysis:
        raise ValueError("this version of XLA counts no operations")
    return int(analysis["flops"])


def _collectives(experiment: Experiment) -> int:
    """Collective operations in a lane's stretch of training.

    On a CPU every lane is a program of its own; on accelerators lanes are laid over devices by `shard_map`, in
    which every communication is written out. What the program of a lane does not name, nobody adds.
    """
    state = jax.eval_shape(init_state, experiment)
    program = str(jax.make_jaxpr(train_lane)(experiment, state, jax.ShapeDtypeStruct((), jnp.int32)))
    return len(re.findall(rf"\b({'|'.join(COLLECTIVES)})\w*\[", program))
