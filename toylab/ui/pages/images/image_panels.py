"""The parts of the page of images: grids of samples, curves, settings and cost."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from toylab.formatting import short
from toylab.plots.images import bytes_png, columns_of
from toylab.ui.charts import compare_charts, theme
from toylab.ui.pages.compare import comparing
from toylab.ui.runs.image_entries import Bytes, ImageEntry
from toylab.ui.text import plain

TITLES = {
    "loss": "Loss",
    "grad_variance": "Gradient variance",
    "sw1": "Sliced W1 of the pixels",
    "grad_norm": "Gradient norm",
    "beta": "β",
}
"""Columns of a history that have a name here; all others that a run logged are drawn under their own."""
HIDDEN = {"learning_rate"}
"""A schedule is a setting, not something that was seen."""
FLOOR = "_floor"


def grid(key: str, title: str, images: Bytes | None, classes: int, alt: str, missing: str = "") -> None:
    """A grid of images below its title, or why there is none."""
    with st.container(key=f"images_grid_{key}"):
        st.markdown(title)
        if images is None or not len(images):
            st.caption(missing or "…")
            return
        st.image(bytes_png(images, columns_of(classes)), width="stretch", alt=alt, output_format="PNG")


def curves(chosen: Mapping[str, ImageEntry]) -> None:
    """Every column of the histories that moves, one chart each."""
    st.subheader("Training curves", anchor=False)
    palette, colours = theme.palette(), theme.series()
    histories = [entry.history for entry in chosen.values()]
    with st.container(key="images_curves", horizontal=True):
        for index, column in enumerate(logged(histories)):
            title = TITLES.get(column, column.replace("_", " "))
            with st.container(key=f"images_curve_{index}"):
                st.markdown(f"**{plain(title)}**")
                compare_charts.curves(
                    histories,
                    list(chosen),
                    [f"{letter}: {entry.label}" for letter, entry in chosen.items()],
                    column,
                    _floors(chosen, column),
                    colours,
                    palette,
                    key=f"images_chart_{column}",
                    alt=f"{title} over steps: {_ends(chosen, column)}",
                )
    weighted = any(entry.config.adaptive_power == 1 for entry in chosen.values())
    st.caption(
        (
            "An adaptive weight of power 1 divides the loss by itself, nearly: it stays near 1. "
            if weighted
            else ""
        )
        + "Loss and gradient norm: means since the point before. Gradient variance: the trace of the covariance of a "
        "batch's gradient, from 8 batches. Sliced W1: one set of samples in the method's own evaluations."
    )


def logged(histories: Sequence[pd.DataFrame]) -> list[str]:
    """The columns that some history has numbers in, known ones first; no floors, no schedule, and beta if it moves."""
    names = list(dict.fromkeys(name for history in histories for name in history.columns))
    order = [name for name in TITLES if name in names] + [name for name in names if name not in TITLES]
    seen = [name for name in order if name not in HIDDEN and not name.endswith(FLOOR)]
    return [name for name in seen if _measured(histories, name)][:MAX_CURVES]


MAX_CURVES = 12
"""A history from outside may have any number of columns."""


def _measured(histories: Sequence[pd.DataFrame], name: str) -> bool:
    columns = [compare_charts.rows_of(history, name)["value"].to_numpy() for history in histories]
    return any(len(values) and (name != "beta" or np.ptp(values) > 0) for values in columns)


def _floors(chosen: Mapping[str, ImageEntry], column: str) -> list[tuple[float, str]]:
    """The floor of a column, where all runs share it."""
    found = {}
    for entry in chosen.values():
        values = compare_charts.rows_of(entry.history, f"{column}{FLOOR}")["value"]
        if len(values):
            found[round(float(values.iloc[-1]), 6)] = entry.config.eval_samples
    return (
        [(value, f"floor {short(value)}, n = {n:,}") for value, n in found.items()] if len(found) == 1 else []
    )


def _ends(chosen: Mapping[str, ImageEntry], column: str) -> str:
    parts = []
    for letter, entry in chosen.items():
        values = compare_charts.rows_of(entry.history, column)["value"]
        parts.append(f"{letter} ends at {values.iloc[-1]:.4g}" if len(values) else f"{letter} has none")
    return ", ".join(parts)


def settings(chosen: Mapping[str, ImageEntry], costs: Mapping[str, str]) -> None:
    """What differs, what is equal, and what a run costs: letter -> line."""
    st.subheader("Settings and cost", anchor=False)
    apart, equal = comparing.differing(list(chosen.values()))
    if apart and len(chosen) > 1:
        table = pd.DataFrame.from_dict(
            {name.replace("_", " "): [plain(value) for value in values] for name, values in apart.items()},
            orient="index",
            columns=list(chosen),
        )
        with st.container(key="images_settings"):
            st.table(table, border="horizontal", width="content", alt="Settings in which the runs differ")
    config = next(iter(chosen.values())).config
    with st.container(key="images_equal", horizontal=True, vertical_alignment="center"):
        rest = "All else equal" if apart else "Equal in all"
        st.markdown(
            f"{rest}: {len(equal)} settings." if len(chosen) > 1 else f"One run, {len(equal)} settings.",
            width="content",
        )
        with st.popover("Show them", type="tertiary"):
            rows = {name.replace("_", " "): plain(comparing.told(getattr(config, name))) for name in equal}
            st.table(pd.DataFrame({"value": rows}), border="horizontal", hide_header=True)
    groups: dict[str, list[str]] = {}
    for letter, line in costs.items():
        groups.setdefault(line, []).append(letter)
    for line, letters in groups.items():
        st.markdown(f"**{', '.join(letters)}**: {line}.")
    st.caption(
        "Operations are multiplications and additions that XLA counts in the program, from shapes (`toylab inspect`)."
    )
