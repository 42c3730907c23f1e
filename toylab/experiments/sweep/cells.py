"""The cells of a sweep: a grid of settings as a list of runs, each named by a hash of its settings, and parts of it."""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from toylab.config import FIELDS, RunConfig
from toylab.training.experiment import without_unused_settings

MAX_CELLS = 100_000
# Settings that came after the first committed results: part of a name only where they are not at their default.
YOUNGER_SETTINGS = ("adam_beta2", "label_dropout", "guidance", "guidance_mix", "net", "net_options")
_DEFAULT = RunConfig()


class Cell(NamedTuple):
    """One run of a grid and the name of its folder."""

    name: str
    config: RunConfig


def plan(grid: Mapping[str, Sequence[Any]]) -> list[Cell]:
    """Every combination of the values of ``grid``, the last field varying fastest.

    Args:
        grid: field of `RunConfig` -> its values; fields that are missing keep their default.

    Raises:
        ValueError: an unknown field, a field without values, a bad value, or more than 100,000 cells.

    >>> [cell.config.beta for cell in plan({"beta": [0, 1], "seed": [0, 1]})]
    [0.0, 0.0, 1.0, 1.0]
    """
    if unknown := sorted(set(grid) - set(FIELDS)):
        raise ValueError(f"unknown setting {unknown[0]!r}; choices: {', '.join(FIELDS)}")
    size = 1
    for name, values in grid.items():
        size *= len(values)
        if not values:
            raise ValueError(f"{name} has no values")
    if size > MAX_CELLS:
        raise ValueError(f"the grid has {size} cells, at most {MAX_CELLS} are planned")
    configs = [
        RunConfig(**dict(zip(grid, values, strict=True))) for values in itertools.product(*grid.values())
    ]
    cells = {cell_name(config): config for config in configs}
    return [Cell(name, config) for name, config in cells.items()]


def where_used(cells: Sequence[Cell]) -> list[Cell]:
    """Cells of a grid over methods, each with the settings that its method uses; the rest go back to their default.

    ``--method meanflow,flow_matching --proxy ema,oracle`` then means two proxies of meanflow, and flow_matching once.

    Raises:
        ValueError: an unknown method.
    """
    configs = [without_unused_settings(cell.config) for cell in cells]
    return [Cell(name, config) for name, config in {cell_name(config): config for config in configs}.items()]


def cell_name(config: RunConfig) -> str:
    """A name that tells configs apart: what matters most to a reader, then a hash of all settings."""
    settings = config.to_dict()
    canonical = json.dumps(
        {name: settings[name] for name in settings if _is_hashed(config, name)}, sort_keys=True
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:10]
    return f"{config.dataset}-{config.method}-b{config.beta:g}-s{config.seed}-{digest}"


def _is_hashed(config: RunConfig, name: str) -> bool:
    """Whether a setting is part of a cell's hash: a younger one only where it was set, so that old cells are found."""
    return name not in YOUNGER_SETTINGS or getattr(config, name) != getattr(_DEFAULT, name)


def shard(cells: Sequence[Cell], index: int, count: int) -> list[Cell]:
    """Part ``index`` (from 0) of ``count``: the parts are disjoint, and together they are the whole.

    Raises:
        ValueError: ``index`` outside [0, count).
    """
    if count < 1:
        raise ValueError(f"shard {index}/{count} is a part of none: the second number is at least 1")
    if not 0 <= index < count:
        raise ValueError(f"shard {index}/{count} is not one of 0/{count} to {count - 1}/{count}")
    return list(cells[index::count])
