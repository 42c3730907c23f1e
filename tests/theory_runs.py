"""What the tests of the theory share: settings, terms of exact solutions, nets that are not trained."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from method_references.gaussian import GaussianSolution

import toylab as tl
from toylab.diagnostics.local import Local, local_terms, plain_experiment
from toylab.methods import Context, Example
from toylab.training.experiment import build_experiment
from toylab.training.state import init_state

SETTINGS = {
    "dataset": "eight_gaussians",
    "steps": 400,
    "batch_size": 64,
    "width": 32,
    "depth": 2,
    "eval_samples": 0,
    "beta": 0.7,
}


def gaussian_terms(n: int, std: float = 0.6, net_std: float = 0.6) -> tuple[Local, np.ndarray, np.ndarray]:
    """Terms of the exact solution for N(0, net_std^2) on data N(0, std^2), with an exact proxy; r and t."""
    options = {"separation": 0.0, "std": std}
    config = tl.RunConfig(dataset="two_gaussians", dataset_options=options, proxy="oracle")
    experiment = plain_experiment(build_experiment(config))
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(1e-2, 1, (n, 2)), axis=1)
    examples = Example(
        jnp.asarray(std * rng.normal(size=(n, 2))),
        jnp.asarray(rng.normal(size=(n, 2))),
        jnp.asarray(times[:, 0]),
        jnp.asarray(times[:, 1]),
        jnp.zeros((n, 0)),
    )
    net = GaussianSolution(net_std, jnp.zeros(3))
    context = Context(net, net, experiment.dataset)
    local = jax.vmap(lambda example: local_terms(experiment, net, example, context))(examples)
    return jax.tree.map(np.asarray, local), times[:, 0], times[:, 1]


def sigma(time, std: float = 0.6):
    return np.sqrt((1 - time) ** 2 * std**2 + time**2)


def untrained(**changes) -> tl.Run:
    config = tl.RunConfig(**{**SETTINGS, "output_scale": 1.0, **changes})
    experiment = build_experiment(config)
    return tl.Run(config, jax.device_get(init_state(experiment)), pd.DataFrame())
