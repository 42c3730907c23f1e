"""The Lab's stage: progress, two squares, one sentence, three curves, all drawn from one snapshot."""

import math
from collections.abc import Callable

import streamlit as st

from toylab.formatting import short
from toylab.ui.charts import theme
from toylab.ui.jobs import JobState, Snapshot
from toylab.ui.pages.lab import words
from toylab.ui.pages.lab.views import Shown
from toylab.ui.widgets import stage
from toylab.ui.widgets.stage import Kind


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
        snapshot: of a job, of the stored run, or a preview.
        place: how many runs are ahead of a queued job.
        kind: which of the three it is.
        offer: draws what the reader may do about it, beside the sentence.
        view: replaces the squares and the sentence, where one is chosen.
    """
    palette = theme.palette()
    stage.progress(snapshot, kind)
    # One container whatever is in it: what follows keeps its place in the page, and nothing old flashes up there.
    with st.container(key="picture"):
        if view is not None and view.draw is not None:
            view.draw()
        else:
            _squares(snapshot, palette)
    with st.container(key="sentence", horizontal=True, vertical_alignment="center"):
        failed = snapshot.state in {JobState.DIVERGED, JobState.FAILED} and view is None
        stage.sentence(
            words.sentence(snapshot, place, kind) if view is None else view.sentence, failed=failed
        )
        if offer is not None:
            offer()
    colours = {"chosen": palette.chosen, "baseline": palette.baseline}
    stage.curve_row(snapshot, colours, lambda column, title: f"**{title}** {_values(snapshot, column)}")


def _squares(snapshot: Snapshot, palette: theme.Palette) -> None:
    proxy = snapshot.config.proxy.replace("_", " ")
    lanes = (
        (1, ":orange[**●**] **β = 0**, baseline", palette.baseline),
        (0, f":blue[**●**] **β = {snapshot.config.beta:g}**, {proxy} proxy", palette.chosen),
    )
    with st.container(key="squares", horizontal=True, wrap=False):
        for lane, title, colour in lanes:
            with st.container(key=f"square_{snapshot.labels[lane]}"):
                st.markdown(title + _score(snapshot, lane))
                stage.square(snapshot, lane, colour, f"square_{snapshot.labels[lane]}")


def _score(snapshot: Snapshot, lane: int) -> str:
    if not snapshot.histories:
        return ""
    value = snapshot.scores[lane]
    return f" · distance to the data {short(value)}" if math.isfinite(value) else ""


def _values(snapshot: Snapshot, column: str) -> str:
    if not any(len(table) for table in snapshot.histories):
        return ""
    chosen, baseline = map(short, snapshot.scores if column == "sw1" else snapshot.latest(column))
    return f":orange[{baseline}] :blue[{chosen}]"
