"""Terms of the theory at one training example with r < t: A, Sigma, the error of the proxy, the residual.

Where the velocity is not known exactly, a net trained by flow matching alone is the reference (`reference_velocity`).
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from toylab.coefficients.schedules import Constant
from toylab.devices.parallel import compiled
from toylab.methods import Context, Example
from toylab.methods.meanflow import MeanFlow
from toylab.methods.terms import AdaptiveWeight
from toylab.nets import flat_net
from toylab.proxies.builtin import Conditional
from toylab.training import Run
from toylab.training.experiment import Experiment
from toylab.training.objective import Batch, context_of, draw_pairs, guided_pair
from toylab.training.state import TrainState, lane_keys
from toylab.types import AnyArray, Point, PRNGKey, VelocityNet

CHUNK = 4096
"""Examples per compiled call: memory does not grow with their number."""
MAX_POINTS = 2**24

Matrices = Float[AnyArray, "*n dim dim"]
Vectors = Float[AnyArray, "*n dim"]


class Local(NamedTuple):
    r"""The terms of the residual of one example, or of many along a leading axis.

    With w = v_hat - v and A = (t - r) d_x u the residual at the coefficient beta is

        R(beta) = u - v_cond + (t - r) du/dt = r_theta - [(I - A) + beta A] v' + beta A w.
    """

    gap_jacobian: Matrices
    """A = (t - r) d_x u(x_t, r, t); the Jacobi factor is J = A - I."""
    covariance: Matrices
    """Sigma = Cov[v_cond | x_t], exact."""
    error: Vectors
    """w = v_hat - v: the bias b of a proxy that is a function of x_t."""
    residual: Vectors
    """r_theta = u - v + (t - r)(A v / (t - r) + d_t u): residual of the MeanFlow identity."""
    noise: Vectors
    """v' = v_cond - v of the example's own pair."""


def local_terms(experiment: Experiment, net: VelocityNet, example: Example, context: Context) -> Local:
    """The terms at one example, with ``net`` as the trained net."""
    x0, eps, r, t, *_ = example
    x_t = example.x_t
    v, covariance = experiment.dataset.velocity_moments(x_t, t)
    v_hat = meanflow_of(experiment).tangent(x_t, t, x0, eps, context)
    u, push = jax.linearize(net, x_t, r, t)
    still = jnp.zeros_like(t)
    directions = jnp.eye(x_t.shape[0], dtype=x_t.dtype)
    gap_jacobian = example.gap * jax.vmap(lambda e: push(e, still, still))(directions).T
    derivative = example.gap * push(jnp.zeros_like(x_t), still, still + 1)
    return Local(
        gap_jacobian, covariance, v_hat - v, u - v + gap_jacobian @ v + derivative, example.v_cond - v
    )


def plain_experiment(experiment: Experiment, beta: float | None = None) -> Experiment:
    """The same without adaptive weight and anchor, which the theory leaves out; at a constant ``beta`` if given.

    Raises:
        ValueError: not MeanFlow with the conditional velocity as target.
    """
    plain = dataclasses.replace(meanflow_of(experiment), weight=AdaptiveWeight(0.0), anchor=None)
    # As arrays, like every leaf of an experiment: a Python number would be compiled anew.
    plain = jax.tree.map(np.asarray, plain)
    coefficient = experiment.coefficient if beta is None else Constant(beta)
    coefficient = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), coefficient)
    return dataclasses.replace(experiment, method=plain, coefficient=coefficient)


def is_function_of_place(experiment: Experiment) -> bool:
    """Whether the tangent's proxy is a function of (x_t, t) alone, so that its error is a bias without noise."""
    return not meanflow_of(experiment).tangent.uses_pair


def trained_net(experiment: Experiment, state: TrainState) -> VelocityNet:
    """The net that the optimiser trains (not its moving average)."""
    return flat_net(experiment.net).bind(jnp.asarray(state.params))


