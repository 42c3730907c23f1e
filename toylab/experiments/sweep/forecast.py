"""A forecast of what is left of a sweep: its first ensemble, timed for a few steps."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from toylab.bench.speed import Diverged, ensemble_speed
from toylab.experiments.sweep.cells import Cell
from toylab.experiments.sweep.running import Scoring, is_finished, plan_chunks
from toylab.storage import run_folder
from toylab.training.api import group_by_program

# Steps of the measurement and its repeats: a fraction of a second on small nets, and the fastest repeat counts.
PROBE_STEPS = 20
PROBE_REPEATS = 3


class Forecast(NamedTuple):
    """What is left of a sweep, by a short measurement of its first program.

    Args:
        runs: that are not finished.
        programs: ensembles that train one after another.
        lanes: of the measured one.
        steps_per_second: of that ensemble, all lanes side by side; None where one of them diverged so early that there
            was nothing to time.
        compile_seconds: of it; None likewise.
        training_seconds: of all that is left, compilation of other programs and scoring not counted; None likewise.
    """

    runs: int
    programs: int
    lanes: int
    steps_per_second: float | None = None
    compile_seconds: float | None = None
    training_seconds: float | None = None


def forecast(cells: Sequence[Cell], out: Path, scoring: Scoring, lanes: int | None = None) -> Forecast | None:
    """Time the first ensemble that is not finished for a few steps; None where nothing is left.

    Its compiled program stays with this process, so the sweep itself does not compile it again.
    """
    pending = [cell for cell in cells if not is_finished(out / cell.name, scoring)]
    if not pending:
        return None
    configs = [cell.config for cell in pending]
    chunks = plan_chunks(group_by_program(configs), lanes)
    size = Forecast(len(pending), len(chunks), len(chunks[0]))
    try:
        speed = ensemble_speed([configs[index] for index in chunks[0]], PROBE_STEPS, PROBE_REPEATS, "auto")
    except Diverged:  # a result of the sweep, not a reason to refuse it
        return size
    left = [cell.config.steps - _trained_steps(out / cell.name) for cell in pending]
    steps = sum(max(left[index] for index in chunk) for chunk in chunks)
    return size._replace(
        steps_per_second=speed.steps_per_second,
        compile_seconds=speed.compile_seconds,
        training_seconds=steps / speed.steps_per_second,
    )


def _trained_steps(folder: Path) -> int:
    return run_folder.read_run(folder).header.step if run_folder.is_run(folder) else 0
