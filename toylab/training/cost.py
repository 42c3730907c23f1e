"""Cost of a config before it is trained: network evaluations, operations and memory.

`network_evaluations` is the unit in which methods are compared at equal cost. One evaluation is one forward pass of the
net on one example. Counted are the multiplications of matrices in the traced program, so a Jacobian-vector product, a
backward pass, a second-order term, a teacher's first stage and the pairs that it makes are all counted automatically.

`cost` counts every operation of the lowered program, as XLA does. `check_memory` estimates bytes from sizes alone.
"""

import contextlib
import dataclasses
import math
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend
import jax.numpy as jnp
from jax.interpreters import partial_eval

from toylab.config import RunConfig
from toylab.devices.parallel import single_precision
from toylab.methods import AbstractTwoStageMethod
from toylab.nets import flat_net
from toylab.training.experiment import Experiment, build_experiment
from toylab.training.objective import draw_batch, loss_and_gradient, observe
from toylab.training.state import init_state
from toylab.training.step import begin_second_stage, train_lane, train_step
from toylab.types import Point, Scalar

COLLECTIVES = ("psum", "pmax", "pmin", "all_gather", "reduce_scatter", "ppermute", "pbroadcast", "all_to_all")
"""Primitives of JAX that move data between devices."""

STATE_COPIES = 5
"""Arrays of the size of the parameters: themselves, their moving average, two moments of Adam, the gradient."""


# Network evaluations: matrix products of the traced program.


class Evaluations(NamedTuple):
    """Network evaluations of a config: per example of each stage, once between the stages, and in all."""

    per_example: float
    """Of the (second) stage: forward, tangents, proxies, backward; flow matching costs just under 3, since the first
    layer needs no gradient in its input."""
    per_example_first: float
    """Of the first stage; 0 for methods of one stage."""
    once: float
    """For the pairs that a teacher makes."""
    total: float
    """Of the whole run."""


def network_evaluations(config: RunConfig) -> Evaluations:
    """The cost of ``config`` in network evaluations; nothing is trained or compiled.

    Raises:
        ValueError: an unknown name or a bad option.
    """
    experiment = build_experiment(config)
    forward = matmul_flops(_forward(experiment), *_forward_arguments(experiment))
    method, per_batch = experiment.method, config.batch_size * forward
    if not isinstance(method, AbstractTwoStageMethod):
        main = _gradient_matmul_flops(experiment) / per_batch
        return Evaluations(main, 0.0, 0.0, main * config.batch_size * config.steps)
    main, first = (_gradient_matmul_flops(experiment, stage) / per_batch for stage in (False, True))
    once = matmul_flops(begin_second_stage, experiment, _state_and_key(experiment)[0]) / forward
    share = float(method.first_stage)
    mean = share * first + (1 - share) * main
    return Evaluations(main, first, once, once + mean * config.batch_size * config.steps)


def steps_within(config: RunConfig, budget: float) -> int:
    """The largest number of steps of ``config`` that ``budget`` network evaluations pay for.

    Raises:
        ValueError: a budget that does not pay for one step.
    """
    cost = network_evaluations(config.replace(steps=1))
    steps = math.floor((budget - cost.once) / (cost.total - cost.once))
    if steps < 1:
        raise ValueError(
            f"a budget of {budget:g} network evaluations does not pay for a step of {config.method!r}, "
            f"which needs {cost.total:g}"
        )
    return steps


def matmul_flops(fn: Callable, *arguments: Any) -> int:
    """Floating-point operations of the matrix products in ``fn``, for arrays or their abstract shapes."""
    closed = jax.make_jaxpr(fn)(*arguments)
    # Without dead code: a trace holds what nothing reads, for example the output of a net of which only the tangent is
    # used, and no compiler would compute that.
    jaxpr, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    return _count(jaxpr)


def _count(jaxpr: Any) -> int:
    return sum(_count_equation(equation) for equation in jaxpr.eqns)


def _count_equation(equation: Any) -> int:
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        left, out = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
        return 2 * math.prod(out) * math.prod(left[axis] for axis in contracted)  # a product and a sum each
    inner = [_count(jaxpr) for jaxpr in jax.extend.core.jaxprs_in_params(equation.params)]
    if equation.primitive.name == "cond":  # one branch runs: the dearest is an upper bound
        return max(inner, default=0)
    return sum(inner) * equation.params.get("length", 1) if equation.primitive.name == "scan" else sum(inner)


