"""``toylab bench``: how fast this machine trains."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from toylab.cli import parsing
from toylab.cli.output import note, number, print_json, text_table
from toylab.cli.sample import check_number
from toylab.cli.settings import Whole, read_values


@dataclass(frozen=True)
class Flags:
    """Measure training speed: of a config, or of a plain loop against lanes of an ensemble and the machine's peak."""

    config: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="CONFIG")] = None
    """A packaged config (`toylab list configs`), a TOML or JSON file, or a run folder: how fast it trains here."""
    steps: Whole = 50
    """Of CONFIG: steps of each timed stretch."""
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
    check_number("steps", flags.steps, 1, 1_000_000)
    check_number("seconds", flags.seconds, 0.01, 3_600)
    return flags


def run(flags: Flags) -> int:
    """Measure and print. No compilation cache here: cold means cold."""
    if flags.config is not None:
        return _run_config(flags, flags.config)
    from toylab.bench import run_benchmark

    lanes = read_values(int, flags.lanes)
    note("about a minute with nothing else running: medians over rounds")
    facts = run_benchmark(lanes, flags.num_rounds, flags.seconds)
    if flags.json:
        print_json(facts)
    else:
        print(as_text(facts))
    return 0


def _run_config(flags: Flags, text: str) -> int:
    """The speed of one config."""
    from toylab.bench.training import training_speed
    from toylab.cli.configs import find_config

    facts = training_speed(find_config(text), flags.steps, flags.num_rounds)
    if flags.json:
        print_json(facts)
        return 0
    share = "" if facts["mfu"] is None else f", {facts['mfu']:.1%} of the peak"
    print(f"device       {facts['device']}")
    print(
        f"speed        {number(facts['steps_per_second'])} steps/s, {number(facts['examples_per_second'])} examples/s"
    )
    print(f"operations   {number(facts['flops_per_second'] / 1e9)} Gflop/s{share}")
    print(f"compilation  {facts['compile_seconds']:.1f} s")
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
