"""Variance of the mini-batch gradient at fixed parameters, as a function of beta."""

from collections.abc import Sequence
from functools import lru_cache

import equinox as eqx
import jax
import numpy as np
import pandas as pd
from jaxtyping import Float

from toylab.devices.parallel import compiled, single_precision
from toylab.nets.flat import Gradients
from toylab.training import Run
from toylab.training.experiment import LIVE_SETTINGS, Experiment
from toylab.training.objective import covariance_trace, replica_gradients
from toylab.training.state import TrainState, lane_keys
from toylab.types import Count

NUM_BOOTSTRAP = 1000
CONFIDENCE = 0.95


def gradient_variance(
    run: Run, betas: Sequence[float] = (0.0, 0.5, 1.0), num_batches: int = 64, seed: int = 0
) -> pd.DataFrame:
    r"""Tr Cov of the batch gradient over ``num_batches`` independent batches, for several betas.

    trace = sum_k |g_k - mean(g)|^2 / (K - 1) at the run's parameters, as in a history. All betas see the same batches,
    so that their differences are sharper than their intervals. The interval is a 95% percentile bootstrap over batches,
    with the Gram matrix of the gradients in the place of the gradients.

    Args:
        run: a trained run.
        betas: coefficients, any finite reals.
        num_batches: K, at least 2. An interval from fewer than about 16 is very wide.
        seed: of the batches.

    Returns:
        columns beta, trace, low, high, relative (trace / |mean gradient|^2, unbiased denominator, NaN where the mean
        cannot be told from zero).

    Raises:
        ValueError: fewer than two batches, no beta, or a beta that is not finite.
    """
    if num_batches < 2:
        raise ValueError(f"num_batches must be at least 2, got {num_batches}")
    if np.ndim(betas) != 1:
        raise ValueError(f"betas must be a sequence of numbers, got {betas!r}: write [{betas!r}] for one")
    if not len(betas) or not np.all(np.isfinite(betas)):
        raise ValueError(f"betas must be finite numbers, at least one, got {list(betas)}")
    rows = []
    for beta in betas:
        experiment = eqx.tree_at(LIVE_SETTINGS["beta"], run.experiment, np.asarray(beta, np.float64))
        with single_precision():
            gradients = np.asarray(_probe(num_batches)(experiment, run.state, np.asarray(seed, np.int32)))
        rows.append({"beta": float(beta), **_summary(gradients)})
    return pd.DataFrame(rows)


@lru_cache(maxsize=16)
def _probe(num_batches: int):
    def gradients(experiment: Experiment, state: TrainState, seed: Count) -> Gradients:
        key = jax.random.fold_in(lane_keys(experiment).diagnostics, seed)
        keys = jax.random.split(key, num_batches)
        return replica_gradients(experiment, state, keys)

    return compiled(gradients)


def _summary(gradients: Float[np.ndarray, "k p"]) -> dict[str, float]:
    """Trace with its interval."""
    count, trace = len(gradients), float(covariance_trace(gradients))
    mean = np.asarray(np.mean(gradients, axis=0, dtype=np.float64))
    deviations = gradients - mean
    rng = np.random.default_rng(0)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=NUM_BOOTSTRAP) / count
    # A resample of k points has k - 1 degrees of freedom, and distinct points fewer still: rescaled to be unbiased.
    traces = _weighted_trace(weights, deviations @ deviations.T) * (count / (count - 1)) ** 2
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(traces, [tail, 100 - tail])
    mean_squared = float(np.vdot(mean, mean)) - trace / count
    relative = trace / mean_squared if mean_squared > 0 else np.nan
    return {"trace": trace, "low": float(low), "high": float(high), "relative": float(relative)}


def _weighted_trace(
    weights: Float[np.ndarray, "b k"], gram: Float[np.ndarray, "k k"]
) -> Float[np.ndarray, " b"]:
    """sum_k w_k |g_k|^2 - |sum_k w_k g_k|^2 for each row of weights."""
    return weights @ np.diag(gram) - np.einsum("bi,ij,bj->b", weights, gram, weights)