def _gradient_matmul_flops(experiment: Experiment, first_stage: bool = False) -> int:
    def step(experiment, state, key):
        batch = draw_batch(experiment, key)
        result = loss_and_gradient(experiment, state, batch, first_stage)
        return (
            (*result, observe(experiment, state, batch)) if experiment.coefficient.observed_share else result
        )

    return matmul_flops(step, experiment, *_state_and_key(experiment))


# Operations and bytes: the program as XLA lowers it.


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
        experiment = _countable(config)
        state, _ = _state_and_key(experiment)
        split = _flops(train_step, experiment, *_state_and_key(experiment))
        plain = split
        if experiment.num_equal < experiment.batch_size:
            unsplit = _countable(config.replace(p_equal=0.0))
            plain = _flops(train_step, unsplit, *_state_and_key(unsplit))
        return {
            "params": flat_net(experiment.net).num_params,
            "flops_forward": _flops(_forward(experiment), *_forward_arguments(experiment)),
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
    """The experiment with a net whose loops are unrolled: XLA counts the body of a loop once."""
    experiment = build_experiment(config)
    return dataclasses.replace(experiment, net=experiment.net.unrolled())


def _flops(fn: Callable, *arguments: Any) -> int:
    analysis = jax.jit(fn).lower(*arguments).cost_analysis()
    if not analysis or "flops" not in analysis:
        raise ValueError(
            "this version of XLA does not count operations: install a version that toylab requires"
        )
    return int(analysis["flops"])


def _collectives(experiment: Experiment) -> int:
    """Collective operations in a lane's stretch of training.

    On a CPU every lane is a program of its own. On accelerators `shard_map` lays lanes over devices, and there the
    compiler adds no communication to those that the program of a lane names.
    """
    state, _ = _state_and_key(experiment)
    program = str(jax.make_jaxpr(train_lane)(experiment, state, jax.ShapeDtypeStruct((), jnp.int32)))
    return len(re.findall(rf"\b({'|'.join(COLLECTIVES)})\w*\[", program))


# Abstract arguments of both counts.


def _forward(experiment: Experiment) -> Callable:
    """The net as a function of its parameters and one example."""
    net = flat_net(experiment.net)

    def forward(params, x: Point, r: Scalar, t: Scalar) -> Point:
        return net.bind(params)(x, r, t)

    return forward


def _forward_arguments(experiment: Experiment) -> tuple[Any, ...]:
    x, time = jax.ShapeDtypeStruct((experiment.net.dim,), jnp.float32), jax.ShapeDtypeStruct((), jnp.float32)
    return jax.eval_shape(init_state, experiment).params, x, time, time


def _state_and_key(experiment: Experiment) -> tuple[Any, Any]:
    return jax.eval_shape(init_state, experiment), jax.eval_shape(lambda: jax.random.key(0))


# Memory: sizes alone, before anything is allocated or traced. An allocation that fails ends the process.


def check_memory(configs: Sequence[RunConfig], experiments: Sequence[Experiment]) -> None:
    """Refuse runs that cannot fit: states of all of them, and the activations of the largest.

    Args:
        configs: settings of the runs.
        experiments: the configs' experiments.

    Raises:
        ValueError: more than this machine has; the line has the numbers.
    """
    if not configs or (memory := physical_memory()) is None:
        return
    activations = [activation_bytes(experiment) for experiment in experiments]
    largest = configs[activations.index(max(activations))]
    needed = sum(map(state_bytes, experiments)) + max(activations)
    if needed > memory:
        raise ValueError(
            f"{len(configs)} run(s) with {_sizes(largest)}, batch_size {largest.batch_size} need about "
            f"{needed / 2**30:.1f} GiB, this machine has {memory / 2**30:.1f} GiB"
        )


def state_bytes(experiment: Experiment) -> int:
    """About the bytes of a run's state and gradient, in float32."""
    return 4 * STATE_COPIES * flat_net(experiment.net).num_params


def activation_bytes(experiment: Experiment) -> int:
    """About the bytes of the activations that one step keeps for its derivative, in float32."""
    return 4 * experiment.batch_size * experiment.net.num_activations


def _sizes(config: RunConfig) -> str:
    """The settings that the size of the net of ``config`` depends on."""
    if config.net_options:
        return f"net {config.net} " + ", ".join(f"{key} {value}" for key, value in config.net_options.items())
    return f"width {config.width}, depth {config.depth}"


def physical_memory() -> int | None:
    """Bytes of memory of this machine, None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
