"""``toylab train``: one run, saved as a folder."""

import contextlib
import dataclasses
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from toylab.cli import parsing
from toylab.cli.configs import find_config
from toylab.cli.dispatch import DIVERGED, DONE, INTERRUPTED, REQUEUE
from toylab.cli.folders import claim, default_run_folder
from toylab.cli.output import note, print_json
from toylab.cli.settings import settings_class, settings_of
from toylab.cli.start import start_jax
from toylab.config import RunConfig, preset
from toylab.formatting import number
from toylab.storage.points_file import read_points

if TYPE_CHECKING:  # 2.7 s to import, which --help and a bad flag must not wait for
    from toylab.training import Run


@dataclass(frozen=True)
class Flags:
    """Train one run and save it as a folder.

    Ctrl-C saves the state; --resume continues the run, and the result is bit-identical.
    """

    config: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="CONFIG")] = None
    """Settings to start from: a packaged config (`toylab list configs`), a TOML or JSON file; flags override them."""
    preset: str | None = None
    """Preset to start from (`toylab list presets`); flags override it."""
    points: Path | None = None
    """Your own data: a csv, npy or npz file of 2-D points."""
    out: Path | None = None
    """Run folder to write; by default runs/<dataset>-<method>-b<beta>-s<seed>."""
    resume: Path | None = None
    """Run folder of an interrupted run to continue."""
    layout: Literal["auto", "none", "data", "zero3"] = "auto"
    """Layout over devices: none (one device), data (the batch is divided between them), zero3 (the parameters too);
    auto is data with --processes or on several accelerators that divide the batch, otherwise none."""
    processes: str = ""
    """Processes that train this run together: auto (read from the cluster), or HOST:PORT,i/n for process i of n."""
    json: bool = False
    """Print one JSON object about the finished run."""


def parse(argv: Sequence[str]) -> tuple[Flags, RunConfig]:
    """The flags, and the configuration of the run.

    Raises:
        ValueError: a bad flag or value, an unreadable file, flags that cannot be combined.
    """
    base = base_settings(argv, takes_config=True)
    into = with_settings(Flags, settings_class(base))
    flags = parsing.parse("train", into, argv)
    if flags.resume and (flags.out or flags.points or flags.preset or flags.config):
        raise ValueError(
            "--resume takes settings and folder from the run: remove CONFIG, --out, --points and --preset"
        )
    if flags.processes and flags.layout == "none":
        raise ValueError("--processes requires --layout data or zero3, got none")
    if flags.config and flags.preset:
        raise ValueError(f"CONFIG {flags.config!r} and --preset {flags.preset} cannot be combined")
    settings = settings_of(flags.settings)
    if flags.points:
        settings = with_points(settings, base, flags.points)
    config = RunConfig.from_dict(settings)
    if flags.resume and (
        changed := [name for name, value in config.to_dict().items() if value != base[name]]
    ):
        raise ValueError(
            f"--resume keeps the settings of the run: --{changed[0].replace('_', '-')} cannot change"
        )
    return flags, config


def run(parsed: tuple[Flags, RunConfig]) -> int:
    """Train, save and report."""
    flags, config = parsed
    # 2.7 s to import together, which --help and a bad flag must not wait for.
    from toylab.devices.processes import is_first

    # Before the other imports: JAX must know all processes before it computes anything.
    join_processes(flags.processes)
    start_jax()
    from toylab.training import TrainingInterrupted, load, train
    from toylab.training.experiment import build_experiment

    build_experiment(config)  # raises for bad names and options before any folder is created
    started = load(flags.resume) if flags.resume else None
    if started is not None and started.status == "done":
        return _already_finished(started, flags.json)
    path = flags.resume or flags.out or default_run_folder(config)
    folder = claim(path) if is_first() and not flags.resume else contextlib.nullcontext(path)
    with folder as path, no_divergence_warning():
        begin = time.perf_counter()
        try:
            layout = None if flags.layout == "none" else flags.layout
            result, requeue = train(config, path=path, resume=started, layout=layout), False
        except TrainingInterrupted as stop:
            result, requeue = stop.runs[0], stop.requeue
        return _report(result, time.perf_counter() - begin, flags.json, requeue, is_first())


def with_settings(flags: type, settings: type) -> type:
    """The dataclass ``flags`` with an additional field of type ``settings``, whose flags have no prefix."""
    return dataclasses.make_dataclass(
        "Flags",
        [("settings", tyro.conf.OmitArgPrefixes[settings], dataclasses.field(default_factory=settings))],
        bases=(flags,),
        frozen=True,
        namespace={"__doc__": flags.__doc__},
    )


