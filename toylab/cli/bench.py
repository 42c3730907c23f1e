"""``toylab bench``: how fast this machine trains."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toylab.cli import parsing
from toylab.cli.output import number, print_json, text_table


@dataclass(frozen=True)
class Flags:
    """Measure training speed: one plain run against lanes of an ensemble, and the machine's own peak."""

    json: bool = False
    """Print one JSON object: plain_steps_per_second, matmul_gflops, lanes, ratio, compile times, device."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags."""
    return parsing.parse("bench", Flags, argv)


def run(flags: Flags) -> int:
    """Measure and print. No compilation cache here: cold means cold."""
    from toylab.bench import run_benchmark

    facts = run_benchmark()
    if flags.json:
        print_json(facts)
    else:
        print(as_text(facts))
    return 0


def as_text(facts: dict[str, Any]) -> str:
    """The measurements for a terminal."""
    rows = [
        [
            str(row["lanes"]),
            number(row["run_steps_per_second"]),
            number(row["ratio"], 3),
            number(row["fraction_of_peak"], 3),
        ]
        for row in facts["lanes"]
    ]
    cold, warm = facts["compile_seconds_cold"], facts["compile_seconds_warm"]
    return "\n".join(
        [
            f"device                  {facts['device']}",
            f"matmul                  {number(facts['matmul_gflops'])} Gflop/s",
            f"compile, cold and warm  {cold:.1f} s, {warm:.1f} s",
            f"one plain run           {number(facts['plain_steps_per_second'])} steps/s",
            "",
            text_table(["lanes", "run-steps/s", "ratio to plain", "fraction of peak"], rows),
        ]
    )
