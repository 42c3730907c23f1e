"""The same questions without the oracle: random probes of the Jacobian and an independent estimate of the velocity.

In any dimension, on any net: nothing here forms a matrix. An exact landscape, where there is one, is better.
"""

from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp

from toylab.diagnostics.local import batch_context, over_pairs, stacked
from toylab.diagnostics.quadratic import Quadratic, quadratic
from toylab.methods.meanflow import MeanFlow
from toylab.proxies import AbstractProxy, proxies
from toylab.training import Run
from toylab.training.experiment import Experiment
from toylab.training.objective import Batch
from toylab.training.state import TrainState

SEED_SIGNS = 7


class Probes(NamedTuple):
    """What `probe` found.

    Args:
        loss: the loss of rows with r < t as a quadratic in beta: its minimiser is that of the noise where the net has
            converged, and near it before.
        noise: E|v_cond - v_ref|^2 / dim, an estimate of E Tr Sigma / dim.
        jacobi: E|J z|^2 / dim over Rademacher probes z: mean square of the Jacobi factor.
        kappa: E z . J z / dim, the mean eigenvalue of J.
        bias: E|v_hat - v_ref|^2 / dim: the tangent proxy against an independent one.
        reference: name of the independent proxy.
    """

    loss: Quadratic
    noise: float
    jacobi: float
    kappa: float
    bias: float
    reference: str


def probe(run: Run, num_points: int = 16_384, reference: str = "batch_posterior", seed: int = 0) -> Probes:
    r"""Noise, Jacobi factor, proxy bias and the best beta of a run, without the exact velocity.

    R(beta) = R(0) + beta A w with w = v_hat - v_cond, so |R(0)|^2, R(0) . A w and |A w|^2 give the loss at every beta.
    |J z|^2 for Rademacher z is an unbiased estimate of Tr(J J^T) (Hutchinson 1990), J = (t - r) d_x u - I.

    Args:
        run: of method `meanflow`.
        num_points: pairs with r < t, in whole chunks.
        reference: a proxy that is not made of the net, as judge of the tangent's.
        seed: of points and probes.

    Raises:
        ValueError: another method, a reference made of the net, or a bad count.
    """
    method = run.experiment.method
    if not isinstance(method, MeanFlow):
        raise ValueError(f"probes of beta speak of meanflow, got method {run.config.method!r}")
    judge = proxies.create(reference)
    if judge.uses_net:
        choices = [name for name in proxies.names() if not proxies.create(name).uses_net]
        raise ValueError(f"the judge {reference!r} is made of the net; choices: {', '.join(choices)}")
    rows = stacked(over_pairs(_probe_rows(judge), run.experiment, run.state, num_points, seed))
    return Probes(
        loss=quadratic(rows["terms"]),
        noise=float(rows["noise"].mean()),
        jacobi=float(rows["jacobi"].mean()),
        kappa=float(rows["kappa"].mean()),
        bias=float(rows["bias"].mean()),
        reference=reference,
    )


@lru_cache(maxsize=16)
def _probe_rows(judge: AbstractProxy):
    def measure(experiment: Experiment, state: TrainState, batch: Batch):
        net, context = batch_context(experiment, state, batch)
        method = experiment.method
        assert isinstance(method, MeanFlow)
        if judge.num_reference and context.reference is None:
            # The rows of the batch themselves: fresh data, and each row's own point enters its weights anyway.
            context = context._replace(reference=batch.pairs.x0[: judge.num_reference])
        dim = batch.pairs.x0.shape[-1]

        def one(example, z):
            x_t, r, t = example.x_t, example.r, example.t
            v_hat = method.tangent(x_t, t, example.x0, example.eps, context)
            v_ref = judge(x_t, t, example.x0, example.eps, context)
            residual, slope = method.observe(example, context)
            jz = (t - r) * jax.jvp(lambda x: net(x, r, t), (x_t,), (z,))[1] - z
            return {
                "terms": jnp.stack([residual @ residual, 2 * (residual @ slope), slope @ slope]),
                "noise": jnp.sum((example.v_cond - v_ref) ** 2) / dim,
                "jacobi": jz @ jz / dim,
                "kappa": z @ jz / dim,
                "bias": jnp.sum((v_hat - v_ref) ** 2) / dim,
            }

        # The same signs in every chunk: rows are fresh, and signs vary over rows.
        shape = batch.pairs.x0.shape
        signs = jax.random.rademacher(jax.random.key(SEED_SIGNS), shape, batch.pairs.x0.dtype)
        return jax.vmap(one)(batch.pairs, signs)

    return measure
