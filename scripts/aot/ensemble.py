"""Count what an H100 would run in a step of the paper's grid as one ensemble: kernels, bytes, memory.

python scripts/aot/ensemble.py 198
python scripts/aot/ensemble.py 198 --net dtype=bfloat16
"""

import argparse

from target import add_common, compile_and_report, lowered_lanes, report_steps, set_up, settings

from toylab.experiments.sweep.grids import paper_grid
from toylab.training.experiment import build_experiment
from toylab.training.mixing import mixed


def main() -> None:
    """Compile and count."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("lanes", type=int, nargs="?", default=198, help="the first runs of the grid")
    add_common(parser)
    chosen = parser.parse_args()
    set_up(chosen.dry_run)
    changes = settings(chosen.set)
    if chosen.net:
        changes["net_options"] = settings(chosen.net)
    cells = paper_grid().cells[: chosen.lanes]
    experiments = mixed([build_experiment(cell.config.replace(**changes)) for cell in cells])
    text = compile_and_report(
        lambda: lowered_lanes(experiments[0], len(cells), chosen.dry_run),
        chosen.name or f"ensemble{len(cells)}",
        settings(chosen.xla),
        chosen.dry_run,
    )
    report_steps(text)


if __name__ == "__main__":
    main()
