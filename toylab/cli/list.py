"""``toylab list KIND``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from toylab.cli import parsing
from toylab.cli.output import print_json
from toylab.config import PRESETS

KINDS = (
    "datasets", "methods", "proxies", "coefficients", "time_samplers", "metrics", "image_sets", "nets", "presets",
    "configs",
)  # fmt: skip


@dataclass(frozen=True)
class Flags:
    """List the names of one kind, each with a one-line summary."""

    kind: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="KIND")]
    """datasets, methods, proxies, coefficients, time_samplers, metrics, image_sets, nets, presets or configs."""
    json: bool = False
    """Print one JSON object: name -> summary."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags, with a known kind."""
    flags = parsing.parse("list", Flags, argv)
    if flags.kind not in KINDS:
        raise ValueError(f"unknown kind {flags.kind!r}; choices: {', '.join(KINDS)}")
    return flags


def run(flags: Flags) -> int:
    """Print the names."""
    summaries = _summaries(flags.kind)
    if flags.json:
        print_json(summaries)
        return 0
    width = max(map(len, summaries))
    for name, summary in summaries.items():
        print(f"{name:<{width}}  {summary}")
    return 0


def _summaries(kind: str) -> dict[str, str]:
    if kind == "presets":
        return {name: PRESETS[name].summary for name in sorted(PRESETS)}
    # The other kinds import JAX (2.1 s), which presets, --help and a bad kind must not wait for.
    from toylab.catalogue import describe

    return describe(kind)
