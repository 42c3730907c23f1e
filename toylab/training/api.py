"""Train one run or many: progress, interruption, periodic saves, resuming."""

import contextlib
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tqdm.auto import tqdm

from toylab.config import RunConfig
from toylab.data.images import image_sets
from toylab.devices.processes import agree, are_many, is_first
from toylab.devices.sharding import AskedLayout
from toylab.storage import run_folder
from toylab.training.cost import check_memory
from toylab.training.experiment import Experiment, build_experiment
from toylab.training.mixing import program_of
from toylab.training.run import Run
from toylab.training.trainer import Trainer, schedule_of

REQUEUE_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)
"""Signals that clusters send before they take a machine away."""
AUTOSAVE_SECONDS = 60.0
"""Time between saves during training: a process that is killed loses at most this much work."""


class TrainingInterrupted(KeyboardInterrupt):
    """Training was interrupted; ``runs`` hold the state so far (saved, where a path was given)."""

    def __init__(self, runs: Sequence[Run], requeue: bool = False):
        super().__init__("training interrupted")
        self.runs = list(runs)
        self.requeue = requeue
        """Whether the signal was SIGTERM, SIGUSR1 or SIGUSR2, so that a cluster should queue the run again."""


def train(
    config: RunConfig,
    *,
    path: str | Path | None = None,
    resume: Run | None = None,
    progress: bool | None = None,
    layout: AskedLayout | None = "auto",
) -> Run:
    """Train one run.

    Args:
        config: every setting.
        path: run folder to save to: at the end, every minute, and when interrupted. Not saved by default.
        resume: an unfinished run of the same config to continue; the result is bit-identical to an unbroken run. A run
            that has ended is returned as it is, and its folder is not touched.
        progress: show a progress bar on standard error; by default only if that is a terminal.
        layout: spread the run over all devices of all processes: ``data`` (parameters on every device) or ``zero3``
            (parameters in parts); see `toylab.devices.sharding`. None trains it on one device. ``auto`` is ``data`` on
            several accelerators, where the batch divides among them, and wherever processes share the run.

    Raises:
        ValueError: a bad setting, a config that needs more memory than the machine has, a run to resume whose settings
            differ, or a batch that does not divide among the devices.
        OSError: ``path`` cannot be written or holds something else than a run; before anything is trained.
        TrainingInterrupted: on Ctrl-C, SIGTERM, SIGUSR1 or SIGUSR2, after saving. A handler of yours for one of the
            last three is called then, and may raise something else.
    """
    return train_many(
        [config],
        paths=None if path is None else [path],
        resume=None if resume is None else [resume],
        progress=progress,
        layout=layout,
    )[0]


def train_many(
    configs: Sequence[RunConfig],
    *,
    paths: Sequence[str | Path] | None = None,
    resume: Sequence[Run | None] | None = None,
    progress: bool | None = None,
    layout: AskedLayout | None = "auto",
) -> list[Run]:
    """Train many runs: those of one structure as lanes of one compiled ensemble, in the order given.

    Results equal those of training one by one (bit for bit on a CPU). Arguments as `train`, one per config.

    Raises:
        ValueError: a bad setting, or a path given twice, before anything is trained.
        OSError: a path that cannot be written or holds something else than a run, likewise.
        TrainingInterrupted: as `train`, after saving; runs that had not begun are missing.
    """
    places = list(paths) if paths is not None else [None] * len(configs)
    started = list(resume) if resume is not None else [None] * len(configs)
    if not len(configs) == len(places) == len(started):
        raise ValueError(
            f"{len(configs)} configs, {len(places)} paths, {len(started)} runs to resume: expected as many of each"
        )
    _check_resumed(configs, started)
    experiments = [
        build_experiment(config) if run is None else run.experiment
        for config, run in zip(configs, started, strict=True)
    ]
    _check_data(configs, experiments)
    check_memory(configs, experiments)
    _check_paths(places)
    finished = {
        i: _ended(run, places[i]) for i, run in enumerate(started) if run and run.status != "unfinished"
    }
    with _interruptible() as interrupted, _progress_bar(configs, started, progress) as bar:
        for members in _groups(configs, experiments, started, layout):
            trainer = _trainer(
                [configs[i] for i in members],
                [experiments[i] for i in members],
                [started[i] for i in members],
                layout,
            )
            paths_of_lanes, saved_at = [places[i] for i in members], time.monotonic()
            with BackgroundSaver() as saver:
                while not trainer.done:
                    late = time.monotonic() - saved_at > AUTOSAVE_SECONDS and any(paths_of_lanes)
                    # All processes save and stop at the same step, since collecting the state takes all of them.
                    save, stopped = agree(late and not saver.busy, interrupted.is_set())
                    if stopped:
                        break
                    if save:
                        saver.save(_written(trainer, paths_of_lanes))
                        saved_at = time.monotonic()
                    bar.update(trainer.advance(trainer.log_interval) * len(members))
            _warn_of_divergence(trainer)
            _write(_written(trainer, paths_of_lanes))
            finished.update(zip(members, trainer.runs(paths_of_lanes), strict=True))
            stopped, requeue = agree(interrupted.is_set(), interrupted.requeue)
            if stopped:
                raise TrainingInterrupted([finished[i] for i in sorted(finished)], requeue)
    return [finished[i] for i in range(len(configs))]


