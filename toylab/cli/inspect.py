"""``toylab inspect CONFIG``."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from toylab.cli import parsing
from toylab.cli.output import print_json
from toylab.config import RunConfig

MAX_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Flags:
    """Parameters, operations and memory of a configuration, before training."""

    config: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="CONFIG")]
    """A preset, a JSON file of settings, or a run folder."""
    json: bool = False
    """Print one JSON object: params, flops_forward, flops_step {plain, split}, bytes, collectives."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags."""
    return parsing.parse("inspect", Flags, argv)


def run(flags: Flags) -> int:
    """Count and print."""
    config = find_config(flags.config)
    from toylab.cli.start import start_jax

    start_jax()
    from toylab.cost import cost

    facts = cost(config)
    if flags.json:
        print_json(facts)
        return 0
    steps = facts["flops_step"]
    print(f"parameters              {facts['params']:>14,}")
    print(f"flops, forward, 1 row   {facts['flops_forward']:>14,}")
    rows = f"batch {config.batch_size}, {config.num_equal} rows r = t"
    print(f"flops, step, as trained {steps['split']:>14,}   ({rows})")
    print(f"flops, step, all JVP    {steps['plain']:>14,}")
    print(f"bytes of state          {facts['bytes']:>14,}")
    print(f"collectives             {facts['collectives']:>14,}")
    return 0


def find_config(text: str) -> RunConfig:
    """The settings that ``text`` means: those of a run folder, of a JSON file, or of a preset.

    Raises:
        ValueError: none of the three, or one that cannot be read; one line.
    """
    from toylab.presets import PRESETS, preset

    path = Path(text)
    if text in PRESETS and not path.exists():
        return RunConfig(**preset(text))
    if path.is_dir():
        from toylab.report import read_config

        return read_config(path)
    if path.is_file():
        return RunConfig.from_dict(_read_settings(path))
    raise ValueError(f"{text!r} is no run folder, no JSON file and no preset ({', '.join(sorted(PRESETS))})")


def _read_settings(path: Path) -> dict:
    """The settings in a JSON file: a plain object, or the config.json of a run."""
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES} bytes")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    while isinstance(value, dict) and isinstance(value.get("settings"), dict):
        value = value["settings"]
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object, not {type(value).__name__}")
    return value
