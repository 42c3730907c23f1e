"""The view "Field": the net's velocity beside the exact one, at a time that a slider chooses."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from toylab.config import RunConfig
from toylab.ui.charts import theme
from toylab.ui.pages.lab import view_charts
from toylab.ui.pages.lab.view_base import Shown, plus_minus, settings_of, wide_frame
from toylab.ui.text.words import short

if TYPE_CHECKING:
    from toylab.diagnostics.views import Field
    from toylab.training import Run

SIDE = 396
PER_SIDE = 15
GRID_SHARE = 0.88
"""Of the frame: the labels of the axes stand outside."""
TIMES = (0.02, *(round(0.05 * k, 2) for k in range(1, 21)))
NUM_POINTS = 1024


def compute(runs: "Sequence[Run]") -> "tuple[RunConfig, tuple[float, float, float], tuple[Field, ...]]":
    """The chosen lane's field and the exact one at all `TIMES`."""
    from toylab.diagnostics import views

    run = runs[0]
    frame = wide_frame(run.dataset.sample(1000, seed=1))
    grid = views.square_grid(frame[:2], GRID_SHARE * frame[2], PER_SIDE)
    # All times at once: the slider then waits for nothing.
    return settings_of(run), frame, tuple(views.field(run, t, grid, n=NUM_POINTS) for t in TIMES)


def view(content: "tuple[RunConfig, tuple[float, float, float], tuple[Field, ...]]") -> Shown:
    """Both fields at the time of the slider, and how far apart they are."""
    config, frame, fields = content
    t = st.session_state.get("field_time", 0.5)
    found = fields[TIMES.index(t)] if t in TIMES else fields[len(fields) // 2]
    palette = theme.palette()
    scale = view_charts.arrow_scale(found.oracle, frame[2], PER_SIDE)

    def draw() -> None:
        with st.container(key="view_field", horizontal=True, wrap=False):
            for lane, title, velocities, colour in (
                (
                    "model",
                    f":blue[●] **The net**, β = {config.beta:g}: u(x, t, t)",
                    found.model,
                    palette.chosen,
                ),
                ("oracle", ":green[●] **Exact**: v(x, t)", found.oracle, palette.oracle),
            ):
                with st.container(key=f"view_field_{lane}"):
                    st.markdown(title)
                    view_charts.arrows(
                        found.points,
                        found.grid,
                        velocities,
                        scale,
                        frame,
                        SIDE,
                        colour,
                        palette,
                        key=f"chart_field_{lane}",
                        alt=f"Velocity of the {lane} on a grid at t = {found.t:g} on {config.dataset}",
                    )
        with st.container(key="view_time", horizontal=True, wrap=False, vertical_alignment="center"):
            st.markdown("t = 0, data")
            st.select_slider("Time t", TIMES, 0.5, key="field_time", label_visibility="collapsed")
            st.markdown("t = 1, noise")

    return Shown(
        f"At t = {found.t:g} the net's velocity is off by {plus_minus(found.rms, found.stderr)} (RMS over n = "
        f"{found.n:,} points like the grey), where the exact one is {short(found.exact_rms)}.",
        draw,
    )
