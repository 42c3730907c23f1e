"""``toylab list KIND``."""

from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from toylab.cli import parsing
from toylab.cli.output import print_json


@dataclass(frozen=True)
class Flags:
    """Names of one kind, each with one line about it."""

    kind: tyro.conf.Positional[str]
    """datasets, methods, proxies, coefficients, time_samplers, metrics or presets."""
    json: bool = False
    """Print one JSON object: name -> summary."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags."""
    return parsing.parse("list", Flags, argv)


def run(flags: Flags) -> int:
    """Print the names."""
    from toylab.catalogue import describe

    summaries = describe(flags.kind)
    if flags.json:
        print_json(summaries)
        return 0
    width = max(map(len, summaries))
    for name, summary in summaries.items():
        print(f"{name:<{width}}  {summary}")
    return 0
