"""Grids of runs: planned as a list, trained in lanes, split between machines, merged into one table.

A cell is one config, and its folder is named by the config's hash. Finished cells are on disk, whole; the same command
again does what is missing. Named grids (`grids`) answer one question each: they have a forecast of their time
(`forecast`), a table with readings (`table`), and files that add up what their calls took (`files`, `timing`).
"""

from toylab.experiments.sweep.cells import Cell, cell_name, plan, shard, where_used
from toylab.experiments.sweep.merging import Merged, merge, write_merged
from toylab.experiments.sweep.planfile import SweepPlan, read_plan, write_plan
from toylab.experiments.sweep.running import (
    SCORES,
    Progress,
    Scoring,
    equal_chunks,
    is_finished,
    plan_chunks,
    run_sweep,
)

__all__ = [
    "SCORES",
    "Cell",
    "Merged",
    "Progress",
    "Scoring",
    "SweepPlan",
    "cell_name",
    "equal_chunks",
    "is_finished",
    "merge",
    "plan",
    "plan_chunks",
    "read_plan",
    "run_sweep",
    "shard",
    "where_used",
    "write_merged",
    "write_plan",
]
