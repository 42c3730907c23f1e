"""``toylab report DIR``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from toylab.cli import parsing
from toylab.cli.folders import make_writable
from toylab.cli.output import note, plain, print_json, text_table
from toylab.formatting import cut, interval, number, signed

if TYPE_CHECKING:
    import pandas as pd

    from toylab.experiments.report import Report

MAX_LABEL = 60


@dataclass(frozen=True)
class Flags:
    """Runs below a folder as a table and a figure: sliced W1, its 95% interval over seeds, n and floor."""

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")]
    """Folder with runs at any depth; report.csv, report.json and report.png are written into it."""
    json: bool = False
    """Print report.json."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags."""
    return parsing.parse("report", Flags, argv)


def run(flags: Flags) -> int:
    """Read, write the files, print the table."""
    from toylab.experiments.report import make_report  # pandas and SciPy: --help does not wait for them

    report = make_report(flags.folder)
    for entry in report.damaged:
        note(f"damaged, left out: {entry['error']}")
    content = as_json(report)
    write_files(report, content, flags.folder)
    note(f"written: report.csv, report.json, report.png in {flags.folder}")
    if flags.json:
        print_json(content)
    else:
        print(as_text(report))
    return 0


def as_json(report: "Report") -> dict[str, Any]:
    """The tables as JSON types, missing numbers as null."""
    names = ("runs", "table", "differences")
    return {
        "metric": "sliced_w1",
        **{name: plain(getattr(report, name).to_dict("records")) for name in names},
        "damaged": list(report.damaged),
    }


def as_text(report: "Report") -> str:
    """The tables for a terminal."""
    from toylab.experiments.report import OTHER_STATUSES  # pandas and SciPy, as above

    counted = [name for name in OTHER_STATUSES[2:] if sum(report.table[name])]
    counted = [*OTHER_STATUSES[:2], *counted]
    header = [*report.shown, "sw1", "95% interval", "floor", "n", "nfe", "seeds", "grad variance", *counted]
    rows = [
        [
            *[_label(row[name]) for name in report.shown],
            number(row["sw1"]),
            interval(row["low"], row["high"]),
            number(row["floor"], 3),
            str(row["n"]),
            str(row["nfe"]),
            str(row["seeds"]),
            number(row["grad_variance"], 3),
            *[str(row[name]) for name in counted],
        ]
        for row in report.table.to_dict("records")
    ]
    text = text_table(header, rows, len(report.shown)) + _why_dashes(report) + _changed_runs(report)
    if report.differences.empty:
        return text
    others = [name for name in report.shown if name != "beta"]
    pairs = [
        [
            *[_label(row[name]) for name in others],
            f"{row['beta']:g} - {row['baseline']:g}",
            signed(row["difference"]),
            interval(row["low"], row["high"]),
            str(row["seeds"]),
            str(row["n"]),
        ]
        for row in report.differences.to_dict("records")
    ]
    header = [*others, "betas", "difference", "95% interval", "seeds", "n"]
    return f"{text}\n\nsw1 difference on the same seeds\n{text_table(header, pairs, len(others) + 1)}"


def _why_dashes(report: "Report") -> str:
    """An explanation of rows of dashes, where there are any."""
    if all(math.isfinite(value) for value in report.table["sw1"]):
        return ""
    return (
        "\n\n-: no run of that setting counts; runs that were stopped (unfinished), diverged or were changed while "
        "training\nare in no mean. Continue an unfinished one with: toylab train --resume RUN"
    )


def _changed_runs(report: "Report") -> str:
    """Runs whose settings were changed while they trained, one by one: they are in no mean."""
    rows = [
        [
            row["path"],
            row["changes"],
            number(row["sw1"]),
            number(row["floor"], 3),
            str(row["n"]),
            str(row["nfe"]),
        ]
        for row in report.runs.to_dict("records")
        if row["status"] == "changed"
    ]
    if not rows:
        return ""
    header = ["run", "changes", "sw1", "floor", "n", "nfe"]
    return f"\n\nchanged while training, in no mean\n{text_table(header, rows, 2)}"


def write_files(report: "Report", content: dict[str, Any], folder: Path) -> None:
    """report.csv (one row per setting), report.json (everything) and report.png.

    Raises:
        OSError: the folder cannot be written.
    """
    from toylab.plots.figures import png_bytes, sweep_figure  # Matplotlib, likewise
    from toylab.storage.atomic import atomic_write_bytes, atomic_write_json, atomic_write_text

    make_writable(folder)
    atomic_write_text(folder / "report.csv", report.table.to_csv(index=False, lineterminator="\n"))
    atomic_write_json(folder / "report.json", content)
    drawn = report.table.dropna(subset=["sw1"]).assign(series=lambda table: _series(table, report.shown))
    if drawn.empty:
        return
    atomic_write_bytes(folder / "report.png", png_bytes(sweep_figure(drawn)))


def _series(table: "pd.DataFrame", shown: Sequence[str]) -> "list[str]":
    """The label of each row's line in its panel: the settings that differ between lines."""
    names = [name for name in shown if name not in ("dataset", "beta")]
    rows = table.to_dict("records")
    telling = [name for name in names if len({row[name] for row in rows}) > 1] or ["method"]
    return [", ".join(_label(row[name]) for name in telling) for row in rows]


def _label(value: Any) -> str:
    return cut(f"{value:g}" if isinstance(value, float) else str(value), MAX_LABEL)