def over_pairs(
    per_batch: Callable[..., Any],
    experiment: Experiment,
    state: TrainState,
    num_points: int,
    seed: int,
    chunk: int = CHUNK,
    shared: Sequence[Any] = (),
) -> list[Any]:
    """``per_batch`` of fresh batches of pairs (r < t) from the run's own distribution, as float64 numpy trees.

    Args:
        per_batch: (experiment, state, batch, *shared) -> tree of arrays; the key of the compiled program, so a
            module-level function or a cached closure.
        experiment: settings.
        state: parameters.
        num_points: examples in all, rounded up to whole chunks.
        seed: of the examples; the same seed gives the same examples to every beta and state of a run.
        chunk: examples per call.
        shared: trees of arrays that every call is given.

    Raises:
        ValueError: ``num_points`` below 2 or absurdly large, or a negative seed.
    """
    if not 2 <= num_points <= MAX_POINTS:
        raise ValueError(f"num_points must lie in [2, {MAX_POINTS}], got {num_points}")
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed must lie in [0, 2**31), got {seed}")
    chunk = min(chunk, num_points)
    key = jax.random.fold_in(lane_keys(experiment)[2], seed)
    keys = jax.random.split(key, -(-num_points // chunk))
    call = compiled(_drawn(per_batch, chunk))
    # The host may run ahead: the calls queue up, and only the copies wait.
    results = [call(experiment, state, each, *shared) for each in keys]
    return [jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), result) for result in results]


def stacked(chunks: list[Any]) -> Any:
    """Chunks joined along their first axis."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *chunks)


@lru_cache(maxsize=64)
def _drawn(per_batch: Callable, chunk: int) -> Callable:
    def drawn(experiment: Experiment, state: TrainState, key: PRNGKey, *shared: Any) -> Any:
        return per_batch(experiment, state, draw_pairs(experiment, key, chunk), *shared)

    return drawn


def batch_context(experiment: Experiment, state: TrainState, batch: Batch) -> tuple[VelocityNet, Context]:
    """The trained net, and what losses may look at."""
    net = trained_net(experiment, state)
    return net, context_of(experiment, net, state, batch)


def meanflow_of(experiment: Experiment) -> MeanFlow:
    """The method of an experiment that the theory speaks of.

    Raises:
        ValueError: not MeanFlow with the conditional velocity as target.
    """
    method = experiment.method
    if type(method) is not MeanFlow:
        raise ValueError(f"the theory of beta speaks of method 'meanflow', got {type(method).__name__}")
    if not isinstance(method.target, Conditional):
        raise ValueError(
            f"the theory of beta needs target 'conditional', got {type(method.target).__name__}: "
            "a proxy as target changes the residual"
        )
    return method


Reference = tuple[Experiment, TrainState]
"""Settings and state of a reference run, as compiled functions take them."""


def check_reference(run: Run, reference: Run) -> None:
    """Raise ValueError where ``reference`` cannot have learned the velocity that ``run`` is about."""
    if not eqx.tree_equal(reference.dataset, run.dataset):
        raise ValueError(f"the reference was trained on {_data_of(reference)}, not {_data_of(run)}")
    if reference.experiment.guidance is not None:
        raise ValueError("the reference was trained with guidance, so it knows no velocity of the data")
    if run.config.label_dropout and not reference.config.label_dropout:
        raise ValueError("the reference has seen no hidden class, the run has: give it a label_dropout too")


def _data_of(run: Run) -> str:
    options = (f"{name}={value}" for name, value in run.config.dataset_options.items())
    return " ".join([run.config.dataset, *options])[:80]


def reference_velocity(reference: Reference, example: Example) -> Point:
    """v(x_t, t) of the example's class, by the moving average of the reference."""
    experiment, state = reference
    net = flat_net(experiment.net).bind(jnp.asarray(state.params_ema))
    return Context(net, net).of_class(example.label).net(example.x_t, example.t, example.t)


def seen_velocity(experiment: Experiment, example: Example, context: Context, velocity: Point) -> Point:
    """E[v_cond | x_t] of an example as its method sees it, from the ``velocity`` of the data.

    Guidance is linear in v_cond: it moves the mean as it moves the example.
    """
    return guided_pair(experiment, example.with_velocity(velocity), context)[0].v_cond
