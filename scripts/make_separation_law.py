"""Measure the separation law: exact expansion and variance ratio, and the gain of beta = 1 in short training.

    python scripts/make_separation_law.py [--steps N] [--seeds K]
    python scripts/make_separation_law.py --draw      # redraw the figure from the file

Writes results/separation_law/separation_law.json (table, every run, settings, versions, date) and its figure.
"""

import argparse
import json
import math
import time
from pathlib import Path

import pandas as pd

from toylab.devices.parallel import enable_compilation_cache
from toylab.diagnostics import separation_law
from toylab.diagnostics.separation import separation_figure
from toylab.plots.figures import png_bytes
from toylab.storage.atomic import atomic_write_bytes
from toylab.storage.provenance import environment

FOLDER = Path(__file__).parents[1] / "results" / "separation_law"


def main() -> None:
    """Train, write the results and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=5000, help="optimiser steps per run")
    parser.add_argument("--seeds", type=int, default=3, help="runs per setting")
    parser.add_argument("--draw", action="store_true", help="only redraw the figure from the stored table")
    chosen = parser.parse_args()
    path = FOLDER / "separation_law.json"
    if chosen.draw:
        table = pd.DataFrame(json.loads(path.read_text())["table"])
        atomic_write_bytes(FOLDER / "separation_law.png", png_bytes(separation_figure(table)))
        return
    enable_compilation_cache()
    started = time.monotonic()
    law = separation_law(steps=chosen.steps, seeds=range(chosen.seeds))
    content = {
        "statement": "gain of beta = 1 (EMA tangent) over beta = 0 in one-step sliced W1 on two Gaussians",
        "settings": law.settings,
        "environment": environment(),
        "seconds": round(time.monotonic() - started, 1),
        "table": rows_of(law.table),
        "runs": rows_of(law.runs),
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    atomic_write_bytes(FOLDER / "separation_law.png", png_bytes(law.figure()))
    print(law.table.to_string(float_format="{:.4g}".format))
    print(f"{path}, {content['seconds']} s")


def rows_of(table) -> list[dict]:
    """Rows of ``table`` with numbers rounded to five digits; NaN becomes None."""
    return [
        {name: rounded(value) if isinstance(value, float) else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def rounded(value: float) -> float | None:
    """Five digits are more than the intervals deserve."""
    return float(f"{value:.5g}") if math.isfinite(value) else None


if __name__ == "__main__":
    main()
