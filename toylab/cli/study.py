"""``toylab study``: the former name of ``toylab sweep --grid``, kept for one release."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Literal

import tyro

from toylab.cli import parsing, sweep_grid
from toylab.cli.output import note


@dataclass(frozen=True, kw_only=True)
class Flags(sweep_grid.Options):
    """Former name of `toylab sweep --grid STUDY`, with the same flags; it will be removed."""

    study: Annotated[tyro.conf.Positional[Literal["images", "paper"]], tyro.conf.arg(metavar="STUDY")]
    """images or paper."""


def parse(argv: Sequence[str]) -> sweep_grid.Flags:
    """The flags of ``toylab sweep --grid STUDY``."""
    flags = parsing.parse("study", Flags, argv)
    shared = {item.name: getattr(flags, item.name) for item in fields(sweep_grid.Options)}
    return sweep_grid.check(sweep_grid.Flags(grid=flags.study, **shared))


def run(flags: sweep_grid.Flags) -> int:
    """Run the grid, and name the command that replaces this one."""
    code = sweep_grid.run(flags)
    note(
        f"toylab study: use `toylab sweep --grid {flags.grid}` instead, with the same flags; study will be removed"
    )
    return code
