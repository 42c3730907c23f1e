"""The stage of a race: up to four squares on shared axes, one sentence, and curves of all lanes."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st
from jaxtyping import Float

from toylab.config import RunConfig
from toylab.ui.charts import curves, theme
from toylab.ui.jobs import JobState, Snapshot
from toylab.ui.text.words import Kind, short, waiting
from toylab.ui.widgets import scene, stage

SIDE = 218
"""Side of a square: four of them fill the stage at 1280 pixels."""
CURVE_HEIGHT = 270


def draw(snapshot: Snapshot, heads: Sequence[str], place: int = 0, kind: Kind = "job") -> None:
    """Draw one snapshot.

    Args:
        snapshot: of a race, or of one that has not begun.
        heads: what stands above the squares; a lane that ran as something else says so.
        place: how many runs are ahead of a queued one.
        kind: a job, the race that comes with the app, or a preview: nothing but the data.
    """
    palette, colours = theme.palette(), theme.series()
    data = snapshot.data if snapshot.data is not None else scene.points(snapshot.config)
    frame, name = scene.frame(snapshot.config), scene.name(snapshot.config)
    with st.container(key="status"):
        st.progress(min(1.0, snapshot.step / snapshot.steps), text=stage.status_line(snapshot, kind))
    with st.container(key="race_squares", horizontal=True, wrap=True):
        for lane, label in enumerate(snapshot.labels):
            with st.container(key=f"race_square_{lane}", width=SIDE):
                st.markdown(_title(snapshot, lane, heads))
                curves.square(
                    data,
                    None if snapshot.samples is None else snapshot.samples[lane],
                    frame,
                    colours[lane],
                    palette,
                    key=f"chart_race_square_{lane}",
                    alt=f"One-step samples of lane {label} over the data of {name}",
                    side=SIDE,
                )
    with st.container(key="race_sentence"):
        text = sentence(snapshot, place, kind)
        bad = snapshot.state in {JobState.DIVERGED, JobState.FAILED}
        st.markdown(f":red[{text}]" if bad else text)
    with st.container(key="race_curves", horizontal=True, wrap=False):
        for column, title in stage.CURVES:
            with st.container(key=f"race_curve_{column}"):
                st.markdown(f"**{title}**")
                curves.curve(
                    _lines(snapshot, column),
                    _marks(snapshot, column),
                    snapshot.steps,
                    palette,
                    key=f"chart_race_{column}",
                    alt=f"{title} over steps, one line per lane, logarithmic: {', '.join(snapshot.labels)}",
                    lanes=dict(zip(snapshot.labels, colours, strict=False)),
                    height=CURVE_HEIGHT,
                )


def sentence(snapshot: Snapshot, place: int = 0, kind: Kind = "job") -> str:
    """What to look at now."""
    state = snapshot.state
    if state is JobState.DIVERGED:
        return f"{snapshot.message} Choose a smaller learning rate and start again."
    if snapshot.message:
        # Lanes diverged: those that arrived have their verdict all the same.
        return f"{snapshot.message} {verdict(snapshot)}" if state is JobState.DONE else snapshot.message
    if kind == "preview":
        return "Press Start: all lanes begin with the same weights and see the same data and noise."
    if state is JobState.QUEUED:
        return waiting(place)
    if state is JobState.COMPILING:
        return "Compiling a program per kind of lane; methods that are new take some seconds each."
    if state is JobState.PAUSED:
        return f"Paused at step {snapshot.step:,}. Change a β and resume, or step on."
    if state is JobState.STOPPED:
        return f"Stopped at step {snapshot.step:,}: unfinished, so no score is given. Start begins again."
    if state is JobState.DONE:
        return verdict(snapshot)
    if len({config.method for config in snapshot.configs}) == 1:
        return "Same weights, same noise, same data; only what is written above a lane differs."
    return "Same steps for all, not the same cost: a step of some methods takes more evaluations of the net."


def verdict(snapshot: Snapshot) -> str:
    """Who ended nearest to the data, and what that is worth."""
    scores = snapshot.scores
    finite = [lane for lane, score in enumerate(scores) if math.isfinite(score)]
    if not finite:
        return "Finished; no distance was measured."
    best = min(finite, key=lambda lane: scores[lane])
    return (
        f"Nearest to the data: {snapshot.labels[best]}, {short(scores[best])}; fresh data would score "
        f"{short(snapshot.floor)} (n = {snapshot.config.eval_samples:,}). One seed: try others before you conclude."
    )


def _title(snapshot: Snapshot, lane: int, heads: Sequence[str]) -> str:
    value = snapshot.scores[lane] if snapshot.histories else math.nan
    parts = [f"distance {short(value)}"] if math.isfinite(value) else []
    if list(heads[lane : lane + 1]) != [snapshot.labels[lane]]:
        parts.append(f"ran as {snapshot.labels[lane]}")
    return " · ".join(parts) or "&nbsp;"


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
    marks = stage.marks(snapshot, column)
    events = [
        f"{snapshot.labels[event.lane].split(',')[0]} → " for event in snapshot.events if event.name == "beta"
    ]
    if events and len(snapshot.labels) > 1:
        rows = marks["kind"] == "event"
        betas = rows & marks["label"].str.startswith("β")
        marks.loc[betas, "label"] = [
            f"{name}{label}" for name, label in zip(events, marks.loc[betas, "label"], strict=True)
        ]
    return marks


def preview(config: RunConfig, labels: Sequence[str]) -> Snapshot:
    """What to show before a race: the data of ``config``, once per lane."""
    return Snapshot(0, JobState.STOPPED, (config,) * len(labels), tuple(labels))


def unready(
    config: RunConfig, labels: Sequence[str], problem: str, points: Float[np.ndarray, "n 2"] | None
) -> Snapshot:
    """What to show while own data cannot be raced on: the points so far, and why."""
    return dataclasses.replace(preview(config, labels), data=points, message=problem)