def base_settings(argv: Sequence[str], takes_config: bool = False) -> dict[str, Any]:
    """The settings before flags are applied: those of --resume, CONFIG (if allowed), --preset, or the defaults."""
    if folder := parsing.peek(argv, "--resume"):
        # 1.5 s to import (pandas, SciPy), and only --resume needs it.
        from toylab.experiments.results import read_config

        return read_config(Path(folder)).to_dict()
    if takes_config and argv and not argv[0].startswith("-"):
        return find_config(argv[0]).to_dict()
    if name := parsing.peek(argv, "--preset"):
        return RunConfig(**preset(name)).to_dict()
    return RunConfig().to_dict()


def with_points(settings: dict[str, Any], base: dict[str, Any], path: Path) -> dict[str, Any]:
    """``settings`` with the points of a file as the dataset; options from flags (std) are kept.

    Raises:
        ValueError: --dataset names another dataset, or the file cannot be read as points.
    """
    if settings["dataset"] not in (base["dataset"], "points"):
        raise ValueError(f"--points and --dataset {settings['dataset']} cannot be combined")
    own = {
        key: value for key, value in settings["dataset_options"].items() if key not in base["dataset_options"]
    }
    return {**settings, "dataset": "points", "dataset_options": {**own, "array": read_points(path).tolist()}}


@contextlib.contextmanager
def no_divergence_warning() -> Iterator[None]:
    """Silence the warning of the library about divergence, which the command reports by a line and its exit code."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* diverged at step", category=RuntimeWarning)
        yield


def summary(run: "Run") -> dict[str, Any]:
    """Facts about a run that has just been trained, as JSON types."""
    last = {} if run.history.empty else run.history.iloc[-1].to_dict()
    return {
        "path": str(run.path),
        "status": run.status,
        "step": run.step,
        "steps": run.config.steps,
        "dataset": run.config.dataset,
        "method": run.config.method,
        "beta": run.config.beta,
        "seed": run.config.seed,
        "loss": last.get("loss"),
        "sw1": last.get("sw1"),
        "sw1_floor": last.get("sw1_floor"),
        "n": run.config.eval_samples,
    }


def _already_finished(run: "Run", as_json: bool) -> int:
    """Report that the run of --resume is already finished; nothing is written."""
    if as_json:
        print_json({**summary(run), "seconds": 0.0, "diverged_at": None})
    note(
        f"{run.path}: already finished, {run.step} of {run.config.steps} steps; nothing was trained or written"
    )
    return DONE


def join_processes(processes: str) -> None:
    """Connect to the other processes of a run if ``processes`` is not empty: auto, or HOST:PORT,i/n.

    Raises:
        ValueError: not of that form, or the connection fails.
    """
    if not processes:
        return
    # JAX takes 0.8 s to import.
    from toylab.devices.processes import join

    if processes == "auto":
        join()
        return
    coordinator, comma, part = processes.rpartition(",")
    index, slash, count = part.partition("/")
    if not (comma and slash and ":" in coordinator and index.isdecimal() and count.isdecimal()):
        raise ValueError(
            f"invalid --processes {processes!r}: expected auto or HOST:PORT,i/n, such as localhost:1234,0/2"
        )
    port = coordinator.rpartition(":")[2]
    if not (port.isdecimal() and 1 <= int(port) <= 65_535):
        raise ValueError(f"the port of --processes must lie in [1, 65535], got {port!r}")
    if not int(index) < int(count):
        raise ValueError(f"--processes names process {index} of {count}; the first process is 0")
    join(coordinator, int(index), int(count))


def _report(run: "Run", seconds: float, as_json: bool, requeue: bool, is_first: bool) -> int:
    """Print the result of training, in the first process only, and return the exit code."""
    facts = {**summary(run), "seconds": round(seconds, 3), "diverged_at": run.diverged_at}
    if as_json and is_first:
        print_json(facts)
    if run.status == "unfinished":
        note(f"interrupted at step {run.step} of {run.config.steps}, state saved; continue with:")
        note(f"  toylab train --resume {run.path}")
        return REQUEUE if requeue else INTERRUPTED
    if run.status == "diverged":
        note(
            f"diverged at step {run.diverged_at} with beta={run.config.beta:g}, "
            f"learning_rate={run.config.learning_rate:g}; the state before it is saved in {run.path}"
        )
        return DIVERGED
    if not as_json and is_first:
        score = ""
        if facts["sw1"] is not None and run.config.eval_samples:
            score = f", sw1 {number(facts['sw1'])} (floor {number(facts['sw1_floor'])}, n {facts['n']})"
        print(f"{run.path}: {run.step} steps in {seconds:.1f} s, loss {number(facts['loss'])}{score}")
    return DONE
