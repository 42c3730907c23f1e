"""``toylab sweep merge``: the results of every machine as one table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from toylab.cli import parsing
from toylab.cli.dispatch import DIVERGED, DONE
from toylab.cli.output import note, print_json


@dataclass(frozen=True)
class Flags:
    """Write results.json and results.csv of a planned sweep: a row per cell, settings, status and scores.

    Cells that are not finished are an error that names them.
    """

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")]
    """Folder with the sweep.json of `toylab sweep plan`."""
    also: tuple[Path, ...] = field(default=())
    """Further folders that hold runs of the sweep, from machines with disks of their own."""
    partial: bool = False
    """Leave out what is missing, and say how much that is."""
    json: bool = False
    """Print one JSON object about the results."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags."""
    return parsing.parse("sweep merge", Flags, argv)


def run(flags: Flags) -> int:
    """Merge and write."""
    from toylab.experiments.sweep import (  # JAX: --help and a bad flag do not wait for it
        merge,
        read_plan,
        write_merged,
    )

    for folder in flags.also:
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder")
    merged = merge(read_plan(flags.folder), [flags.folder, *flags.also], flags.partial)
    paths = write_merged(flags.folder, merged)
    diverged = sum(row["status"] == "diverged" for row in merged.rows)
    if flags.json:
        print_json({"files": [str(path) for path in paths], "finished": len(merged.rows), "missing": merged.missing,
                    "diverged": diverged})  # fmt: skip
    else:
        counts = f"{len(merged.rows)} cells, {diverged} of them diverged, {len(merged.missing)} missing"
        print(f"{paths[0]}, {paths[1].name}: {counts}")
    if diverged:
        note(f"{diverged} of {len(merged.rows)} cells diverged")
    return DIVERGED if diverged else DONE
