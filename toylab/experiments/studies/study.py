"""A study from its plan to its files: what it will take, what is missing, what was found."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from toylab.bench.speed import Diverged, ensemble_speed
from toylab.devices.parallel import matmul_precision
from toylab.experiments.studies.table import results_of, study_table
from toylab.experiments.sweep import (
    Cell,
    Merged,
    Progress,
    Scoring,
    SweepPlan,
    is_finished,
    merge,
    plan_chunks,
    run_sweep,
    write_plan,
)
from toylab.storage import run_folder
from toylab.storage.provenance import environment
from toylab.training.api import group_by_program

PROBE_STEPS = 20
"""Steps by which the time is told beforehand; of as many repeats."""
PROBE_REPEATS = 3


class Study(NamedTuple):
    """A question and the runs that answer it.

    Args:
        name: as on the command line.
        question: one line.
        cells: its runs.
        scoring: of each run.
        metric: the score of its table, lower is better.
        lanes: runs that train together; None takes the default of sweeps.
    """

    name: str
    question: str
    cells: tuple[Cell, ...]
    scoring: Scoring
    metric: str
    lanes: int | None = None


class Forecast(NamedTuple):
    """What is left of a study, by a short measurement of its first program.

    Args:
        runs: that are not finished.
        programs: ensembles that train one after another.
        lanes: of the measured one.
        steps_per_second: of that ensemble, all lanes side by side; None where one of them diverged so early that there
            was nothing to time.
        compile_seconds: of it; None likewise.
        training_seconds: of all that is left, compilation of other programs and scoring left out; None likewise.
    """

    runs: int
    programs: int
    lanes: int
    steps_per_second: float | None = None
    compile_seconds: float | None = None
    training_seconds: float | None = None


def forecast(study: Study, out: Path) -> Forecast | None:
    """Time the first ensemble that is not finished for a few steps; None where nothing is left.

    Its compiled program stays with this process, so that the study itself does not pay for it again.
    """
    pending = [cell for cell in study.cells if not is_finished(out / cell.name, study.scoring)]
    if not pending:
        return None
    configs = [cell.config for cell in pending]
    chunks = plan_chunks(group_by_program(configs), study.lanes)
    size = Forecast(len(pending), len(chunks), len(chunks[0]))
    try:
        speed = ensemble_speed([configs[index] for index in chunks[0]], PROBE_STEPS, PROBE_REPEATS, "auto")
    except Diverged:  # a finding of the study, not a reason to refuse it
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


def keep_plan(study: Study, out: Path) -> None:
    """Write the plan into ``out``, for `toylab sweep run`.

    Raises:
        ValueError: ``out`` holds another plan.
    """
    write_plan(out, SweepPlan(study.cells, study.scoring))


def run_study(study: Study, out: Path, on_progress: Callable[[Progress], None] = lambda done: None) -> None:
    """Train and score what is missing.

    Raises:
        ValueError: a damaged run in ``out``.
        TrainingInterrupted: on Ctrl-C or a signal, after saving.
    """
    run_sweep(study.cells, out, study.scoring, study.lanes, on_progress=on_progress)


def findings(study: Study, out: Path, timing: dict[str, Any]) -> dict[str, Any]:
    """What study.json holds: the table of the runs that are finished, the names of those that are not, and how."""
    merged = merged_runs(study, out)
    return {
        "study": study.name,
        "question": study.question,
        "metric": study.metric,
        "scoring": study.scoring._asdict(),
        "settings": common_settings(study.cells),
        "table": study_table(results_of(merged, study.metric)),
        "runs": [
            {
                "name": row["name"],
                "dataset": row["settings"]["dataset"],
                "beta": row["settings"]["beta"],
                "seed": row["settings"]["seed"],
                "status": row["status"],
                "step": row["step"],
                "scores": row["scores"],
            }
            for row in merged.rows
        ],
        "missing": list(merged.missing),
        "timing": timing,
        "device": devices(),
        "matmul_precision": matmul_precision(),
        "environment": environment(),
    }


def devices() -> str:
    """What this process computes on: how many of which kind."""
    return f"{jax.local_device_count()} x {jax.local_devices()[0].device_kind}"


def merged_runs(study: Study, out: Path) -> Merged:
    """The runs that are finished so far."""
    return merge(SweepPlan(study.cells, study.scoring), [out], partial=True)


def common_settings(cells: Sequence[Cell]) -> dict[str, Any]:
    """The settings that every run shares."""
    settings = [cell.config.to_dict() for cell in cells]
    return {
        name: value for name, value in settings[0].items() if all(each[name] == value for each in settings)
    }
