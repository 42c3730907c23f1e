"""Lanes trained live, side by side: the Lab's pair or a race; and compiling their programs ahead of need."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from toylab.config import RunConfig
from toylab.ui.jobs.job import AbstractJob, JobState, divergence
from toylab.ui.jobs.live import LiveTraining
from toylab.ui.jobs.snapshot import Snapshot

SNAPSHOT_SECONDS = 0.15
"""Least time between two snapshots while training."""
MAX_LANES = 4
"""The number of colours that everybody tells apart; four squares also fill the width of the page."""


class Lane(NamedTuple):
    """One run of those trained side by side, and its label."""

    label: str
    config: RunConfig


def with_baseline(config: RunConfig) -> tuple[Lane, Lane]:
    """The lab's two lanes: ``config``, and the same with beta = 0 (same seed, so same noise and data)."""
    return Lane("chosen", config), Lane("baseline", config.replace(beta=0.0))


def check_lanes(lanes: Sequence[Lane]) -> None:
    """Raise ValueError unless the lanes share dataset, steps and logging, and have labels of their own."""
    if not 1 <= len(lanes) <= MAX_LANES:
        raise ValueError(f"a live view has 1 to {MAX_LANES} lanes, got {len(lanes)}")
    labels = [lane.label for lane in lanes]
    if len(set(labels)) < len(labels):
        raise ValueError(f"lanes need distinct labels, got {', '.join(labels)}")
    first = lanes[0].config
    for name in ("dataset", "dataset_options", "steps", "log_every", "eval_samples"):
        for lane in lanes[1:]:
            value, expected = getattr(lane.config, name), getattr(first, name)
            if value != expected:
                raise ValueError(f"lanes of a live view must share {name}, got {expected!r} and {value!r}")


