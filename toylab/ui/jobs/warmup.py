"""Compile ahead of need, so that the first frame of a run does not wait for the compiler."""

from collections.abc import Callable

from toylab.config import RunConfig
from toylab.ui.jobs.lane import with_baseline


def chores(config: RunConfig) -> list[Callable[[], None]]:
    """The compilations that a job with ``config`` needs, as short pieces in the order in which it needs them.

    A bad config compiles nothing: the job itself will say what is wrong with it.
    """
    made: list = []

    def build() -> None:
        from toylab.ui.jobs.live import LiveTraining

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
