"""Result of a training run: parameters, config, history; sampling, plotting, saving, loading."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, UInt8

from toylab.config import Change, RunConfig, with_changes
from toylab.data import AbstractDataset
from toylab.devices.parallel import single_precision
from toylab.nets import flat_net
from toylab.options import number, whole
from toylab.plots.images import GRID_ROWS, class_order, columns_of, tiled, to_bytes
from toylab.plots.notebook import notebook_html
from toylab.storage import run_folder
from toylab.storage.checkpoint import restore_tree, save_tree
from toylab.storage.provenance import environment
from toylab.training.ensemble import draw_samples
from toylab.training.experiment import Experiment, build_experiment
from toylab.training.state import TrainState, init_state
from toylab.types import PRNGKey, VelocityNet

# matplotlib takes longer to import than a small run takes to set up, and most commands draw nothing: here and in the
# functions that draw it is imported when it is used.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAVED_SAMPLES = 4096
"""Samples, and as many data points, in a run folder."""
MAX_CHUNK = 65_536
"""Most samples that are drawn at once."""
MAX_VALUES = 2**29
"""Most values in the widest layer of a net over all samples that are drawn at once: two gigabytes of float32."""
MAX_SAVED_BYTES = 16 * 2**20
"""Most bytes of samples in a run folder: of large images there are fewer than ``SAVED_SAMPLES``."""
MAX_SAMPLES, MAX_NFE = 10_000_000, 10_000
"""Limits of one call of `Run.sample`: more than any score needs, and less than fills the memory."""
PLOTTED_IMAGES = 64
"""Data points drawn per column of a plot of images: enough that each class has a column of its own."""


class Run:
    """A trained (or half-trained) net with its settings and its history.

    Attributes:
        config: every setting, as the run began.
        changes: live changes (step, name, value), oldest first; empty unless settings were changed during training.
        history: one row per logging interval, indexed by step: loss, grad_norm, beta, learning_rate, grad_variance,
            sw1 and its floor.
        path: the run folder, or None while it was never saved.
        state: parameters, moving average and optimiser state as numpy arrays.
        experiment: the settings as modules (dataset, method, coefficient rule, times), live changes included; built
            from the config where it is not given.
    """

    def __init__(
        self,
        config: RunConfig,
        state: TrainState,
        history: pd.DataFrame,
        path: Path | None = None,
        changes: Sequence[Change] = (),
        experiment: Experiment | None = None,
    ):
        self.config = config
        self.state = state
        self.history = history
        self.path = path
        self.changes = tuple(changes)
        self.experiment = (
            build_experiment(with_changes(config, changes)) if experiment is None else experiment
        )

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
    def dataset(self) -> AbstractDataset:
        """The data distribution."""
        return self.experiment.dataset

    @property
    def net(self) -> VelocityNet:
        """The moving average of the net as a function u(x, r, t) of one example."""
        return flat_net(self.experiment.net).bind(jax.numpy.asarray(self.state.params_ema))

    def sample(
        self, n: int, nfe: int = 1, seed: int = 0, guidance: float | None = None
    ) -> Float[np.ndarray, "n dim"]:
        """``n`` samples in ``nfe`` network evaluations each, from the moving average; float32.

        The same ``seed`` gives the same noise to every run. Of data with classes, sample i is of class i modulo their
        number.

        Args:
            n: samples.
            nfe: network evaluations of each.
            seed: seed of the noise.
            guidance: scale s of classifier-free guidance, u_all + s (u_class - u_all), at twice the evaluations.

        Raises:
            ValueError: ``n`` not a whole number in [1, 10,000,000], ``nfe`` not in [1, 10,000], ``seed`` not in
                [0, 2^31 - 1]; guidance that is not a number in [0, 100], or without classes.
        """
        n, nfe = whole("n", n, 1, MAX_SAMPLES), whole("nfe", nfe, 1, MAX_NFE)
        seed = whole("seed", seed, 0, 2**31 - 1)
        net = self.experiment.net
        if guidance is not None and not net.num_classes:
            raise ValueError(
                f"guidance needs classes, and {self.config.dataset} has none: leave guidance out"
            )
        scale = None if guidance is None else np.float32(number("guidance", guidance, 0, 100))
        chunk = max(1, min(MAX_CHUNK, MAX_VALUES // net.widest))
        # A multiple of the number of classes, so that sample i is of class i modulo that number in every chunk.
        chunk -= chunk % net.num_classes if net.num_classes and chunk > net.num_classes else 0
        # float32 whatever the caller's x64: the same seed must give the same samples everywhere.
        with single_precision():
            key, params = jax.random.key(seed), self.state.params_ema
            if n <= chunk:
                return np.asarray(_draw(self.experiment, params, key, n, nfe, scale))
            keys = jax.random.split(key, -(-n // chunk))
            chunks = [_draw(self.experiment, params, chunk_key, chunk, nfe, scale) for chunk_key in keys]
            return np.concatenate(chunks)[:n]

    def plot(self, seed: int = 0) -> "Figure":
        """Samples (the method's ``eval_nfe`` evaluations each) over data, and the history: a matplotlib `Figure`.

        Of images a grid of samples beside one of data, a class per column: pixels that are NaN are grey, infinite ones
        white or black, and images that have any are counted in the title. The figure is not pyplot's: show it as a
        notebook's last line, or `savefig` it.

        Raises:
            ValueError: a bad ``seed``, or data of fewer than two coordinates.
        """
        # matplotlib, see above.
        from toylab.plots.figures import image_run_figure, run_figure

        if self.dataset.shape.image is not None:
            return image_run_figure(_pictures(self, seed), self.history)
        samples = self.sample(SAVED_SAMPLES, self.experiment.method.eval_nfe, seed)
        return run_figure(samples, self.dataset.sample(SAVED_SAMPLES, seed=1), self.history)

    def _repr_html_(self) -> str:
        """HTML for notebooks: a table of facts and the plot."""
        # matplotlib, see above.
        from toylab.plots.figures import png_bytes

        figure = png_bytes(self.plot(), dpi=80) if self.dataset.dim > 1 else None
        where = "over" if self.dataset.shape.image is None else "beside"
        return notebook_html(facts_of(self), figure, f"Samples {where} data, and the history")

    def save(self, path: str | Path) -> Path:
        """Write the run folder at ``path``, atomically, replacing an older run there.

        Saved samples take the method's ``eval_nfe`` evaluations each. Where some are not finite, the header counts
        them; a run that diverged keeps the others, any other run keeps none, so that no score is computed from the
        finite subset alone.
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

    The checkpoint must have the SHA-256 that config.json gives (older folders have none), and its step, status and
    parameters must agree with config.json.

    Raises:
        ValueError: not a run folder, or one of its files is damaged; one line that names it.
    """
    if not isinstance(path, (str, Path)):
        raise ValueError(f"path must be the path of a run folder, got {type(path).__name__}")
    folder = run_folder.read_run(Path(path))
    try:
        config, changes = RunConfig.from_dict(folder.header.settings), folder.header.changes
        experiment = build_experiment(with_changes(config, changes))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder.path / run_folder.CONFIG}: {error}") from None
    checkpoint = folder.check_checkpoint()
    with single_precision():
        state = restore_tree(checkpoint, jax.eval_shape(init_state, experiment))
    run = Run(config, state, folder.history, folder.path, changes, experiment)
    if problem := _disagreement(run, folder.header):
        raise ValueError(f"{checkpoint}: {problem}")
    return run


def _disagreement(run: Run, header: run_folder.Header) -> str:
    """How the state of a run contradicts its config.json; empty where they agree."""
    if not 0 <= run.step <= run.config.steps:
        return f"is at step {run.step} of {run.config.steps}"
    if run.step != header.step:
        return f"is at step {run.step}, {run_folder.CONFIG} says {header.step}"
    if run.status != header.status:
        return f"is {run.status}, {run_folder.CONFIG} says {header.status}"
    # A run that trained to its end may have overflowed: then its samples are not finite, and the header counts them.
    finite = all(np.all(np.isfinite(params)) for params in (run.state.params, run.state.params_ema))
    if not finite and run.status != "diverged" and not header.nonfinite:
        return "has parameters that are not finite"
    return ""


@partial(jax.jit, static_argnames=("n", "nfe"))
def _draw(
    experiment: Experiment, params: Array, key: PRNGKey, n: int, nfe: int, guidance: Array | None
) -> Float[Array, "n dim"]:
    return draw_samples(experiment, params, key, n, nfe, guidance)


def facts_of(run: Run) -> dict[str, str]:
    """Label -> text that identifies a run: dataset, method, beta, seed, steps, score."""
    config = run.config
    rule = "" if config.coefficient == "constant" else f", rule {config.coefficient}"
    changed = ", changed while training" if run.changes else ""
    options = "".join(f", {name} {value}" for name, value in config.net_options.items())
    net = (
        {} if config.net == "mlp" else {"Net": f"{config.net}{options}; {run.state.params.size:,} parameters"}
    )
    return {
        "Dataset": config.dataset,
        "Method": config.method,
        **net,
        "Beta": f"{config.beta:g}{rule}{changed}",
        "Seed": str(config.seed),
        "Steps": f"{run.step:,} of {config.steps:,}, {run.status}",
        "Sliced W1": _score(run),
    }


def _score(run: Run) -> str:
    """The last score of the history, with n, floor, evaluations and number of seeds."""
    if run.history.empty or not run.config.eval_samples:
        return "not measured"
    value, floor = (float(run.history[name].iloc[-1]) for name in ("sw1", "sw1_floor"))
    if not math.isfinite(value):
        return "not measured: some samples are not finite"
    nfe = run.experiment.method.eval_nfe
    evaluations = "1 evaluation" if nfe == 1 else f"{nfe} evaluations"
    return (
        f"{value:.4f} at step {run.history.index[-1]:,} (n {run.config.eval_samples:,}, floor {floor:.4f}, "
        f"{evaluations} per sample, one seed)"
    )


def _pictures(run: Run, seed: int) -> dict[str, UInt8[np.ndarray, "..."]]:
    """Title -> grid of images: samples, and data of the same classes."""
    shape = run.dataset.shape
    assert shape.image is not None
    columns, nfe = columns_of(shape.num_classes), run.experiment.method.eval_nfe
    samples = run.sample(GRID_ROWS * columns, nfe, seed)
    lost = np.count_nonzero(~np.all(np.isfinite(samples), axis=1))
    note = f" ({lost} of {len(samples)} not finite)" if lost else ""
    title = f"samples, {nfe} evaluation{'s' if nfe > 1 else ''} each{note}"
    # Pixels lie in [-1, 1]: NaN becomes 0, the grey in the middle.
    grids = {
        title: np.nan_to_num(samples, posinf=1, neginf=-1),
        "data": _data_of_classes(run.dataset, columns),
    }
    return {
        name: tiled(to_bytes(points.reshape(-1, *shape.image)), columns) for name, points in grids.items()
    }


def _data_of_classes(dataset: AbstractDataset, columns: int) -> Float[np.ndarray, "n dim"]:
    """Data points, a class per column where there are no more classes than columns."""
    with single_precision():
        points, labels = dataset.draw_labelled(jax.random.key(1), PLOTTED_IMAGES * columns)
    points = np.asarray(points)
    if labels is None or dataset.shape.num_classes != columns:
        return points[: GRID_ROWS * columns]
    return points[class_order(np.asarray(labels), columns, GRID_ROWS)]
