"""``toylab sweep --grid``: a named grid of runs that answers one question, with a forecast, a table and a figure."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toylab.cli import parsing
from toylab.cli.configs import find_config
from toylab.cli.dispatch import DIVERGED, DONE, INTERRUPTED, REQUEUE
from toylab.cli.folders import make_writable
from toylab.cli.output import note, plain, print_json, text_table
from toylab.cli.parsing import check_number
from toylab.cli.settings import Options as NetOptions
from toylab.cli.settings import Whole, read_values
from toylab.cli.start import start_jax
from toylab.cli.sweep_cells import check_buildable
from toylab.cli.train import no_divergence_warning

if TYPE_CHECKING:
    from toylab.experiments.sweep import Progress
    from toylab.experiments.sweep.forecast import Forecast
    from toylab.experiments.sweep.grids import NamedGrid

# Flags of the grid of images, and the config that it trains by default.
IMAGES_ONLY = ("config", "batch_size", "net_options", "features")
CONFIG = "fashion32-dit-S4"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The flags that `toylab sweep --grid` and its former name `toylab study` share."""

    config: str = ""
    """Of images: a packaged config (`toylab list configs`) or a TOML file; by default fashion32-dit-S4."""
    datasets: str = ""
    """Of paper: comma-separated; by default the six of its table."""
    betas: str = ""
    """Comma-separated; by default 0,0.25,0.5,1 (images) or 0 to 1 by 0.1 (paper)."""
    seeds: str = ""
    """Comma-separated or a range; by default 0,1 (images) or 42,0,1 (paper)."""
    steps: Whole = 0
    """Training steps of each run; 0 takes the config's, or the published 200,000."""
    batch_size: Whole = 0
    """Of images: examples per step; 0 takes the config's."""
    net_options: NetOptions = field(default_factory=dict)
    """Of images: options of the net to change, such as size=nano for a test on a small machine."""
    features: str = ""
    """Of images: net that scores them; by default fdd-v1 of digits, ffd-v1 of fashion."""
    score_n: Whole = 0
    """Samples per score; by default 10000 (images) or 32768 (paper)."""
    score_keys: Whole = 1
    """Independent samples per score."""
    lanes: Whole = 0
    """Runs that train together; by default one (images), or all of them on an accelerator (paper)."""
    out: Path | None = None
    """Folder of the runs; by default runs/study_images or runs/study_paper."""
    results: Path | None = None
    """Folder of the table, the figure and study.json, small enough to be committed; by default that of the runs."""
    json: bool = False
    """Print one JSON object: table, runs with scores, missing runs, timing, device, versions."""


@dataclass(frozen=True, kw_only=True)
class Flags(Options):
    """Train a named grid of runs that answers one question, and write its table, figure and JSON.

    images: beta alone, on images; one-step samples of paired noise, Frechet distance of features with its floor.
    paper: six datasets in the plane, eleven betas, three seeds, 200,000 steps, as published; sliced W1.

    A short measurement forecasts the time. The same command again does only what is missing. While runs train SIGTERM,
    SIGUSR1 and SIGUSR2 save, write the files of what is finished by then and end with exit code 75, so
    `timeout --preserve-status 570 toylab sweep --grid ...` splits it into pieces of ten minutes; study.json adds up
    their times. A signal at another time ends the command at once: the next call writes the files.
    """

    grid: Literal["images", "paper"]
    """images or paper."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags of ``toylab sweep --grid NAME``, with numbers in range.

    Raises:
        ValueError: a bad flag or value.
    """
    return check(parsing.parse("sweep", Flags, argv))


def check(flags: Flags) -> Flags:
    """The flags themselves, with numbers in range and no flag of the other grid.

    Raises:
        ValueError: otherwise.
    """
    check_number("steps", flags.steps, 0, 100_000_000)
    check_number("batch-size", flags.batch_size, 0, 1_048_576)
    check_number("score-n", flags.score_n, 0, 1_000_000)
    check_number("score-keys", flags.score_keys, 1, 1_000)
    check_number("lanes", flags.lanes, 0, 4096)
    if flags.grid == "paper" and (given := [name for name in IMAGES_ONLY if getattr(flags, name)]):
        raise ValueError(f"--{given[0].replace('_', '-')} is only for the grid images")
    if flags.grid == "images" and flags.datasets:
        raise ValueError("--datasets is only for the grid paper; the grid images takes --config")
    return flags


