"""``toylab study``: a question answered by one command that can be stopped and started again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from toylab.cli import parsing
from toylab.cli.configs import find_config
from toylab.cli.dispatch import DIVERGED, DONE, INTERRUPTED, REQUEUE
from toylab.cli.folders import make_writable
from toylab.cli.output import note, plain, print_json, text_table
from toylab.cli.sample import check_number
from toylab.cli.settings import Options, Whole, read_values
from toylab.cli.train import no_divergence_warning

if TYPE_CHECKING:
    from toylab.experiments.studies.study import Forecast, Study
    from toylab.experiments.sweep import Progress

IMAGES_ONLY = ("config", "batch_size", "net_options", "features")
"""Flags of the study of images."""
CONFIG = "fashion32-dit-S4"
"""What the study of images trains unless told otherwise."""


@dataclass(frozen=True)
class Flags:
    """Train a grid of runs that answers one question, and write its table, figure and JSON.

    images: beta alone, on images; one-step samples of paired noise, Frechet distance of features with its floor.
    paper: six datasets in the plane, eleven betas, three seeds, 200,000 steps, as published; sliced W1.

    A short measurement tells beforehand how long it will take. The same line again does only what is missing. While
    runs train SIGTERM and SIGUSR1 save, write the files of what is finished by then and end with exit code 75, so
    `timeout --preserve-status 570 toylab study ...` fits it into pieces of ten minutes; study.json adds up what they
    took. A signal at another time ends the command at once: the next call writes the files.
    """

    study: Annotated[tyro.conf.Positional[Literal["images", "paper"]], tyro.conf.arg(metavar="STUDY")]
    """images or paper."""
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
    net_options: Options = field(default_factory=dict)
    """Of images: options of the net to change, such as size=nano, to see on a small machine that all works."""
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


def parse(argv: Sequence[str]) -> Flags:
    """The flags, with numbers in range."""
    flags = parsing.parse("study", Flags, argv)
    check_number("steps", flags.steps, 0, 100_000_000)
    check_number("batch-size", flags.batch_size, 0, 1_048_576)
    check_number("score-n", flags.score_n, 0, 1_000_000)
    check_number("score-keys", flags.score_keys, 1, 1_000)
    check_number("lanes", flags.lanes, 0, 4096)
    if flags.study == "paper" and (given := [name for name in IMAGES_ONLY if getattr(flags, name)]):
        raise ValueError(f"--{given[0].replace('_', '-')} goes with the study images")
    if flags.study == "images" and flags.datasets:
        raise ValueError("--datasets goes with the study paper; the study images takes --config")
    return flags


def run(flags: Flags) -> int:
    """Plan, forecast, train, score and write."""
    betas = read_values(float, flags.betas) if flags.betas else ()
    seeds = read_values(int, flags.seeds) if flags.seeds else ()
    datasets = [name.strip() for name in flags.datasets.split(",")] if flags.datasets else []
    from toylab.cli.start import start_jax

    start_jax()
    from toylab.cli.sweep import check_buildable
    from toylab.experiments.studies.images import images_study, picture
    from toylab.experiments.studies.paper import paper_study
    from toylab.experiments.studies.study import keep_plan
    from toylab.storage.run_folder import is_run

    n, keys, lanes = flags.score_n or None, flags.score_keys, flags.lanes or None
    if flags.study == "images":
        config = _changed(find_config(flags.config or CONFIG), flags)
        study = images_study(config, betas, seeds, n, keys, flags.features, lanes)
    else:
        study = paper_study(flags.steps, datasets, betas, seeds, n, keys, lanes)
    check_buildable(study.cells)
    out = flags.out or Path(f"runs/study_{flags.study}")
    results = flags.results or out
    for flag, folder in (("out", out), ("results", results)):
        if is_run(folder):
            raise ValueError(f"--{flag} {folder} is a run folder: choose another folder")
    make_writable(out)
    make_writable(results)
    keep_plan(study, out)  # another plan there is found before the forecast
    content, code = _answered(study, out, results)
    drawn = picture(study, out) if flags.study == "images" else None
    if drawn is not None:
        content["picture_rows"] = drawn[1]
    content = plain(content)
    from toylab.experiments.studies.files import HEADER, table_cells, write_study

    paths = write_study(content, results, None if drawn is None else drawn[0])
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


def _answered(study: "Study", out: Path, results: Path) -> tuple[dict[str, Any], int]:
    """What is found once everything is trained, or once somebody stopped it; and the exit code."""
    import time
    from datetime import UTC, datetime

    from toylab.experiments.studies.study import devices, findings, forecast, run_study
    from toylab.experiments.studies.timing import Piece, read_timing
    from toylab.training import TrainingInterrupted

    note(f"{study.question} {len(study.cells)} runs of {study.cells[0].config.steps:,} steps")
    timing = read_timing(results, study, out)
    begin = time.perf_counter()
    expected = forecast(study, out)
    tell_forecast(expected)
    forecast_seconds = time.perf_counter() - begin
    finished, scoring_seconds = 0, 0.0

    def tell(done: "Progress") -> None:
        nonlocal finished, scoring_seconds
        finished, scoring_seconds = done.trained, done.scoring_seconds
        note(
            f"{done.skipped + done.trained} of {done.total} runs finished, {time.perf_counter() - begin:.0f} s"
        )

    code = DONE
    try:
        with no_divergence_warning():
            run_study(study, out, tell)
    except TrainingInterrupted as stop:
        note(f"interrupted, state saved in {out}; the same command continues")
        code = REQUEUE if stop.requeue else INTERRUPTED
    if expected is not None:  # else this call did nothing that could be timed
        # Only training is ever interrupted here, so all that was not told as scoring belongs to it.
        training_seconds = time.perf_counter() - begin - forecast_seconds - scoring_seconds
        date = datetime.now(UTC).isoformat(timespec="seconds")
        piece = Piece(date, devices(), finished, forecast_seconds, training_seconds, scoring_seconds)
        timing = timing.with_piece(expected, piece)
    content = findings(study, out, timing.to_json())
    if code == DONE and any(row["status"] == "diverged" for row in content["runs"]):
        code = DIVERGED
    return content, code


def tell_forecast(expected: "Forecast | None") -> None:
    """How long it will take, for a reader."""
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
