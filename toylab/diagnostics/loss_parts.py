"""What the loss of MeanFlow is made of, at one state and along training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from toylab.config import RunConfig
from toylab.diagnostics.local import (
    batch_context,
    is_function_of_place,
    local_terms,
    meanflow_of,
    over_pairs,
    plain_experiment,
    stacked,
)
from toylab.diagnostics.quadratic import top_share, weighted_trace
from toylab.plots.figures import DATA, SERIES, panel_grid
from toylab.proxies.builtin import Conditional
from toylab.training import Run, Trainer
from toylab.training.experiment import Experiment
from toylab.training.objective import Batch, beta_of
from toylab.training.state import TrainState

PARTS = ("residual", "noise", "bias", "measured")


class LossParts(NamedTuple):
    r"""Means over pairs (r < t), each with its standard error.

    Args:
        residual: E|r_theta|^2, what training can remove.
        noise: E Tr(N Sigma N^T), N = (I - A) + A beta: grows as the map sharpens.
        bias: E[2 beta r_theta . A b + |beta A b|^2], what the proxy's error adds; may be negative.
        measured: the mean loss of the same pairs, with their own noise: equals the sum in expectation.
        stderr: of residual, noise, bias, measured, and of measured minus the sum.
        noise_top_share: share of the noise that the top 1% of points carry.
        n: pairs.
    """

    residual: float
    noise: float
    bias: float
    measured: float
    stderr: dict[str, float]
    noise_top_share: float
    n: int

    @property
    def total(self) -> float:
        """residual + noise + bias."""
        return self.residual + self.noise + self.bias


def loss_decomposition(run: Run, num_points: int = 16_384, seed: int = 0) -> LossParts:
    r"""The loss of a run's pairs in three parts: E|R|^2 = residual + noise + bias (see `LossParts`).

    At the run's own coefficient (any rule), parameters and proxy; adaptive weight and anchor are left out.

    Args:
        run: of method `meanflow` with the conditional target.
        num_points: pairs, in whole chunks.
        seed: of the pairs.

    Raises:
        ValueError: another method or target, a proxy whose error is noise as well as bias (batch_posterior), or too few
            points.
    """
    return state_parts(run.experiment, run.state, num_points, seed)


def state_parts(
    experiment: Experiment, state: TrainState, num_points: int = 16_384, seed: int = 0
) -> LossParts:
    """The same for a state on its way, for example a lane of a `Trainer`."""
    plain = plain_experiment(experiment)
    tangent = meanflow_of(plain).tangent
    if isinstance(tangent, Conditional):
        plain = plain_experiment(experiment, beta=0.0)  # every beta is vanilla MeanFlow
    elif not is_function_of_place(plain):
        name = type(tangent).__name__
        raise ValueError(
            f"the parts of the loss need a proxy that is a function of x_t, got {name}; "
            "choices: conditional, ema, online, oracle"
        )
    terms = stacked(over_pairs(_terms, plain, state, num_points, seed))
    local, beta, loss = terms["local"], terms["beta"], terms["loss"]
    a = local.gap_jacobian
    identity = np.broadcast_to(np.eye(a.shape[-1]), a.shape)
    applied = np.einsum("nij,njk->nik", a, beta)
    factor = identity - a + applied
    shift = np.einsum("nij,nj->ni", applied, local.error)
    parts = {
        "residual": np.sum(local.residual**2, axis=1),
        "noise": weighted_trace(identity, factor, local.covariance, factor),
        "bias": np.sum(shift * (2 * local.residual + shift), axis=1),
    }
    difference = loss - sum(parts.values())
    values = {**parts, "measured": loss, "difference": difference}
    stderr = {name: float(each.std(ddof=1) / len(loss) ** 0.5) for name, each in values.items()}
    means = {name: float(values[name].mean()) for name in PARTS}
    return LossParts(**means, stderr=stderr, noise_top_share=top_share(parts["noise"]), n=len(loss))


@dataclass(frozen=True)
class LossTrace:
    """The parts of the loss along training.

    Args:
        table: a row per lane and logging row: lane, beta, seed, step, sw1, residual, noise, bias, total, measured,
            measured_stderr, noise_top_share. The points are the same at every row.
        n: pairs behind each row.
    """

    table: pd.DataFrame
    n: int

    def figure(self) -> Figure:
        """A panel per part, a line per lane."""
        return trace_figure(self.table)


def trace_decomposition(configs: Sequence[RunConfig], num_points: int = 4096, seed: int = 0) -> LossTrace:
    """Train lanes and take their loss apart at every logging row: why the loss does not fall while samples improve.

    Args:
        configs: settings that can share a `Trainer` (of one structure, steps and logging), for example several beta.
        num_points: pairs behind each row.
        seed: of those pairs.

    Raises:
        ValueError: no config, lanes that cannot share a trainer, or a config that `loss_decomposition` refuses.
    """
    if not configs:
        raise ValueError("trace_decomposition needs at least one config")
    trainer = Trainer(configs)
    rows, n = [], 0
    while not trainer.done:
        trainer.advance(trainer.log_interval)
        for lane, (config, state) in enumerate(zip(configs, trainer.ensemble.states(), strict=True)):
            if state.diverged_at >= 0:
                continue
            parts = state_parts(trainer.ensemble.experiment(lane), state, num_points, seed)
            n = parts.n
            rows.append(
                {
                    "lane": lane,
                    "beta": config.beta,
                    "seed": config.seed,
                    "step": trainer.step,
                    "sw1": trainer.history(lane)["sw1"].iloc[-1],
                    "residual": parts.residual,
                    "noise": parts.noise,
                    "bias": parts.bias,
                    "total": parts.total,
                    "measured": parts.measured,
                    "measured_stderr": parts.stderr["measured"],
                    "noise_top_share": parts.noise_top_share,
                }
            )
    return LossTrace(pd.DataFrame(rows), n)


def _terms(experiment: Experiment, state: TrainState, batch: Batch):
    net, context = batch_context(experiment, state, batch)
    identity = np.eye(experiment.net.dim, dtype=np.float32)

    def one(example):
        beta = beta_of(experiment, state, example, context)
        return {
            "local": local_terms(experiment, net, example, context),
            "beta": beta if beta.ndim == 2 else beta * identity,
            "loss": experiment.method.pair_loss(example, context, beta),
        }

    return jax.vmap(one)(batch.pairs)


def trace_figure(table: pd.DataFrame) -> Figure:
    """Residual, noise, bias and total of the loss against the step: a panel each, a line per lane."""
    columns = {
        "residual": "residual (training removes it)",
        "noise": "noise (rises as the map sharpens)",
        "bias": "proxy's bias",
        "total": "loss of pairs",
    }
    figure, panels = panel_grid(len(columns))
    for panel, (column, title) in zip(panels, columns.items(), strict=True):
        for index, (_, rows) in enumerate(table.groupby("lane")):
            label = f"beta {rows['beta'].iloc[0]:g}, seed {rows['seed'].iloc[0]}"
            panel.plot(rows["step"], rows[column], color=SERIES[index % len(SERIES)], lw=1.2, label=label)
            if column == "total":
                panel.plot(rows["step"], rows["measured"], ".", color=DATA, ms=3)
        panel.set(title=title, xlabel="step", yscale="linear" if column == "bias" else "log")
    panels[0].legend(fontsize="x-small", frameon=False)
    return figure