def _check_resumed(configs: Sequence[RunConfig], resume: Sequence[Run | None]) -> None:
    for config, run in zip(configs, resume, strict=True):
        if not isinstance(config, RunConfig):
            raise ValueError(f"a config must be a RunConfig, got {type(config).__name__}")
        if run is not None and not isinstance(run, Run):
            raise ValueError(
                f"resume takes a run, got {type(run).__name__}: tl.load(path) makes one of a folder"
            )
        if run is not None and run.config != config:
            raise ValueError("the run to resume has other settings than the config")


def _check_data(configs: Sequence[RunConfig], experiments: Sequence[Experiment]) -> None:
    """Refuse random bytes in the place of a data set that is not installed."""
    for config, experiment in zip(configs, experiments, strict=True):
        if experiment.dataset.is_stand_in:
            options = ", ".join(image_sets.options(config.dataset))
            raise ValueError(
                f"dataset {config.dataset!r} is a stand-in here, with nothing to train on: set its options ({options})"
            )


def _check_paths(paths: Sequence[str | Path | None]) -> None:
    """Refuse now what would fail after minutes of training, when the run is saved."""
    places = [Path(path).resolve() for path in paths if path is not None]
    if len(set(places)) < len(places):
        twice = next(path for index, path in enumerate(places) if path in places[:index])
        raise ValueError(f"{twice} is the path of two runs: each needs its own")
    for path in places:
        run_folder.check_target(path)


def _ended(run: Run, path: str | Path | None) -> Run:
    """A run to resume that has ended: not trained, and not written where it is stored already."""
    if path is not None and (run.path is None or Path(path).resolve() != run.path.resolve()):
        run.save(path)
    return run


def _groups(
    configs: Sequence[RunConfig],
    experiments: Sequence[Experiment],
    started: Sequence[Run | None],
    layout: AskedLayout | None,
) -> list[list[int]]:
    """Indices of the configs that are to be trained, those that share a trainer together."""
    pending = [i for i, run in enumerate(started) if run is None or run.status == "unfinished"]
    if layout in ("data", "zero3") or (layout == "auto" and are_many()):  # one run has all devices
        return [[i] for i in pending]
    groups = group_by_program(
        [configs[i] for i in pending], [started[i] for i in pending], [experiments[i] for i in pending]
    )
    return [[pending[i] for i in group] for group in groups]


def group_by_program(
    configs: Sequence[RunConfig],
    resume: Sequence[Run | None] | None = None,
    experiments: Sequence[Experiment] | None = None,
) -> list[list[int]]:
    """Indices of configs that can be lanes of one trainer, in order of first appearance.

    Args:
        configs: settings.
        resume: runs to continue: those of one trainer are at the same step.
        experiments: the configs' experiments, where the caller has built them.
    """
    # One at a time: a sweep of thousands of configs must not hold the data of all of them.
    built = map(build_experiment, configs) if experiments is None else experiments
    started = [None] * len(configs) if resume is None else resume
    groups: dict[object, list[int]] = {}
    for index, (config, experiment, run) in enumerate(zip(configs, built, started, strict=True)):
        key = (program_of(experiment), schedule_of(config), 0 if run is None else run.step)
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _trainer(
    configs: Sequence[RunConfig],
    experiments: Sequence[Experiment],
    resume: Sequence[Run | None],
    layout: AskedLayout | None,
) -> Trainer:
    """A trainer of lanes that are all fresh, or all resumed at the same step."""
    started = [run for run in resume if run is not None]
    changes = [() if run is None else run.changes for run in resume]
    if len(started) < len(
        configs
    ):  # runs saved at step 0 may stand beside fresh ones: both begin from the seed
        return Trainer(configs, changes=changes, layout=layout, experiments=experiments)
    states, histories = [run.state for run in started], [run.history for run in started]
    return Trainer(configs, states, histories, changes, layout, experiments)