def run(flags: Flags) -> int:
    """Plan, forecast, train, score and write."""
    betas = read_values(float, flags.betas) if flags.betas else ()
    seeds = read_values(int, flags.seeds) if flags.seeds else ()
    datasets = [name.strip() for name in flags.datasets.split(",")] if flags.datasets else []
    start_jax()
    # Below here since they import JAX or pandas, seconds that --help and a bad flag do not wait for.
    from toylab.experiments.sweep import grids, write_plan
    from toylab.experiments.sweep.files import HEADER, table_cells, write_grid
    from toylab.storage.run_folder import is_run

    n, keys, lanes = flags.score_n or None, flags.score_keys, flags.lanes or None
    if flags.grid == "images":
        config = _changed(find_config(flags.config or CONFIG), flags)
        grid = grids.images_grid(config, betas, seeds, n, keys, flags.features, lanes)
    else:
        grid = grids.paper_grid(flags.steps, datasets, betas, seeds, n, keys, lanes)
    check_buildable(grid.cells)
    # The folders keep the name of the former command `toylab study`, so that runs of either continue.
    out = flags.out or Path(f"runs/study_{flags.grid}")
    results = flags.results or out
    for flag, folder in (("out", out), ("results", results)):
        if is_run(folder):
            raise ValueError(f"--{flag} {folder} is a run folder: choose another folder")
    make_writable(out)
    make_writable(results)
    write_plan(out, grid.plan)  # another plan there is found before the forecast
    content, code = _answered(grid, out, results)
    drawn = grids.picture(grid, out) if flags.grid == "images" else None
    if drawn is not None:
        content["picture_rows"] = drawn[1]
    content = plain(content)
    paths = write_grid(content, results, None if drawn is None else drawn[0])
    note(f"written: {', '.join(path.name for path in paths)} in {results}")
    if flags.json:
        print_json(content)
    else:
        print(text_table(HEADER, table_cells(content["table"]), 1))
    return code


def _changed(config: Any, flags: Flags) -> Any:
    changes: dict[str, Any] = {"net_options": {**config.net_options, **flags.net_options}}
    if flags.steps:
        changes |= {"steps": flags.steps, "log_every": min(config.log_interval, flags.steps)}
    if flags.batch_size:
        changes["batch_size"] = flags.batch_size
    return config.replace(**changes)


def _answered(grid: "NamedGrid", out: Path, results: Path) -> tuple[dict[str, Any], int]:
    """The content of study.json once everything is trained, or once the command was stopped; and the exit code."""
    # JAX, as above.
    from toylab.experiments.sweep.forecast import forecast
    from toylab.experiments.sweep.table import devices, findings
    from toylab.experiments.sweep.timing import Piece, read_timing
    from toylab.training import TrainingInterrupted

    note(f"{grid.question} {len(grid.cells)} runs of {grid.cells[0].config.steps:,} steps")
    timing = read_timing(results, grid, out)
    begin = time.perf_counter()
    expected = forecast(grid.cells, out, grid.scoring, grid.lanes)
    tell_forecast(expected)
    forecast_seconds = time.perf_counter() - begin
    finished, scoring_seconds = 0, 0.0

    def tell(done: "Progress") -> None:
        nonlocal finished, scoring_seconds
        finished, scoring_seconds = done.trained, done.scoring_seconds
        seconds = time.perf_counter() - begin
        note(f"{done.skipped + done.trained} of {done.total} runs finished, {seconds:.0f} s")

    code = DONE
    try:
        with no_divergence_warning():
            grid.run(out, tell)
    except TrainingInterrupted as stop:
        note(f"interrupted, state saved in {out}; the same command continues")
        code = REQUEUE if stop.requeue else INTERRUPTED
    if expected is not None:  # else this call did nothing that could be timed
        # Only training is ever interrupted here, so all that was not counted as scoring belongs to it.
        training_seconds = time.perf_counter() - begin - forecast_seconds - scoring_seconds
        date = datetime.now(UTC).isoformat(timespec="seconds")
        piece = Piece(date, devices(), finished, forecast_seconds, training_seconds, scoring_seconds)
        timing = timing.with_piece(expected, piece)
    content = findings(grid, out, timing.to_json())
    if code == DONE and any(row["status"] == "diverged" for row in content["runs"]):
        code = DIVERGED
    return content, code


def tell_forecast(expected: "Forecast | None") -> None:
    """Print the forecast on standard error."""
    if expected is None:
        note("all runs are finished: nothing to train")
        return
    left = f"{expected.runs} runs left, {expected.lanes} together"
    if expected.steps_per_second is None or expected.training_seconds is None:
        note(f"{left}: speed unknown, since one of these diverged while it was measured; training goes on")
        return
    minutes = expected.training_seconds / 60
    note(
        f"{left}: {expected.steps_per_second:.3g} steps/s each after "
        f"{expected.compile_seconds:.0f} s of compilation; about {minutes:.1f} minutes of training in "
        f"{expected.programs} ensemble(s), and scores after it"
    )
