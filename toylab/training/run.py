"""A run: what is left of training, and what one does with it."""

from functools import partial
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from toylab import runs
from toylab.checkpoint import restore_tree, save_tree
from toylab.config import SCHEMA, RunConfig
from toylab.data import AbstractDataset
from toylab.nets import flat_net
from toylab.training.ensemble import draw_samples
from toylab.training.experiment import Experiment, build_experiment
from toylab.training.state import TrainState, init_state
from toylab.types import PRNGKey, VelocityNet

SAVED_SAMPLES = 4096
"""One-step samples, and as many data points, that a run folder holds."""
MAX_CHUNK = 65_536


class Run:
    """A trained (or half-trained) net with its settings and its history.

    Attributes:
        config: every setting.
        history: one row per logging interval, indexed by step: loss, grad_norm, beta, learning_rate, grad_variance,
            sw1 and its floor.
        path: the run folder, or None while it was never saved.
        state: parameters, moving average and optimiser state as numpy arrays.
    """

    def __init__(self, config: RunConfig, state: TrainState, history: pd.DataFrame, path: Path | None = None):
        self.config = config
        self.state = state
        self.history = history
        self.path = path
        self._experiment = build_experiment(config)

    def __repr__(self) -> str:
        score = "" if self.history.empty else f", sw1={self.history['sw1'].iloc[-1]:.4f}"
        return (
            f"Run({self.config.dataset}, {self.config.method}, beta={self.config.beta:g}, seed={self.config.seed}, "
            f"step {self.step}/{self.config.steps}, {self.status}{score})"
        )

    @property
    def step(self) -> int:
        """Steps trained."""
        return int(self.state.step)

    @property
    def diverged_at(self) -> int | None:
        """The step whose loss or gradient was not finite, if any; the state is the last finite one."""
        step = int(self.state.diverged_at)
        return None if step < 0 else step

    @property
    def status(self) -> str:
        """``done``, ``diverged``, or ``unfinished`` (resume it)."""
        if self.diverged_at is not None:
            return "diverged"
        return "done" if self.step >= self.config.steps else "unfinished"

    @property
    def experiment(self) -> Experiment:
        """The settings as modules: dataset, method, coefficient rule, times."""
        return self._experiment

    @property
    def dataset(self) -> AbstractDataset:
        """The data distribution."""
        return self._experiment.dataset

    @property
    def net(self) -> VelocityNet:
        """The moving average of the net as a function u(x, r, t) of one example."""
        return flat_net(self._experiment.net).bind(jax.numpy.asarray(self.state.params_ema))

    def sample(self, n: int, nfe: int = 1, seed: int = 0) -> Float[np.ndarray, "n dim"]:
        """``n`` samples in ``nfe`` network evaluations each, from the moving average; float32.

        The same ``seed`` gives the same noise to every run.

        Raises:
            ValueError: ``n`` or ``nfe`` below 1.
        """
        if n < 1 or nfe < 1:
            raise ValueError(f"n and nfe must be at least 1, got n={n}, nfe={nfe}")
        key, params = jax.random.key(seed), self.state.params_ema
        if n <= MAX_CHUNK:
            return np.asarray(_draw(self._experiment, params, key, n, nfe))
        starts = range(0, n, MAX_CHUNK)
        keys = jax.random.split(key, len(starts))
        chunks = [_draw(self._experiment, params, chunk_key, MAX_CHUNK, nfe) for chunk_key in keys]
        return np.concatenate(chunks)[:n]

    def save(self, path: str | Path) -> Path:
        """Write the run folder at ``path``, atomically, replacing an older run there."""
        n = SAVED_SAMPLES
        generated = self.sample(n, seed=0)
        self.path = runs.write_run(
            Path(path),
            config={
                "schema": SCHEMA,
                "settings": self.config.to_dict(),
                "status": self.status,
                "step": self.step,
            },
            history=self.history,
            # The last finite state of a diverged run may still send samples to infinity: those are left out.
            generated=generated[np.all(np.isfinite(generated), axis=1)],
            reference=self.dataset.sample(n, seed=1),
            environment=runs.environment(),
            write_checkpoint=lambda folder: save_tree(folder, self.state),
        )
        return self.path


def load(path: str | Path) -> Run:
    """The run saved at ``path``.

    Raises:
        ValueError: not a run folder, or one of its files is damaged; one line that names it.
    """
    folder = runs.read_run(Path(path))
    settings = folder.config.get("settings")
    if not isinstance(settings, dict):
        raise ValueError(f"the run at {path} has no settings in its config.json")
    config = RunConfig.from_dict(settings)
    if folder.checkpoint is None:
        raise ValueError(f"the run at {path} has no checkpoint")
    shapes = jax.eval_shape(init_state, build_experiment(config))
    return Run(config, restore_tree(folder.checkpoint, shapes), folder.history, folder.path)


@partial(jax.jit, static_argnames=("n", "nfe"))
def _draw(experiment: Experiment, params: Array, key: PRNGKey, n: int, nfe: int) -> Float[Array, "n dim"]:
    return draw_samples(experiment, params, key, n, nfe)
