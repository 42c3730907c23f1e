"""A run: what is left of training, and what one does with it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from toylab.config import Change, RunConfig, with_changes
from toylab.data import AbstractDataset
from toylab.data.options import number, whole
from toylab.devices.parallel import single_precision
from toylab.nets import flat_net
from toylab.plots.notebook import notebook_html
from toylab.storage import run_folder
from toylab.storage.checkpoint import restore_tree, save_tree
from toylab.storage.provenance import environment
from toylab.training.ensemble import draw_samples
from toylab.training.experiment import Experiment, build_experiment
from toylab.training.facts import facts_of
from toylab.training.state import TrainState, init_state
from toylab.types import PRNGKey, VelocityNet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAVED_SAMPLES = 4096
"""Samples, and as many data points, that a run folder holds."""
MAX_CHUNK = 65_536
"""Samples that are drawn at once, where ``MAX_VALUES`` allows."""
MAX_VALUES = 2**29
"""Values of the widest layer of a net for all samples that are drawn at once: two gigabytes."""
MAX_SAVED_BYTES = 16 * 2**20
"""Of the samples in a run folder."""
MAX_SAMPLES, MAX_NFE = 10_000_000, 10_000
"""Of one call: more than any score needs, and less than fills the memory."""


class Run:
    """A trained (or half-trained) net with its settings and its history.

    Attributes:
        config: every setting, as the run began.
        changes: live changes (step, name, value), oldest first; none but for runs that someone steered.
        history: one row per logging interval, indexed by step: loss, grad_norm, beta, learning_rate, grad_variance,
            sw1 and its floor.
        path: the run folder, or None while it was never saved.
        state: parameters, moving average and optimiser state as numpy arrays.
    """

    def __init__(
        self,
        config: RunConfig,
        state: TrainState,
        history: pd.DataFrame,
        path: Path | None = None,
        changes: Sequence[Change] = (),
    ):
        self.config = config
        self.state = state
        self.history = history
        self.path = path
        self.changes = tuple(changes)
        self._experiment = build_experiment(with_changes(config, changes))

    def __repr__(self) -> str:
        changed = ", changed while training" if self.changes else ""
        score = "" if self.history.empty else f", sw1={self.history['sw1'].iloc[-1]:.4f}"
        return (
            f"Run({self.config.dataset}, {self.config.method}, beta={self.config.beta:g}, seed={self.config.seed}, "
            f"step {self.step}/{self.config.steps}, {self.status}{changed}{score})"
        )

    @property
    def step(self) -> int:
        """Steps trained."""
        return int(self.state.step)

    @property
    def diverged_at(self) -> int | None:
        """The step at which training diverged (see `train_step`), if it did; the state is the one before it."""
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
        """The settings as modules (dataset, method, coefficient rule, times), live changes included."""
        return self._experiment

    @property
    def dataset(self) -> AbstractDataset:
        """The data distribution."""
        return self._experiment.dataset

    @property
    def net(self) -> VelocityNet:
        """The moving average of the net as a function u(x, r, t) of one example."""
        return flat_net(self._experiment.net).bind(jax.numpy.asarray(self.state.params_ema))

    def sample(
        self, n: int, nfe: int = 1, seed: int = 0, guidance: float | None = None
    ) -> Float[np.ndarray, "n dim"]:
        """``n`` samples in ``nfe`` network evaluations each, from the moving average; float32.

        The same ``seed`` gives the same noise to every run. Of data with classes, sample i is of class i modulo their
        number.

        Args:
            n: samples.
            nfe: network evaluations of each.
            seed: of the noise.
            guidance: scale s of classifier-free guidance, u_all + s (u_class - u_all), at twice the evaluations.

        Raises:
            ValueError: ``n`` not a whole number in [1, 10,000,000], ``nfe`` not in [1, 10,000], ``seed`` not in
                [0, 2^31 - 1]; guidance that is not a number in [0, 100], or without classes.
        """
        n, nfe = whole("n", n, 1, MAX_SAMPLES), whole("nfe", nfe, 1, MAX_NFE)
        seed = whole("seed", seed, 0, 2**31 - 1)
        net = self._experiment.net
        if guidance is not None and not net.num_classes:
            raise ValueError(f"{self.config.dataset} has no classes to guide samples to: leave guidance out")
        scale = None if guidance is None else np.float32(number("guidance", guidance, 0, 100))
        chunk = max(1, min(MAX_CHUNK, MAX_VALUES // net.widest))
        # Whole rounds of classes, so that the next chunk goes on with class 0.
        chunk -= chunk % net.num_classes if net.num_classes and chunk > net.num_classes else 0
        with single_precision():
            key, params = jax.random.key(seed), self.state.params_ema
            if n <= chunk:
                return np.asarray(_draw(self._experiment, params, key, n, nfe, scale))
            keys = jax.random.split(key, -(-n // chunk))
            chunks = [_draw(self._experiment, params, chunk_key, chunk, nfe, scale) for chunk_key in keys]
            return np.concatenate(chunks)[:n]

    def plot(self, seed: int = 0) -> "Figure":
        """Samples (the method's ``eval_nfe`` evaluations each) over data, and the history: a matplotlib `Figure`.

        Of images a grid of samples beside one of data, a class per column. Not pyplot's: show it as a notebook's last
        line, or `savefig` it.

        Raises:
            ValueError: a bad ``seed``, or data of fewer than two coordinates.
        """
        if self.dataset.shape.image is not None:
            from toylab.training.image_plot import image_plot

            return image_plot(self, seed)
        from toylab.plots.figures import run_figure  # matplotlib is for those who draw

        samples = self.sample(SAVED_SAMPLES, self.experiment.method.eval_nfe, seed)
        return run_figure(samples, self.dataset.sample(SAVED_SAMPLES, seed=1), self.history)

    def _repr_html_(self) -> str:
        """What a notebook shows of a run."""
        from toylab.plots.figures import png_bytes

        figure = png_bytes(self.plot(), dpi=80) if self.dataset.dim > 1 else None
        where = "over" if self.dataset.shape.image is None else "beside"
        return notebook_html(facts_of(self), figure, f"Samples {where} data, and the history")

    def save(self, path: str | Path) -> Path:
        """Write the run folder at ``path``, atomically, replacing an older run there.

        Saved samples take the method's ``eval_nfe`` evaluations each. Where some are not finite the folder says how
        many; the others are kept for a run that diverged, and none for one that did not: nobody shall score survivors.
        """
        nfe = self.experiment.method.eval_nfe
        num_saved = min(SAVED_SAMPLES, MAX_SAVED_BYTES // (4 * self.dataset.dim))
        generated = self.sample(num_saved, nfe=nfe, seed=0)
        finite = np.all(np.isfinite(generated), axis=1)
        nonfinite = int(np.count_nonzero(~finite))
        if nonfinite:
            generated = generated[finite if self.status == "diverged" else slice(0)]
        header = run_folder.Header(
            settings=self.config.to_dict(),
            status=self.status,
            step=self.step,
            changes=self.changes,
            nfe=nfe,
            nonfinite=nonfinite,
        )
        self.path = run_folder.write_run(
            Path(path),
            header=header,
            history=self.history,
            generated=generated,
            reference=self.dataset.sample(num_saved, seed=1),
            environment=environment(),
            write_checkpoint=lambda folder: save_tree(folder, self.state),
        )
        return self.path


def load(path: str | Path) -> Run:
    """The run saved at ``path``.

    The checkpoint is believed only if its SHA-256 is that in config.json (folders from before there was one have none)
    and what it holds agrees with config.json.

    Raises:
        ValueError: not a run folder, or one of its files is damaged; one line that names it.
    """
    if not isinstance(path, (str, Path)):
        raise ValueError(f"path must be that of a run folder, got {type(path).__name__}")
    folder = run_folder.read_run(Path(path))
    try:
        config, changes = RunConfig.from_dict(folder.header.settings), folder.header.changes
        experiment = build_experiment(with_changes(config, changes))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder.path / run_folder.CONFIG}: {error}") from None
    checkpoint = folder.check_checkpoint()
    with single_precision():
        state = restore_tree(checkpoint, jax.eval_shape(init_state, experiment))
    run = Run(config, state, folder.history, folder.path, changes)
    if problem := _disagreement(run, folder.header):
        raise ValueError(f"{checkpoint}: {problem}")
    return run


def _disagreement(run: Run, header: run_folder.Header) -> str:
    """What the state of a run says otherwise than its config.json; nothing where they agree."""
    if not 0 <= run.step <= run.config.steps:
        return f"is at step {run.step} of {run.config.steps}"
    if run.step != header.step:
        return f"is at step {run.step}, {run_folder.CONFIG} says {header.step}"
    if run.status != header.status:
        return f"is {run.status}, {run_folder.CONFIG} says {header.status}"
    # Parameters may have overflowed in training: then samples did too, and the header counts them.
    finite = all(np.all(np.isfinite(params)) for params in (run.state.params, run.state.params_ema))
    if not finite and run.status != "diverged" and not header.nonfinite:
        return "has parameters that are not finite"
    return ""


@partial(jax.jit, static_argnames=("n", "nfe"))
def _draw(
    experiment: Experiment, params: Array, key: PRNGKey, n: int, nfe: int, guidance: Array | None
) -> Float[Array, "n dim"]:
    return draw_samples(experiment, params, key, n, nfe, guidance)
