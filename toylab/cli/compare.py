"""``toylab compare``: methods, rules and proxies under one protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from toylab.cli import parsing
from toylab.cli.dispatch import DIVERGED, DONE, INTERRUPTED
from toylab.cli.folders import make_writable
from toylab.cli.output import note, plain, print_json, text_table
from toylab.cli.parsing import check_number
from toylab.cli.settings import Whole, read_values, settings_class, settings_of
from toylab.cli.start import start_jax
from toylab.cli.sweep_cells import parse_shard
from toylab.cli.train import base_settings, no_divergence_warning, with_settings
from toylab.config import RunConfig
from toylab.formatting import interval, number, percent

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Flags:
    """Train methods side by side at equal cost in network evaluations, paired by seed, and rank them.

    --dataset and --seed take lists (a,b) and ranges (0:5). The budget is what vanilla MeanFlow spends on --steps,
    unless --budget gives it in network evaluations. The same line again continues; compare.json, compare.csv and
    compare.png go into --out.
    """

    methods: str = "all"
    """Methods, comma-separated, or all; none for an empty list."""
    rules: str = "none"
    """Coefficient rules of MeanFlow with the EMA tangent, comma-separated, all or none."""
    proxies: str = "none"
    """Proxies as tangent and target of MeanFlow at beta 1, comma-separated, all or none."""
    protocol: Literal["matched", "weighting", "published"] = "matched"
    """Which of each method's published settings are used: none, its weighting, or all."""
    budget: float = 0.0
    """Network evaluations per run; 0 takes what vanilla MeanFlow spends on --steps."""
    seconds: float = 0.0
    """Budget in seconds of a single run instead of network evaluations; steps then depend on the machine."""
    datasets: str = ""
    """Datasets, comma-separated; by default --dataset."""
    seeds: str = "0:5"
    """Seeds, a list or a range."""
    out: Path = Path("runs/compare")
    """Folder for the runs and the tables."""
    preset: str | None = None
    """Named settings to start from (`toylab list presets`); other flags win."""
    shard: str = "0/1"
    """Part i/n of the runs, i from 0; the table is made of what is there."""
    score_n: Whole = 65_536
    """Samples of the final evaluation."""
    score_keys: Whole = 2
    """Independent evaluations per run."""
    json: bool = False
    """Print compare.json."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags, with numbers in range.

    Raises:
        ValueError: a bad flag or value.
    """
    argv = _with_lists(argv)
    flags = parsing.parse("compare", with_settings(Flags, settings_class(base_settings(argv))), argv)
    check_number("score-n", flags.score_n, 1, 1_000_000)
    check_number("score-keys", flags.score_keys, 1, 1_000)
    if not 0 <= flags.budget < float("inf"):
        raise ValueError(f"--budget must be a finite number of network evaluations, got {flags.budget}")
    if not 0 <= flags.seconds < float("inf"):
        raise ValueError(f"--seconds must be a finite number, got {flags.seconds}")
    if flags.seconds and flags.budget:
        raise ValueError("--budget and --seconds exclude each other")
    return flags


def run(flags: Flags) -> int:
    """Train what is not finished, tabulate, draw."""
    start_jax()
    # Below here since they import JAX, which --help and a bad flag do not wait for.
    from toylab.experiments import compare
    from toylab.experiments.sweep import Scoring, run_sweep, shard
    from toylab.training import TrainingInterrupted
    from toylab.training.cost import steps_within

    base = RunConfig.from_dict(settings_of(flags.settings))  # type: ignore[attr-defined]
    chosen = compare.contestants(
        _names(flags.methods), _names(flags.rules), _names(flags.proxies), flags.protocol
    )
    datasets = _names(flags.datasets) or [base.dataset]
    budget = flags.budget or compare.budget_of(base)
    if flags.seconds:
        steps_of = partial(compare.steps_in_seconds, seconds=flags.seconds)
    else:
        steps_of = partial(steps_within, budget=budget)
    planned = compare.plan(base, chosen, datasets, read_values(int, flags.seeds), steps_of)
    make_writable(flags.out)
    cells = shard([cell for _, cell in planned], *parse_shard(flags.shard))
    paid = f"{flags.seconds:g} s" if flags.seconds else f"{budget:.4g} network evaluations"
    note(f"{len(cells)} runs of {len(chosen)} contestants, {paid} each")
    seconds = {}
    try:
        with no_divergence_warning():
            run_sweep(
                cells,
                flags.out,
                Scoring(("sliced_w1",), flags.score_n, flags.score_keys),
                on_progress=lambda done: note(f"{done.skipped + done.trained} of {done.total} runs finished"),
            )
            for name, cell in planned:
                if name not in seconds:
                    seconds[name] = compare.step_seconds(cell.config)
    except TrainingInterrupted:
        note(f"interrupted, state saved in {flags.out}; the same command continues")
        return INTERRUPTED
    table = compare.tabulate(planned, flags.out, seconds)
    content = {
        "budget": budget,
        "budget_seconds": flags.seconds or None,
        "protocol": flags.protocol,
        "table": table.to_dict("records"),
    }
    _write(table, content, flags.out)
    if flags.json:
        print_json(content)
    else:
        print(as_text(table))
    return DIVERGED if any(table["diverged"]) else DONE


def as_text(table: "pd.DataFrame") -> str:
    """The table for a terminal."""
    header = [
        "dataset",
        "contestant",
        "sw1",
        "95% interval",
        "floor",
        "n",
        "nfe",
        "seeds",
        "gain",
        "95% interval",
    ]
    header += ["grad variance", "evals/example", "steps", "seconds", "diverged"]
    rows = [
        [
            row["dataset"],
            row["contestant"],
            number(row["sw1"]),
            interval(row["low"], row["high"]),
            number(row["floor"], 3),
            str(row["n"]),
            str(row["nfe"]),
            str(row["seeds"]),
            _gain(row["gain"]),
            interval(row["gain_low"], row["gain_high"], _gain),
            number(row["grad_variance"], 3),
            number(row["evaluations_per_example"], 3),
            str(row["steps"]),
            number(row["seconds"], 3),
            str(row["diverged"]),
        ]
        for row in table.to_dict("records")
    ]
    note_line = (
        "gain: relative reduction of vanilla's sw1, paired by seed; floor: data against data at the same n"
    )
    return f"{text_table(header, rows, 2)}\n\n{note_line}"


def _write(table: "pd.DataFrame", content: dict, folder: Path) -> None:
    from toylab.plots.figures import compare_figure, png_bytes  # Matplotlib, likewise
    from toylab.storage.atomic import atomic_write_bytes, atomic_write_json, atomic_write_text
    from toylab.storage.provenance import environment

    atomic_write_text(folder / "compare.csv", table.to_csv(index=False, lineterminator="\n"))
    atomic_write_json(folder / "compare.json", plain({**content, "environment": environment()}))
    atomic_write_bytes(folder / "compare.png", png_bytes(compare_figure(table)))
    note(f"written: compare.csv, compare.json, compare.png in {folder}")


def _gain(share: float | None) -> str:
    return percent(share, 0, sign=True)


def _names(text: str) -> list[str]:
    return [] if text in ("", "none") else [name.strip() for name in text.split(",") if name.strip()]


def _with_lists(argv: Sequence[str]) -> list[str]:
    """--dataset a,b and --seed 0:5, the flags of a single run, read as the lists --datasets and --seeds."""
    lists = {"--dataset": "--datasets", "--seed": "--seeds"}
    words = (word.partition("=") for word in argv)
    return [lists.get(flag, flag) + equals + value for flag, equals, value in words]