def _written(trainer: Trainer, paths: Sequence[str | Path | None]) -> list[Run]:
    """The lanes that this process writes, as they are now; all processes must call this together."""
    runs = trainer.runs(paths)
    return [run for run in runs if run.path is not None] if is_first() else []


def _write(runs: Sequence[Run]) -> None:
    for run in runs:
        assert run.path is not None
        run.save(run.path)


def _warn_of_divergence(trainer: Trainer) -> None:
    for config, step in zip(trainer.configs, trainer.ensemble.diverged_at(), strict=True):
        if step >= 0:
            warnings.warn(
                f"{config.dataset} with beta={config.beta:g}, learning_rate={config.learning_rate:g}, "
                f"seed={config.seed} diverged at step {step}; the state before it is kept",
                RuntimeWarning,
                stacklevel=3,
            )


class BackgroundSaver:
    """Writes runs in a thread of its own, one batch of them at a time; leaving the block waits for the last one.

    The runs were copied from the devices before, so training may go on. A folder is replaced in one piece: a process
    that is killed while it writes leaves the previous save.
    """

    def __init__(self):
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="toylab-save")
        self._pending: Future | None = None

    @property
    def busy(self) -> bool:
        """Whether the last save is still being written."""
        return self._pending is not None and not self._pending.done()

    def save(self, runs: Sequence[Run]) -> None:
        """Begin to write each run to its path.

        Raises:
            OSError: the previous save failed; likewise any other error that it raised.
        """
        self.wait()
        self._pending = self._pool.submit(_write, list(runs))

    def wait(self) -> None:
        """Wait until everything is written; raises what the save raised."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def __enter__(self) -> "BackgroundSaver":
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._pool.shutdown()
        if error is None:  # else the error of the block is raised, not that of the save
            self.wait()


class _Interruption:
    """The signals that arrived while training. No `threading.Event`: its lock is not for signal handlers."""

    def __init__(self):
        self.received: list[int] = []

    def is_set(self) -> bool:
        return bool(self.received)

    @property
    def requeue(self) -> bool:
        """Whether one of them asks for a requeue."""
        return any(number in REQUEUE_SIGNALS for number in self.received)


@contextlib.contextmanager
def _interruptible() -> Iterator[_Interruption]:
    """What the first signal sets, so that training ends between two steps; the second Ctrl-C raises.

    At the end a signal that asks for a requeue is given to the handler that was there before.
    """
    event = _Interruption()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield event
        return

    def handle(signum, frame):
        if event.is_set() and signum == signal.SIGINT:
            raise KeyboardInterrupt
        event.received.append(signum)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, *REQUEUE_SIGNALS)}
    try:
        yield event
    finally:
        for number, handler in previous.items():
            if handler is not None:  # None: one that was not installed from Python, and cannot be put back
                signal.signal(number, handler)
        # A job of submitit is queued again by its own handler, which ends the process by SystemExit. Raised at the
        # moment of the signal, inside a callback of the garbage collector, that would be discarded. It also comes
        # before an error of the last save: the next try meets that again, and a job that is not queued is lost.
        for number in dict.fromkeys(event.received):
            if number in REQUEUE_SIGNALS and callable(handler := previous[number]):
                handler(number, None)


def _progress_bar(configs: Sequence[RunConfig], resume: Sequence[Run | None], progress: bool | None) -> tqdm:
    total = sum(config.steps for config in configs)
    done = sum(run.step for run in resume if run is not None)
    shown = sys.stderr.isatty() if progress is None else progress
    return tqdm(total=total, initial=done, disable=not shown, unit="step", smoothing=0.1, leave=True)
