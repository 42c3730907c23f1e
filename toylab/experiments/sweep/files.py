"""The files of a named grid: study.json, table.csv, table.md and a figure."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toylab.formatting import interval, number
from toylab.plots.figures import png_bytes, sweep_figure
from toylab.storage.atomic import atomic_write_bytes, atomic_write_json, atomic_write_text

JSON, CSV, MARKDOWN, FIGURE, PICTURE = "study.json", "table.csv", "table.md", "figure.png", "samples.png"
HEADER = (
    "dataset",
    "beta",
    "score",
    "95% interval",
    "floor",
    "seeds",
    "lost",
    "minus baseline",
    "95% interval",
    "reading",
)


def write_grid(content: Mapping[str, Any], folder: Path, picture: bytes | None = None) -> list[Path]:
    """Write the files of a grid into ``folder``, with a picture of samples where there is one; returns the paths.

    Args:
        content: JSON-able, as `table.findings` gives it, without NaN.
        folder: that exists.
        picture: PNG.

    Raises:
        OSError: the disk refuses.
    """
    paths = [folder / JSON, folder / CSV, folder / MARKDOWN]
    atomic_write_json(paths[0], dict(content))
    stream = io.StringIO()
    pd.DataFrame(content["table"]).to_csv(stream, index=False, lineterminator="\n")
    atomic_write_text(paths[1], stream.getvalue())
    atomic_write_text(paths[2], as_markdown(content))
    if content["table"]:
        paths.append(folder / FIGURE)
        atomic_write_bytes(
            paths[-1], png_bytes(sweep_figure(for_figure(content), content["metric"].replace("_", " ")))
        )
    if picture is not None:
        paths.append(folder / PICTURE)
        atomic_write_bytes(paths[-1], picture)
    return paths


def table_cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The cells of a table for readers, below ``HEADER``."""
    return [
        [
            row["dataset"],
            f"{row['beta']:g}",
            number(row["value"]),
            _ends(row["low"], row["high"]),
            number(row["floor"]),
            str(row["seeds"]),
            str(row["lost"]),
            number(row["difference"]),
            _ends(row["difference_low"], row["difference_high"]),
            row["reading"] or "-",
        ]
        for row in rows
    ]


def as_markdown(content: Mapping[str, Any]) -> str:
    """The table as a page."""
    scoring = content["scoring"]
    by = f" of the features of {scoring['features']}" if scoring["features"] else ""
    lines = [
        f"# {content['question']}",
        "",
        f"{content['metric']}{by}, n = {scoring['n']:,}, {scoring['num_keys']} key(s); lower is better. Intervals "
        "are 95% over seeds (Student's t), differences paired by seed. The floor is what real data score at this n; "
        "where that is more than half of the real images, at half of them.",
        "A reading is of one interval by itself: of twenty differences that are zero, one is read as something.",
        "",
        f"{content['device']}, {content['environment']['date']}, {len(content['runs'])} runs finished, "
        f"{len(content['missing'])} missing.",
        "",
        "| " + " | ".join(HEADER) + " |",
        "|" + "---|" * len(HEADER),
        *("| " + " | ".join(cells) + " |" for cells in table_cells(content["table"])),
        "",
    ]
    return "\n".join(lines)


def for_figure(content: Mapping[str, Any]) -> pd.DataFrame:
    """The table as `plots.sweep_figure` takes it."""
    rows = pd.DataFrame(content["table"]).rename(columns={"value": "sw1"}).assign(series="beta")
    for name in ("sw1", "low", "high", "floor"):
        rows[name] = rows[name].astype(np.float64)
    return rows


def _ends(low: float | None, high: float | None) -> str:
    return interval(low, high, form="{} to {}")
