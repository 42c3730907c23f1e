"""Train one run or many: progress, interruption, periodic saves, resuming."""

import contextlib
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm.auto import tqdm

from toylab.config import RunConfig
from toylab.data.images import image_sets
from toylab.devices.processes import agree, are_many, is_first
from toylab.devices.sharding import AskedLayout
from toylab.storage import run_folder
from toylab.training.experiment import build_experiment
from toylab.training.memory import check_memory
from toylab.training.mixing import program_of
from toylab.training.run import Run
from toylab.training.saving import BackgroundSaver
from toylab.training.trainer import Trainer, rhythm

REQUEUE_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""By which clusters take a machine away."""
AUTOSAVE_SECONDS = 60.0
"""At most this much work is lost when a process is killed."""


class TrainingInterrupted(KeyboardInterrupt):
    """Training was interrupted; ``runs`` hold the state so far (saved, where a path was given)."""

    def __init__(self, runs: Sequence[Run], requeue: bool = False):
        super().__init__("training interrupted")
        self.runs = list(runs)
        self.requeue = requeue
        """Whether it was SIGTERM or SIGUSR1, by which clusters take a machine away: queue the run again."""


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
        resume: an unfinished run of the same config to continue; the result is bit-identical to an unbroken run. One
            that has ended comes back as it is, and its folder is not touched.
        progress: a progress bar on standard error; by default where that is a terminal.
        layout: spread the run over all devices of all processes: ``data`` (parameters everywhere) or ``zero3`` (in
            parts); see `toylab.devices.sharding`. None keeps it on one device, beside others. ``auto`` is data on
            several accelerators, where the batch divides among them, and wherever processes share the run.

    Raises:
        ValueError: a bad setting, one that needs more memory than there is, a run to resume whose settings differ, or
            a batch that does not divide among the devices.
        OSError: ``path`` cannot be written or holds something else than a run; before anything is trained.
        TrainingInterrupted: on Ctrl-C, after saving.
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
        TrainingInterrupted: on Ctrl-C, after saving; runs that had not begun are missing.
    """
    places = list(paths) if paths is not None else [None] * len(configs)
    started = list(resume) if resume is not None else [None] * len(configs)
    if not len(configs) == len(places) == len(started):
        raise ValueError(f"{len(configs)} configs need as many paths and runs to resume")
    _check_resumed(configs, started)
    _check_data(configs)
    check_memory(configs)
    _check_paths(places)
    finished = {
        i: _ended(run, places[i]) for i, run in enumerate(started) if run and run.status != "unfinished"
    }
    pending = [i for i in range(len(configs)) if i not in finished]
    groups = group_by_program([configs[i] for i in pending], [started[i] for i in pending])
    if layout in ("data", "zero3") or (layout == "auto" and are_many()):  # one run has all devices
        groups = [[i] for group in groups for i in group]
    with _interruptible() as interrupted, _progress_bar(configs, started, progress) as bar:
        for members in [[pending[i] for i in group] for group in groups]:
            group = _Group(
                [configs[i] for i in members],
                [places[i] for i in members],
                [started[i] for i in members],
                layout,
            )
            group.run(bar, interrupted)
            finished.update(zip(members, group.runs(), strict=True))
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


def _check_data(configs: Sequence[RunConfig]) -> None:
    """Refuse data that are not at hand."""
    for config in configs:
        if build_experiment(config).dataset.is_stand_in:
            options = ", ".join(image_sets.options(config.dataset))
            raise ValueError(
                f"dataset {config.dataset!r} is a stand-in here, with nothing to train on: set its options ({options})"
            )


def _check_paths(paths: Sequence[str | Path | None]) -> None:
    """Refuse now what would fail when minutes of training are to be saved."""
    places = [Path(path).resolve() for path in paths if path is not None]
    if len(set(places)) < len(places):
        twice = next(path for index, path in enumerate(places) if path in places[:index])
        raise ValueError(f"{twice} is the path of two runs: each needs its own")
    for path in places:
        run_folder.check_target(path)