class TrainingJob(AbstractJob[Snapshot]):
    """Lanes to be trained live, side by side.

    Args:
        lanes: the runs and their labels.
        slot: the part of the app that the job belongs to.
        needed: the job ends once all of these lanes have diverged; by default every lane.

    Raises:
        ValueError: lanes that cannot be watched together.
    """

    def __init__(self, lanes: Sequence[Lane], slot: str = "lab", needed: Sequence[int] | None = None):
        check_lanes(lanes)
        labels, configs = zip(*lanes, strict=True)
        super().__init__(Snapshot(0, JobState.QUEUED, configs, labels), slot)
        self._needed = tuple(range(len(lanes)) if needed is None else needed)
        self._requests: dict[tuple[int, str], float] = {}
        self._steps_wanted = 0
        self._diverged_at: tuple[int, ...] = ()
        self._live: LiveTraining | None = None
        self._held: list[Any] | None = None

    # Requests: any thread.

    def set(self, lane: int = 0, **changes: float) -> None:
        """Request a change of `beta` (of ``lane``) or `learning_rate` (of every lane) from the next stretch on.

        The trainer records what took effect; this is only the queue. A later request for the same setting replaces an
        earlier one, so dragging a slider does not pile up changes.

        Raises:
            ValueError: a value out of range, in one line.
        """
        configs = self.snapshot.configs
        configs[lane].replace(**changes)
        requests = {
            (each, name): value
            for name, value in changes.items()
            for each in ([lane] if name == "beta" else range(len(configs)))
        }
        self._request(lambda: self._requests.update(requests))

    def advance(self, num_steps: int) -> None:
        """Pause, after exactly ``num_steps`` further steps."""

        def carry_out() -> None:
            self._paused = True
            self._steps_wanted += num_steps

        self._request(carry_out)

    # Reading: any thread.

    def runs(self) -> list[Any]:
        """The lanes as runs; once the job has ended, or while it is paused.

        Raises:
            ValueError: the job trains just now, or never began.
        """
        held = self._held
        if held is not None and self.snapshot.state is JobState.PAUSED:
            return held
        if self.active or self._live is None:
            raise ValueError("the runs of a job can be read once it is paused or has ended")
        return self._live.runs()

    # Work: the worker alone.

    def _has_requests(self) -> bool:
        return bool(self._steps_wanted or self._requests)

    def _unit(self) -> None:
        if self._live is None:
            self._begin()
            return
        self._apply_requests()
        if self._paused and not self._steps_wanted:
            self._stand_still()
            return
        self._paused_at = self._held = None
        taken = self._live.advance(self._steps_wanted or None)
        with self._changed:
            self._steps_wanted = max(0, self._steps_wanted - taken)
        self._judge()

    def _begin(self) -> None:
        self._publish(JobState.COMPILING)
        self._live = LiveTraining(self.snapshot.configs, self.clock)
        self._publish(
            JobState.COMPILING
        )  # the initial state of the lanes, to be seen while the step compiles
        self._live.advance(1)
        # The first frame, before the evaluation is compiled: from then on the view keeps moving.
        self._publish(JobState.COMPILING)
        if not self._stopped:
            self._live.measure()
        self._live.forget_speed()
        self._publish(JobState.RUNNING)

    def _rest(self) -> None:
        if self._live is not None:
            self._live.forget_speed()
            if self._held is None and self._paused:
                self._held = self._live.runs()

    def _judge(self) -> None:
        """Publish the result of the last stretch."""
        live = self._live
        assert live is not None
        pausing = self._paused and not self._steps_wanted
        due = self.clock() - self._shown_at > SNAPSHOT_SECONDS or self.snapshot.state is JobState.QUEUED
        # Reading the lanes' state costs as much as many steps: only where a snapshot is due.
        if not (due or pausing or live.step >= self.snapshot.steps):
            return
        self._diverged_at = tuple(live.diverged_at())
        lost = [lane for lane, step in enumerate(self._diverged_at) if step >= 0]
        if all(lane in lost for lane in self._needed):
            self._publish(JobState.DIVERGED, message=self._losses(self._needed))
        elif live.done:
            self._publish(JobState.DONE, message=self._losses(lost))
        elif pausing:
            self._stand_still()
        else:
            self._publish(JobState.RUNNING, message=self._losses(lost))

    def _losses(self, lanes: Sequence[int]) -> str:
        """One line on lanes that diverged; the first lane of the lab is not named."""
        configs, labels = self.snapshot.configs, self.snapshot.labels
        nameless = self._needed == (0,)
        return " ".join(
            divergence(self._diverged_at[lane], configs[lane], "" if nameless and lane == 0 else labels[lane])
            for lane in lanes
        )

    def _apply_requests(self) -> None:
        live = self._live
        assert live is not None
        with self._changed:
            requests, self._requests = self._requests, {}
        for (lane, name), value in requests.items():
            trainer, index = live.trainer_of(lane)
            if getattr(trainer.current(index), name) != value:
                trainer.set(index, **{name: value})
                self._held = None

    def _view(self, state: JobState) -> dict[str, Any]:
        if self._live is None:
            return {}
        fresh = state is not JobState.DIVERGED or self.snapshot.samples is None
        samples = self._live.samples() if fresh else self.snapshot.samples
        return {
            **self._live.view(),
            "samples": samples,
            "diverged_at": self._diverged_at,
        }


def chores(config: RunConfig) -> list[Callable[[], None]]:
    """The compilations that a job with ``config`` needs, as short pieces in the order in which it needs them.

    A bad config compiles nothing: the job itself will say what is wrong with it.
    """
    made: list = []

    def build() -> None:
        try:
            made.append(LiveTraining([lane.config for lane in with_baseline(config)]))
        except ValueError:
            return

    def piece(work: Callable) -> Callable[[], None]:
        return lambda: work(made[0]) if made else None

    return [
        build,
        piece(lambda live: live.samples()),
        piece(lambda live: live.advance(1)),
        piece(lambda live: live.measure()),
    ]
