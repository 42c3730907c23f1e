"""Emulate TF32 products on a CPU, and print what they change of a gradient of the 2-D net.

    python scripts/aot/tf32.py [--steps 3000]

Inputs of every layer are rounded to 10 bits of mantissa, as tensor cores round them. Needs no jax[cuda13].
"""

import argparse

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from toylab.bench.engine import paper_config
from toylab.devices import parallel
from toylab.training.ensemble import Ensemble
from toylab.training.experiment import Experiment, build_experiment
from toylab.training.objective import draw_batch, loss_and_gradient
from toylab.training.state import TrainState

EXACT = eqx.nn.Linear.__call__


def main() -> None:
    """Train, and compare loss and gradient at the end."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=3000, help="of training before the comparison")
    parser.add_argument("--datasets", nargs="*", default=["eight_gaussians", "two_moons"])
    chosen = parser.parse_args()
    for beta in (0.0, 1.0):
        for name in chosen.datasets:
            ensemble = Ensemble([build_experiment(paper_config(beta=beta, dataset=name))])
            ensemble.advance(chosen.steps)
            state, experiment = ensemble.states()[0], ensemble.experiment(0)
            loss, gradient = value(experiment, state, EXACT)
            other_loss, other = value(experiment, state, rounded)
            if np.array_equal(gradient, other):
                raise RuntimeError("rounding changes nothing: the net has no eqx.nn.Linear to round in")
            error = np.linalg.norm(other - gradient) / np.linalg.norm(gradient)
            print(
                f"{name}, beta {beta:g}: loss {loss:.5g}, relative change of the loss "
                f"{abs(other_loss - loss) / loss:.2e}, of the gradient {error:.2e}"
            )


def rounded(layer: eqx.nn.Linear, x: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
    """A linear layer whose inputs are rounded to 8 bits of exponent and 10 of mantissa."""
    y = jax.lax.reduce_precision(layer.weight, 8, 10) @ jax.lax.reduce_precision(x, 8, 10)
    return y if layer.bias is None else y + layer.bias


def value(experiment: Experiment, state: TrainState, linear) -> tuple[float, np.ndarray]:
    """Loss and gradient of one batch with ``linear`` as every linear layer."""
    eqx.nn.Linear.__call__ = linear
    try:
        with parallel.single_precision():
            batch = draw_batch(experiment, jax.random.key(5), jnp.int32(0))
            found = jax.jit(lambda state, batch: loss_and_gradient(experiment, state, batch))(state, batch)
            return float(found[0]), np.asarray(found[1], np.float64)
    finally:
        eqx.nn.Linear.__call__ = EXACT
        jax.clear_caches()  # traced with this layer


if __name__ == "__main__":
    main()
