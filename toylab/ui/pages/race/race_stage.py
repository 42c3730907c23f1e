"""The stage of a race: up to four squares on shared axes, one sentence, and curves of all lanes."""

import math
from collections.abc import Sequence

import streamlit as st

from toylab.formatting import short
from toylab.ui.charts import theme
from toylab.ui.jobs import JobState, Snapshot
from toylab.ui.widgets import stage
from toylab.ui.widgets.stage import Kind, waiting

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
    colours = theme.series()
    stage.progress(snapshot, kind)
    with st.container(key="race_squares", horizontal=True, wrap=True):
        for lane in range(len(snapshot.labels)):
            with st.container(key=f"race_square_{lane}", width=SIDE):
                st.markdown(_title(snapshot, lane, heads))
                stage.square(snapshot, lane, colours[lane], f"race_square_{lane}", SIDE)
    with st.container(key="race_sentence"):
        failed = snapshot.state in {JobState.DIVERGED, JobState.FAILED}
        stage.sentence(sentence(snapshot, place, kind), failed=failed)
    stage.curve_row(
        snapshot,
        dict(zip(snapshot.labels, colours, strict=False)),
        lambda _, title: f"**{title}**",
        prefix="race_",
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
