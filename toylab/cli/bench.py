"""``toylab bench``: how fast this machine trains."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toylab.cli import parsing
from toylab.cli.output import note, number, print_json, text_table
from toylab.cli.sample import check_number
from toylab.cli.settings import Whole, read_values


@dataclass(frozen=True)
class Flags:
    """Measure training speed: a plain loop against lanes of an ensemble, and both against the machine's peak."""

    lanes: str = "1,2,4,8"
    """Comma-separated numbers of lanes."""
    num_rounds: Whole = 3
    """Rounds of all measurements; medians are reported."""
    seconds: float = 3.0
    """Length of each measurement."""
    json: bool = False
    """Print one JSON object: plain_steps_per_second, matmul_gflops, lanes, ratio, compile times, device."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags, with numbers in range."""
    flags = parsing.parse("bench", Flags, argv)
    for count in read_values(int, flags.lanes):
        check_number("lanes", count, 1, 4096)
    check_number("num-rounds", flags.num_rounds, 1, 1_000)
    check_number("seconds", flags.seconds, 0.01, 3_600)
    return flags


def run(flags: Flags) -> int:
    """Measure and print. No compilation cache here: cold means cold."""
    from toylab.bench import run_benchmark

    lanes = read_values(int, flags.lanes)
    note("about a minute with nothing else running: medians over rounds")
    facts = run_benchmark(lanes, flags.num_rounds, flags.seconds)
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
