"""Figures: arrays in, matplotlib figures out. Nothing else of the lab, so that any package may draw its results."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # see __getattr__
    from toylab.plots.figures import (
        BASELINE,
        CHOSEN,
        DATA,
        HISTORY_PANELS,
        MARKERS,
        MAX_COLUMNS,
        MAX_DOTS,
        ORACLE,
        PANEL,
        SERIES,
        compare_figure,
        data_figure,
        history_figure,
        image_run_figure,
        panel_grid,
        png_bytes,
        run_figure,
        samples_figure,
        sweep_figure,
    )

__all__ = [
    "BASELINE",
    "CHOSEN",
    "DATA",
    "HISTORY_PANELS",
    "MARKERS",
    "MAX_COLUMNS",
    "MAX_DOTS",
    "ORACLE",
    "PANEL",
    "SERIES",
    "compare_figure",
    "data_figure",
    "history_figure",
    "image_run_figure",
    "panel_grid",
    "png_bytes",
    "run_figure",
    "samples_figure",
    "sweep_figure",
]


def __getattr__(name: str) -> Any:
    # On first use: `notebook` is imported by every dataset, and matplotlib takes 0.5 s of processor time to import.
    if name in __all__:
        return getattr(importlib.import_module("toylab.plots.figures"), name)
    raise AttributeError(f"module 'toylab.plots' has no attribute {name!r}")