def _ended(run: Run, path: str | Path | None) -> Run:
    """A run to resume that has ended: nothing is trained, and nothing written where it lies already."""
    if path is not None and (run.path is None or Path(path).resolve() != run.path.resolve()):
        run.save(path)
    return run


def group_by_program(
    configs: Sequence[RunConfig], resume: Sequence[Run | None] | None = None
) -> list[list[int]]:
    """Indices of configs that can be lanes of one trainer, in order of first appearance."""
    groups: dict[object, list[int]] = {}
    for index, config in enumerate(configs):
        run = resume[index] if resume is not None else None
        start = run.step if run is not None else 0
        key = (program_of(build_experiment(config)), rhythm(config), start)
        groups.setdefault(key, []).append(index)
    return list(groups.values())


class _Group:
    """Lanes of one trainer, where they are saved, and the loop over them."""

    def __init__(self, configs, paths, resume, layout):
        self._paths = paths
        started = [run for run in resume if run is not None]
        states = [run.state for run in started] if len(started) == len(configs) else None
        histories = [run.history for run in started] if states else None
        changes = [run.changes for run in started] if states else None
        self._trainer = Trainer(configs, states, histories, changes, layout)

    def run(self, bar: tqdm, interrupted: "_Interruption") -> None:
        """Train to the end or until any process is interrupted; save on the way and at the end."""
        trainer, saved_at = self._trainer, time.monotonic()
        with BackgroundSaver() as saver:
            while not trainer.done:
                late = time.monotonic() - saved_at > AUTOSAVE_SECONDS and any(self._paths) and not saver.busy
                save, stopped = agree(late, interrupted.is_set())
                if stopped:
                    break
                if save:
                    saver.save(self._written())
                    saved_at = time.monotonic()
                taken = trainer.advance(trainer.log_interval)
                bar.update(taken * len(trainer.configs))
        self._warn_of_divergence()
        for run in self._written():
            assert run.path is not None
            run.save(run.path)

    def runs(self) -> list[Run]:
        """The lanes as runs."""
        trainer = self._trainer
        states = trainer.ensemble.states()
        return [
            Run(
                config,
                state,
                trainer.history(lane),
                Path(path) if path is not None else None,
                trainer.changes[lane],
            )
            for lane, (config, state, path) in enumerate(
                zip(trainer.configs, states, self._paths, strict=True)
            )
        ]

    def _written(self) -> list[Run]:
        """The lanes that this process writes, as they are now; all processes must ask for them together."""
        runs = self.runs()
        return [run for run in runs if run.path is not None] if is_first() else []

    def _warn_of_divergence(self) -> None:
        for config, step in zip(self._trainer.configs, self._trainer.ensemble.diverged_at(), strict=True):
            if step >= 0:
                warnings.warn(
                    f"{config.dataset} with beta={config.beta:g}, learning_rate={config.learning_rate:g}, "
                    f"seed={config.seed} diverged at step {step}; the state before it is kept",
                    RuntimeWarning,
                    stacklevel=4,
                )


class _Interruption(threading.Event):
    """Set by a signal; ``requeue`` where that is one by which clusters take a machine away."""

    requeue = False


@contextlib.contextmanager
def _interruptible() -> Iterator[_Interruption]:
    """An event that the first signal sets, so that a stretch of steps ends cleanly; the second Ctrl-C raises."""
    event = _Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def handle(signum, frame):
        if event.is_set() and signum == signal.SIGINT:
            raise KeyboardInterrupt
        event.requeue = event.requeue or signum in REQUEUE_SIGNALS
        event.set()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, *REQUEUE_SIGNALS)}
    try:
        yield event
    finally:
        for name, handler in previous.items():
            signal.signal(name, handler)


def _progress_bar(configs: Sequence[RunConfig], resume: Sequence[Run | None], progress: bool | None) -> tqdm:
    total = sum(config.steps for config in configs)
    done = sum(run.step for run in resume if run is not None)
    shown = sys.stderr.isatty() if progress is None else progress
    return tqdm(total=total, initial=done, disable=not shown, unit="step", smoothing=0.1, leave=True)
