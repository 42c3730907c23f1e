"""Saves that training does not wait for."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from toylab.training.run import Run


class BackgroundSaver:
    """Writes runs in a thread of its own, one batch of them at a time; leaving the block waits for the last.

    What is written was copied from the devices before, so training may go on. A folder is replaced in one piece:
    whoever ends the process half way finds the save before.
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
            OSError: the save before failed; likewise whatever else it raised.
        """
        self.wait()
        self._pending = self._pool.submit(_write, list(runs))

    def wait(self) -> None:
        """Until everything is written; raises what the save raised."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def __enter__(self) -> "BackgroundSaver":
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._pool.shutdown()
        if error is None:  # else that one is told
            self.wait()


def _write(runs: Sequence[Run]) -> None:
    for run in runs:
        assert run.path is not None
        run.save(run.path)
