"""The stage: progress, two squares, one sentence, three curves, all drawn from one snapshot."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import streamlit as st
from jaxtyping import Float

from toylab.config import RunConfig
from toylab.ui.charts import curves, theme
from toylab.ui.jobs import JobState, Snapshot, with_baseline
from toylab.ui.pages.lab.view_base import Shown
from toylab.ui.text import words
from toylab.ui.text.words import Kind, short
from toylab.ui.widgets import scene

LANES = ("chosen", "baseline")
CURVES = (("loss", "Loss"), ("grad_variance", "Gradient variance"), ("sw1", "Wasserstein distance"))


def draw(
    snapshot: Snapshot,
    *,
    place: int = 0,
    kind: Kind = "job",
    offer: Callable[[], None] | None = None,
    view: Shown | None = None,
) -> None:
    """Draw one snapshot; the baseline left, the chosen lane right, on the same axes.

    Args:
        snapshot: of a job, of the stored run, or a `preview`.
        place: how many runs are ahead of a queued job.
        kind: which of the three it is.
        offer: draws what the reader may do about it, beside the sentence.
        view: what stands in for the squares and the sentence, if anything.
    """
    palette = theme.palette()
    with st.container(key="status"):
        st.progress(min(1.0, snapshot.step / snapshot.steps), text=status_line(snapshot, kind))
    # One container whatever is in it: what follows keeps its place in the page, and nothing old flashes up there.
    with st.container(key="picture"):
        if view is not None and view.draw is not None:
            view.draw()
        else:
            _squares(snapshot, palette)
    with st.container(key="sentence", horizontal=True, vertical_alignment="center"):
        text = words.sentence(snapshot, place, kind) if view is None else view.sentence
        failed = snapshot.state in {JobState.DIVERGED, JobState.FAILED} and view is None
        st.markdown(f":red[{text}]" if failed else text)
        if offer is not None:
            offer()
    with st.container(key="curves", horizontal=True, wrap=False):
        for column, title in CURVES:
            with st.container(key=f"curve_{column}"):
                st.markdown(_curve_title(snapshot, column, title))
                curves.curve(
                    _lines(snapshot, column),
                    marks(snapshot, column),
                    snapshot.steps,
                    palette,
                    key=f"chart_{column}",
                    alt=f"{title} over steps of the chosen lane and the baseline, logarithmic",
                )


def _squares(snapshot: Snapshot, palette: theme.Palette) -> None:
    data = snapshot.data if snapshot.data is not None else scene.points(snapshot.config)
    frame, name = scene.frame(snapshot.config), scene.name(snapshot.config)
    with st.container(key="squares", horizontal=True, wrap=False):
        for lane, title, colour in (
            (1, _baseline_title(), palette.baseline),
            (0, _chosen_title(snapshot), palette.chosen),
        ):
            with st.container(key=f"square_{LANES[lane]}"):
                st.markdown(title + _score(snapshot, lane))
                curves.square(
                    data,
                    None if snapshot.samples is None else snapshot.samples[lane],
                    frame,
                    colour,
                    palette,
                    key=f"chart_square_{LANES[lane]}",
                    alt=f"One-step samples of the {LANES[lane]} lane over the data of {name}",
                )


def status_line(snapshot: Snapshot, kind: Kind = "job") -> str:
    """State, step and speed, in words that tests and screen readers find too."""
    state = {"stored": "stored run", "preview": "ready"}.get(kind, snapshot.state.value)
    parts = [f"**{state.upper()}**", f"step {snapshot.step:,} of {snapshot.steps:,}"]
    if snapshot.state is JobState.RUNNING and snapshot.eta is not None:
        parts += [f"{short(snapshot.steps_per_second)} steps/s", f"{snapshot.eta:.0f} s to go"]
    return " · ".join(parts)


def preview(config: RunConfig) -> Snapshot:
    """What to show before a run of ``config``: its data."""
    return Snapshot(
        seq=0, state=JobState.STOPPED, configs=tuple(lane.config for lane in with_baseline(config))
    )


def unready(config: RunConfig, problem: str, points: Float[np.ndarray, "n 2"] | None) -> Snapshot:
    """What to show while own data cannot be trained on: the points so far, and why."""
    return dataclasses.replace(preview(config), data=points, message=problem)


def _baseline_title() -> str:
    return ":orange[**●**] **β = 0**, baseline"


def _chosen_title(snapshot: Snapshot) -> str:
    return f":blue[**●**] **β = {snapshot.config.beta:g}**, {snapshot.config.proxy.replace('_', ' ')} proxy"


def _score(snapshot: Snapshot, lane: int) -> str:
    if not snapshot.histories:
        return ""
    value = snapshot.scores[lane]
    return f" · distance to the data {short(value)}" if math.isfinite(value) else ""


def _curve_title(snapshot: Snapshot, column: str, title: str) -> str:
    return f"**{title}** {_values(snapshot, column)}"


def _values(snapshot: Snapshot, column: str) -> str:
    if not any(len(table) for table in snapshot.histories):
        return ""
    chosen, baseline = map(short, snapshot.scores if column == "sw1" else snapshot.latest(column))
    return f":orange[{baseline}] :blue[{chosen}]"


def _lines(snapshot: Snapshot, column: str) -> pd.DataFrame:
    tables = [
        pd.DataFrame({"step": table.index, "value": table[column].to_numpy(), "lane": lane})
        for lane, table in zip(LANES, snapshot.histories, strict=False)
        if len(table)
    ]
    if not tables:
        return pd.DataFrame({"step": [0.0], "value": [1.0], "lane": ["none"]}).iloc[:0]
    lines = pd.concat(tables, ignore_index=True)
    value = lines["value"].to_numpy()
    return lines.loc[(value > 0) & np.isfinite(value)]


def marks(snapshot: Snapshot, column: str) -> pd.DataFrame:
    """Rules to draw over a curve: live changes, and the floor of the distance."""
    rows = [
        {
            "step": float(event.step),
            "value": None,
            "kind": "event",
            "label": f"β {event.new:g}" if event.name == "beta" else f"lr {event.new:g}",
        }
        for event in snapshot.events
    ]
    if column == "sw1" and math.isfinite(floor := snapshot.floor):
        rows.append(
            {
                "step": 0.0,
                "value": floor,
                "kind": "floor",
                "label": f"floor {short(floor)}, n = {snapshot.config.eval_samples:,}",
            }
        )
    return pd.DataFrame(rows, columns=["step", "value", "kind", "label"]).astype(
        {"step": float, "value": float}
    )
