"""What training costs in network evaluations: the currency in which methods are compared at equal cost.

One evaluation is one forward pass of the net on one example. Counted are the multiplications of matrices in the traced
program, so a Jacobian-vector product, a backward pass, a second-order term, a teacher's first stage and the pairs that
it makes all cost what they cost, without a table that someone keeps by hand.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.extend
import jax.numpy as jnp
from jax.interpreters import partial_eval

from toylab.config import RunConfig
from toylab.methods import AbstractTwoStageMethod
from toylab.nets import flat_net
from toylab.training.experiment import Experiment, build_experiment
from toylab.training.objective import draw_batch, observe, value_and_gradient
from toylab.training.state import init_state
from toylab.training.step import begin_second_stage


class Evaluations(NamedTuple):
    """Network evaluations of a config: per example of each stage, once between the stages, and in all."""

    per_example: float
    """Of the (second) stage: forward, tangents, proxies, backward; flow matching costs just under 3."""
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
    forward = _forward_flops(experiment)
    method, per_batch = experiment.method, config.batch_size * forward
    main = _step_flops(experiment) / per_batch
    if not isinstance(method, AbstractTwoStageMethod):
        return Evaluations(main, 0.0, 0.0, main * config.batch_size * config.steps)
    first = _step_flops(experiment, first_stage=True) / per_batch
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
    jaxpr, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    return _count(jaxpr)


def _count(jaxpr: Any) -> int:
    return sum(_count_equation(equation) for equation in jaxpr.eqns)


def _count_equation(equation: Any) -> int:
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        left, out = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
        return 2 * math.prod(out) * math.prod(left[axis] for axis in contracted)
    inner = [_count(jaxpr) for jaxpr in jax.extend.core.jaxprs_in_params(equation.params)]
    if equation.primitive.name == "cond":
        return max(inner, default=0)
    return sum(inner) * equation.params.get("length", 1) if equation.primitive.name == "scan" else sum(inner)


def _forward_flops(experiment: Experiment) -> int:
    net = flat_net(experiment.net)
    x, time = jax.ShapeDtypeStruct((experiment.net.dim,), jnp.float32), jax.ShapeDtypeStruct((), jnp.float32)
    params = jax.eval_shape(init_state, experiment).params
    return matmul_flops(lambda params, x, r, t: net.bind(params)(x, r, t), params, x, time, time)


def _step_flops(experiment: Experiment, first_stage: bool = False) -> int:
    def step(experiment, state, key):
        batch = draw_batch(experiment, key)
        result = value_and_gradient(experiment, state, batch, first_stage)
        return (
            (*result, observe(experiment, state, batch)) if experiment.coefficient.observed_share else result
        )

    return matmul_flops(step, experiment, *_state_and_key(experiment))


def _state_and_key(experiment: Experiment):
    return jax.eval_shape(init_state, experiment), jax.eval_shape(lambda: jax.random.key(0))
