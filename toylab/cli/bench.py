"""``toylab bench``: the training speed of this machine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from toylab.cli import parsing
from toylab.cli.configs import find_config
from toylab.cli.dispatch import DONE
from toylab.cli.folders import make_writable
from toylab.cli.output import note, plain, print_json, text_table
from toylab.cli.parsing import check_number
from toylab.cli.settings import Options, Whole, read_values
from toylab.config import RANGES
from toylab.formatting import number
from toylab.storage.atomic import atomic_write_json


@dataclass(frozen=True)
class Flags:
    """Measure training speed of a config, or of ensembles against a plain loop and the peak of the machine.

    With CONFIG, each batch size is timed twice: as trained, with rows r = t separate (split), and with every row
    through the Jacobian-vector product (plain). The report counts operations and lists the targets set for an H100.
    """

    config: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="CONFIG")] = None
    """Configuration to time: a packaged config (`toylab list configs`), a TOML or JSON file, or a run folder."""
    batch_sizes: str = ""
    """With CONFIG: comma-separated batch sizes; by default 256,1024 for DiT-B/4, otherwise that of CONFIG."""
    net_options: Options = field(default_factory=dict)
    """With CONFIG: options of the net to change, such as size=nano for a small machine."""
    steps: Whole = 50
    """With CONFIG: steps per measurement."""
    lanes: str = "1,2,4,8"
    """Without CONFIG: comma-separated numbers of lanes (runs trained together)."""
    num_rounds: Whole = 3
    """Rounds of measurements; medians are reported."""
    seconds: float = 3.0
    """Without CONFIG: length of each measurement in seconds."""
    out: Path | None = None
    """Also write the JSON object to this file."""
    json: bool = False
    """Print one JSON object: speeds, operations, device, versions, and with CONFIG targets."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags, with numbers in range."""
    flags = parsing.parse("bench", Flags, argv)
    for count in read_values(int, flags.lanes):
        check_number("lanes", count, 1, 4096)
    for size in read_values(int, flags.batch_sizes) if flags.batch_sizes else ():
        check_number("batch-sizes", size, 1, RANGES["batch_size"][1])
    check_number("num-rounds", flags.num_rounds, 1, 1_000)
    check_number("steps", flags.steps, 1, 1_000_000)
    check_number("seconds", flags.seconds, 0.01, 3_600)
    if flags.config is None and (flags.batch_sizes or flags.net_options):
        raise ValueError("--batch-sizes and --net-options require a CONFIG")
    return flags


def run(flags: Flags) -> int:
    """Measure, print and write. The persistent compilation cache stays off, so that cold compile times are measured."""
    if flags.out is not None:
        if flags.out.is_dir():
            raise ValueError(f"--out {flags.out} is a folder: name a file, such as {flags.out}/bench.json")
        make_writable(flags.out.parent)
    if flags.config is not None:
        facts, text = _of_config(flags, flags.config)
    else:
        # 2.5 s to import, which --help and a bad flag must not wait for.
        from toylab.bench import run_benchmark

        lanes = read_values(int, flags.lanes)
        note("takes about a minute; run nothing else meanwhile; medians over rounds are reported")
        facts = run_benchmark(lanes, flags.num_rounds, flags.seconds)
        text = as_text
    if flags.out is not None:
        atomic_write_json(flags.out, plain(facts))
        note(f"written: {flags.out}")
    if flags.json:
        print_json(facts)
    else:
        print(text(facts))
    return DONE


def _of_config(flags: Flags, text: str) -> tuple[dict[str, Any], Callable[[dict[str, Any]], str]]:
    """The measurements of one config, and the function that formats them."""
    config = find_config(text)
    if flags.net_options:
        config = config.replace(net_options={**config.net_options, **flags.net_options})
    sizes = read_values(int, flags.batch_sizes) if flags.batch_sizes else ()
    # 2.5 s to import, which an unknown config must not wait for either.
    from toylab.bench.training import config_benchmark

    facts = config_benchmark(config, text, sizes, flags.steps, flags.num_rounds, tell=note)
    return facts, config_text


def config_text(facts: dict[str, Any]) -> str:
    """The measurements of a config as text."""
    header = ["batch", "step", "steps/s", "examples/s", "F/example", "Tflop/s", "MFU", "GB", "compile s"]
    rows = [[str(row["batch_size"]), row["step"], *_cells(row)] for row in facts["rows"]]
    ratios = ", ".join(f"{ratio:.2f} at {size}" for size, ratio in facts["split_over_plain"].items())
    lines = [
        f"device  {facts['device']}, {facts['environment']['date']}",
        f"data    {facts['data']}",
        "",
        text_table(header, rows, 2),
        "",
        f"split over plain: {ratios or 'not measured'}",
        "F: forward passes of the net; MFU: fraction of the bfloat16 peak in the data sheet of the device; "
        "GB: peak memory of this process so far",
    ]
    for aim in facts["targets"]:
        reached = {None: "", True: ", reached", False: ", MISSED"}[aim["reached"]]
        goal = f" (estimate {aim['goal'][0]:,} to {aim['goal'][1]:,})" if "goal" in aim else ""
        said = f"{aim['what']} {aim['target']:,.4g}{goal}; here {number(aim['measured'])}{reached}"
        lines.append(f"target, {aim['device']}: {said}")
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> list[str]:
    if "error" in row:
        return [row["error"], *["-"] * 6]
    memory = row["peak_bytes"]
    return [
        number(row["steps_per_second"]),
        number(row["examples_per_second"]),
        number(row["forward_passes_per_example"], 3),
        number(row["flops_per_second"] / 1e12, 3),
        "-" if row["mfu"] is None else f"{row['mfu']:.1%}",
        "-" if memory is None else f"{memory / 1e9:.1f}",
        f"{row['compile_seconds']:.1f}",
    ]


def as_text(facts: dict[str, Any]) -> str:
    """The measurements of lanes as text."""
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
