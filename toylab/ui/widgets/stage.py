"""What the stages of Lab and Race share: the status line, a square per lane, a row of curves, and previews."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
import streamlit as st
from jaxtyping import Float

from toylab.formatting import short
from toylab.ui import scene
from toylab.ui.charts import curves, theme
from toylab.ui.jobs import JobState, Lane, Snapshot

CURVES = (("loss", "Loss"), ("grad_variance", "Gradient variance"), ("sw1", "Wasserstein distance"))
Kind = Literal["job", "stored", "preview"]
"""Source of a snapshot: a job, a run that ships with the app, or nothing but the data."""


def preview(
    lanes: Sequence[Lane], problem: str = "", points: Float[np.ndarray, "n 2"] | None = None
) -> Snapshot:
    """The snapshot before a run: its data, or the user's ``points`` and the ``problem`` that they still have."""
    labels, configs = zip(*lanes, strict=True)
    return Snapshot(0, JobState.STOPPED, configs, labels, data=points, message=problem)


def waiting(place: int) -> str:
    """The sentence on a queued job with ``place`` runs ahead of it."""
    return (
        f"Waiting: {place} run{'s' if place != 1 else ''} ahead of this one." if place else "About to start."
    )


def status_line(snapshot: Snapshot, kind: Kind = "job") -> str:
    """State, step and speed, in words that tests and screen readers find too."""
    state = {"stored": "stored run", "preview": "ready"}.get(kind, snapshot.state.value)
    parts = [f"**{state.upper()}**", f"step {snapshot.step:,} of {snapshot.steps:,}"]
    if snapshot.state is JobState.RUNNING and snapshot.eta is not None:
        parts += [f"{short(snapshot.steps_per_second)} steps/s", f"{snapshot.eta:.0f} s to go"]
    return " · ".join(parts)


def progress(snapshot: Snapshot, kind: Kind) -> None:
    """The progress bar with the status line."""
    with st.container(key="status"):
        st.progress(min(1.0, snapshot.step / snapshot.steps), text=status_line(snapshot, kind))


def square(snapshot: Snapshot, lane: int, colour: str, key: str, side: int = curves.SQUARE) -> None:
    """One-step samples of a lane over the data."""
    curves.square(
        snapshot.data if snapshot.data is not None else scene.points(snapshot.config),
        None if snapshot.samples is None else snapshot.samples[lane],
        scene.frame(snapshot.config),
        colour,
        theme.palette(),
        key=f"chart_{key}",
        alt=f"One-step samples of lane {snapshot.labels[lane]} over the data of {scene.name(snapshot.config)}",
        side=side,
    )


def sentence(text: str, *, failed: bool) -> None:
    """What to look at now; in red where the run failed or diverged."""
    st.markdown(f":red[{text}]" if failed else text)


def curve_row(
    snapshot: Snapshot,
    colours: Mapping[str, str],
    heading: Callable[[str, str], str],
    *,
    prefix: str = "",
    height: int = curves.CURVE_HEIGHT,
) -> None:
    """Loss, gradient variance and distance over steps, a line per lane.

    Args:
        snapshot: whose histories.
        colours: of the lanes, by label.
        heading: the line above a curve, from its column and title.
        prefix: of the keys.
        height: of a curve in pixels.
    """
    with st.container(key=f"{prefix}curves", horizontal=True, wrap=False):
        for column, title in CURVES:
            with st.container(key=f"{prefix}curve_{column}"):
                st.markdown(heading(column, title))
                curves.curve(
                    _lines(snapshot, column),
                    _marks(snapshot, column),
                    snapshot.steps,
                    theme.palette(),
                    key=f"chart_{prefix}{column}",
                    alt=f"{title} over steps, one line per lane, logarithmic: {', '.join(snapshot.labels)}",
                    lanes=colours,
                    height=height,
                )


def _lines(snapshot: Snapshot, column: str) -> pd.DataFrame:
    tables = [
        pd.DataFrame({"step": table.index, "value": table[column].to_numpy(), "lane": label})
        for label, table in zip(snapshot.labels, snapshot.histories, strict=False)
        if len(table)
    ]
    if not tables:
        return pd.DataFrame({"step": [0.0], "value": [1.0], "lane": ["none"]}).iloc[:0]
    lines = pd.concat(tables, ignore_index=True)
    value = lines["value"].to_numpy()
    return lines.loc[(value > 0) & np.isfinite(value)]


def _marks(snapshot: Snapshot, column: str) -> pd.DataFrame:
    """Rules to draw over a curve: live changes, and the floor of the distance."""
    rows = []
    for event in snapshot.events:
        label = f"β {event.new:g}" if event.name == "beta" else f"lr {event.new:g}"
        # In the Lab only the chosen lane has a beta to change: it needs no name.
        if event.name == "beta" and snapshot.labels != ("chosen", "baseline") and len(snapshot.labels) > 1:
            label = f"{snapshot.labels[event.lane].split(',')[0]} → {label}"
        rows.append({"step": float(event.step), "value": None, "kind": "event", "label": label})
    if column == "sw1" and math.isfinite(floor := snapshot.floor):
        label = f"floor {short(floor)}, n = {snapshot.config.eval_samples:,}"
        rows.append({"step": 0.0, "value": floor, "kind": "floor", "label": label})
    return pd.DataFrame(rows, columns=["step", "value", "kind", "label"]).astype(
        {"step": float, "value": float}
    )
