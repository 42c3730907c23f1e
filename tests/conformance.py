"""Gradients of a method's loss on scenes: by the implementation, by references, at the exact solution."""

import itertools
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from method_references import Scene, derivative
from method_references.gaussian import GaussianSolution

from toylab.data import datasets
from toylab.methods import AbstractTwoStageMethod, Context, Example
from toylab.methods.flow_matching import FlowMatching
from toylab.nets import MLPSpec, flat_net
from toylab.nets.flat import FlatNet

TIMES = [(0.2, 0.9), (0.0, 1.0), (0.55, 0.6), (0.3, 0.7)]
BETAS = [-0.5, 0.0, 0.7, 1.0, 1.8]
PROGRESS = [0.0, 0.3, 0.5, 0.8, 1.0]
NUM_UNIFORMS = 8
DATASET = datasets.create("eight_gaussians")
STD = 0.6
"""Width of the Gaussian data of which the solution is known."""
GAUSSIAN = datasets.create("two_gaussians", {"separation": 0.0, "std": STD})


class Scenes(NamedTuple):
    """Examples with their times, beta, progress and a direction in parameter space: leading axes alike."""

    x0: Any
    eps: Any
    r: Any
    t: Any
    beta: Any
    progress: Any
    uniforms: Any
    direction: Any


class Surroundings(NamedTuple):
    """What the scenes share."""

    params: Any
    params_ema: Any
    params_teacher: Any
    reference: Any
    pairs: Any


def net_of(method) -> FlatNet:
    """A tiny net of the kind that the method asks for."""
    return flat_net(MLPSpec(dim=2, width=6, depth=3, embed_dim=4, output_scale=1.0, **method.net_options))


def scenes_of(method, equal: bool = False) -> tuple[Scenes, Surroundings]:
    """Every pair of times at every share of training, with betas in turn; float64 where it is enabled."""
    rng = np.random.default_rng(3)
    grid = list(itertools.product(range(len(TIMES)), range(len(PROGRESS))))
    times = np.array([TIMES[i] for i, _ in grid])
    count, num_params = len(grid), net_of(method).num_params
    directions = rng.normal(size=(count, num_params))
    scenes = Scenes(
        x0=rng.normal(size=(count, 2)),
        eps=rng.normal(size=(count, 2)),
        r=times[:, 1] if equal else times[:, 0],
        t=times[:, 1],
        beta=np.array([BETAS[(i + j) % len(BETAS)] for i, j in grid]),
        progress=np.array([PROGRESS[j] for _, j in grid]),
        uniforms=rng.uniform(size=(count, NUM_UNIFORMS)),
        direction=directions / np.linalg.norm(directions, axis=1, keepdims=True),
    )
    params, params_ema, params_teacher = rng.normal(size=(3, num_params)) * 0.5
    reference = DATASET.sample(max(16, method.num_reference), seed=1).astype(np.float64)
    surroundings = Surroundings(params, params_ema, params_teacher, reference, rng.normal(size=(16, 2, 2)))
    return jax.tree.map(jnp.asarray, (scenes, surroundings))


def loss_of(method, stage: str, example: Example, context: Context, beta):
    """The loss of one example as the training loop takes it."""
    if isinstance(method, AbstractTwoStageMethod):
        if stage == "teacher":
            return method.teacher_loss(example, context, beta)
        example = method.coupled(example, context)
    if stage == "flow_matching":
        return FlowMatching().equal_loss(example, context)
    return (
        method.equal_loss(example, context) if stage == "equal" else method.pair_loss(example, context, beta)
    )


def gradients_of(method, stage: str, scenes: Scenes, surroundings: Surroundings):
    """Gradient in the parameters of each scene's loss; stage "flow_matching" is the baseline on the same net."""
    return np.asarray(_gradient_program(method, stage)(scenes, surroundings))


@lru_cache(maxsize=256)
def _gradient_program(method, stage: str):
    bind = net_of(method).bind

    def gradient(scene: Scenes, around: Surroundings):
        example = Example(scene.x0, scene.eps, scene.r, scene.t, scene.uniforms[: method.num_uniforms])

        def loss(params):
            context = Context(
                net=bind(params),
                net_ema=bind(around.params_ema),
                dataset=DATASET,
                reference=around.reference,
                net_teacher=bind(around.params_teacher),
                pairs=around.pairs,
                progress=scene.progress,
            )
            return loss_of(method, stage, example, context, scene.beta)

        return jax.grad(loss)(around.params)

    return jax.jit(jax.vmap(gradient, in_axes=(0, None)))


def slopes_of(method, references, scenes: Scenes, around: Surroundings):
    """Directional derivatives of each of ``references`` by finite differences alone, one row for each."""

    def slopes(scene: Scenes):
        fields = scene._asdict()
        direction = fields.pop("direction")
        at = Scene(
            net=net_of(method).bind,
            params_ema=around.params_ema,
            params_teacher=around.params_teacher,
            reference=around.reference,
            pairs=around.pairs,
            dataset=DATASET,
            **fields,
        )

        def along(reference):
            return derivative(lambda h: reference(at, around.params + h * direction, around.params))

        return jnp.stack([along(reference) for reference in references])

    return np.asarray(jax.jit(jax.vmap(slopes, out_axes=1))(scenes))


def gradients_at_solution(method, key, std=STD, beta=0.7, progress=0.5, n=20_000):
    """d loss / d theta at theta = 0 for ``n`` examples of N(0, STD^2 I), around the solution for the width ``std``.

    Copies of the net and pairs are exact: between copies of a wrong flow a bootstrapped method sees no contradiction.
    """
    key_data, key_eps, key_times, key_uniforms, key_pairs, key_reference = jax.random.split(key, 6)
    times = jnp.sort(jax.random.uniform(key_times, (n, 2), jnp.float64), axis=1)
    examples = Example(
        x0=GAUSSIAN.draw(key_data, n).astype(jnp.float64),
        eps=jax.random.normal(key_eps, (n, 2), jnp.float64),
        r=times[:, 0],
        t=times[:, 1],
        uniforms=jax.random.uniform(key_uniforms, (n, method.num_uniforms), jnp.float64),
    )
    noise = jax.random.normal(key_pairs, (n, 2), jnp.float64)
    pairs = jnp.stack([STD * noise, noise], axis=1)  # x0 = sigma(0) / sigma(1) eps
    reference = GAUSSIAN.draw(key_reference, max(1, method.num_reference)).astype(jnp.float64)
    program = _solution_program(method)
    return np.asarray(program(examples, pairs, reference, *map(jnp.asarray, (std, beta, progress)))), examples


@lru_cache(maxsize=256)
def _solution_program(method):
    def gradient(example, pairs, reference, std, beta, progress):
        exact = GaussianSolution(STD, jnp.zeros(3))

        def loss(theta):
            net = GaussianSolution(std, theta)
            context = Context(net, exact, GAUSSIAN, reference, exact, pairs, progress)
            return loss_of(method, "pair", example, context, beta)

        return jax.grad(loss)(jnp.zeros(3))

    mapped = jax.vmap(gradient, in_axes=(0, None, None, None, None, None))
    return jax.jit(mapped)


def standard_errors(values) -> float:
    """The largest mean of the columns, in standard errors."""
    return float(np.max(np.abs(values.mean(axis=0)) / (values.std(axis=0) / len(values) ** 0.5 + 1e-12)))
