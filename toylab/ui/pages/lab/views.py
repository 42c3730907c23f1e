"""The views of a run beside the live squares: more steps, trajectories, the velocity field.

Each is computed once per state of a run, on the worker (`session.compute`), and only for a run that stands still.
A view has `compute_...(runs)`, for the worker, and `..._view(content)`, which draws what that gave.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from toylab.config import RunConfig, with_changes
from toylab.formatting import short
from toylab.training import Run
from toylab.ui import scene, session
from toylab.ui.charts import curves, theme
from toylab.ui.components.player import player
from toylab.ui.jobs import JobState, TrainingJob
from toylab.ui.pages.lab import view_charts
from toylab.ui.runs import stored

if TYPE_CHECKING:
    from toylab.diagnostics.views import FewSteps, Field, Trajectories

LIVE, STEPS, PATHS, FIELD = VIEWS = ("One step", "More steps", "Trajectories", "Field")
NOISE_REACH = 3.0
"""A square from -3 to 3 holds 99 % of the noise."""

NUM_SHOWN = 1024
SMALL = 205
"""Side of a small square of the view "More steps": two rows of them, with titles, are as high as a large one."""

SIDE = 396
PER_SIDE = 15
GRID_SHARE = 0.88
"""Side of the grid of arrows as a share of the frame: the labels of the axes stand outside."""
TIMES = (0.02, *(round(0.05 * k, 2) for k in range(1, 21)))
NUM_POINTS = 1024


class Source(NamedTuple):
    """Where a view gets its runs: ``runs`` gives (chosen, baseline), on the worker; ``key`` names their state."""

    key: Hashable
    runs: "Callable[[], Sequence[Run]]"


def control() -> None:
    """The choice of the view, above the squares."""
    with st.container(key="view_bar"):
        st.segmented_control(
            "View",
            VIEWS,
            default=LIVE,
            key="view",
            label_visibility="collapsed",
            required=True,
            bind="query-params",
        )


def source(job: TrainingJob | None) -> Source | str:
    """The runs to look at, or one line that says why there are none; without a job those that come with the app."""
    if job is None:
        return Source("stored", stored.first_runs)
    if job.active and job.snapshot.state is not JobState.PAUSED:
        return "Pause or finish to see this."
    if job.snapshot.samples is None or job.snapshot.state is JobState.FAILED:
        return "This run has nothing to show: it ended before its first step."
    return Source((job.id, job.snapshot.step), job.runs)


class Shown(NamedTuple):
    """What stands in for the live squares and the sentence.

    Attributes:
        sentence: in place of the usual one.
        draw: draws the view; None where the live squares stay.
        pending: whether it is being computed.
    """

    sentence: str
    draw: Callable[[], None] | None = None
    pending: bool = False


def shown(where: Source | str) -> Shown | None:
    """The chosen view of the runs at ``where``; None for the live squares."""
    name = st.session_state.get("view") or LIVE
    if name == LIVE:
        return None
    if isinstance(where, str):
        return Shown(where)
    compute, view = COMPUTED[name]
    future = session.compute(f"view {name}", where.key, lambda: compute(where.runs()))
    if not future.done():
        return Shown("Computing this view; a few seconds the first time.", pending=True)
    if future.cancelled():
        return Shown("This view was not computed; choose it again.")
    error = future.exception()
    if isinstance(error, ValueError):
        return Shown(str(error).split("\n", 1)[0])
    if error is not None:
        # An unexpected error is for the error boundary of the page, which shows it where the view would be.
        return Shown("", partial(_raise, error))
    return view(future.result())


def _raise(error: BaseException) -> None:
    raise error


# More steps.


def compute_steps(runs: Sequence[Run]) -> "tuple[RunConfig, tuple[FewSteps, ...]]":
    """Scores of both lanes, in few and in many steps."""
    from toylab.diagnostics import views  # with SciPy's solvers: 0.4 s that a first page should not wait for

    return settings_of(runs[0]), tuple(views.few_step_samples(run) for run in runs[:2])


def steps_view(content: "tuple[RunConfig, tuple[FewSteps, ...]]") -> Shown:
    """The small squares, and the distance over steps."""
    config, lanes = content
    chosen = lanes[0]
    palette, frame = theme.palette(), scene.square_around(chosen.reference)
    table = _score_table(lanes)
    first = chosen.scores[0]

    def draw() -> None:
        with st.container(key="view_steps", horizontal=True, wrap=False):
            with st.container(key="view_few"):
                for row in range(0, len(chosen.steps), 2):
                    with st.container(key=f"view_few_{row}", horizontal=True, wrap=False):
                        for index in range(row, min(row + 2, len(chosen.steps))):
                            _small_square(config, chosen, index, frame, palette)
            with st.container(key="view_scores"):
                st.markdown(
                    f"**Distance to the data** (sliced W1) :orange[● β = 0] :blue[● β = {config.beta:g}]"
                )
                view_charts.distance_over_steps(
                    table,
                    first.floor,
                    palette,
                    key="chart_steps",
                    alt=f"Distance to the data over steps; chosen lane {_listed(chosen)}",
                )
                st.caption(
                    f"Means over {first.num_keys} sets of n = {first.n:,} samples; bars: one standard error."
                )

    return Shown(steps_sentence(chosen), draw)


def _small_square(
    config: RunConfig, few: "FewSteps", index: int, frame: tuple, palette: theme.Palette
) -> None:
    count = few.steps[index]
    with st.container(key=f"view_few_square_{count}"):
        name = f"{count} step{'s' if count > 1 else ''}"
        st.markdown(f":blue[●] **{name}** · {plus_minus(few.scores[index].value, few.scores[index].stderr)}")
        curves.square(
            few.reference[:NUM_SHOWN],
            few.samples[index][:NUM_SHOWN],
            frame,
            palette.chosen,
            palette,
            key=f"chart_few_{count}",
            alt=f"Samples in {name} over the data of {config.dataset}",
            side=SMALL,
        )


def _score_table(lanes: "Sequence[FewSteps]") -> pd.DataFrame:
    rows = [
        {
            "steps": float(count),
            "value": score.value,
            "low": max(score.value - score.stderr, score.value / 10),
            "high": score.value + score.stderr,
            "lane": lane,
        }
        for lane, few in zip(("chosen", "baseline"), lanes, strict=False)
        for count, score in zip(few.steps, few.scores, strict=True)
        if math.isfinite(score.value)
    ]
    return pd.DataFrame(rows, columns=["steps", "value", "low", "high", "lane"])


def steps_sentence(few: "FewSteps") -> str:
    """One step against many: which is better, where zero is outside the interval of their difference."""
    gain, many = few.gain, few.steps[-1]
    if not math.isfinite(gain.mean):
        return "Some samples are not finite: there is no distance to compare."
    said = f"{plus_minus(abs(gain.mean), (gain.high - gain.low) / 2)}, 95 % interval of {gain.n} pairs"
    if gain.low > 0:
        return f"{many} steps end nearer the data than one (by {said}): the velocity is known better than the jump."
    if gain.high < 0:
        return (
            f"One step ends nearer the data than {many} (by {said}): the jump is known better than the way."
        )
    return (
        f"One step and {many} do not differ beyond noise ({said}): more steps do not mend what is wrong here."
    )


def _listed(few: "FewSteps") -> str:
    pairs = zip(few.steps, few.scores, strict=True)
    return ", ".join(f"{short(score.value)} in {count}" for count, score in pairs)


# Trajectories.


def compute_paths(runs: Sequence[Run]) -> "tuple[RunConfig, Trajectories]":
    """Paths of the chosen lane and of the exact flow."""
    from toylab.diagnostics import views  # as in compute_steps

    return settings_of(runs[0]), views.trajectories(runs[0], (1, 16), n=160, num_times=17)


def paths_view(content: "tuple[RunConfig, Trajectories]") -> Shown:
    """The player, and how far apart the ends are."""
    config, paths = content

    def draw() -> None:
        with st.container(key="view_paths"):
            labels = [f"{count} step{'s' if count > 1 else ''}" for count in paths.steps]
            player(
                (f"The net, β = {config.beta:g}", dict(zip(labels, paths.model, strict=True))),
                ("The exact flow", {"exact": paths.oracle}),
                paths.reference,
                wide_frame(paths.reference),
                theme.palette(),
                key="player",
                alt=f"{len(paths.oracle)} paths from noise to the data of {config.dataset}",
            )

    ends = " or ".join(
        f"{plus_minus(*gap)} ({count} step{'s' if count > 1 else ''})"
        for count, gap in zip(paths.steps, paths.gaps, strict=True)
    )
    return Shown(
        f"From the same noise the net ends {ends} from the end of the exact flow: mean ± standard error, "
        f"n = {len(paths.oracle)}.",
        draw,
    )


# Field.


def compute_field(runs: Sequence[Run]) -> "tuple[RunConfig, tuple[float, float, float], tuple[Field, ...]]":
    """The chosen lane's field and the exact one at all `TIMES`."""
    from toylab.diagnostics import views  # as in compute_steps

    run = runs[0]
    frame = wide_frame(run.dataset.sample(1000, seed=1))
    grid = views.square_grid(frame[:2], GRID_SHARE * frame[2], PER_SIDE)
    # All times at once: the slider then waits for nothing.
    return settings_of(run), frame, tuple(views.field(run, t, grid, n=NUM_POINTS) for t in TIMES)


def field_view(content: "tuple[RunConfig, tuple[float, float, float], tuple[Field, ...]]") -> Shown:
    """Both fields at the time of the slider, and how far apart they are."""
    config, frame, fields = content
    t = st.session_state.get("field_time", 0.5)
    found = fields[TIMES.index(t)] if t in TIMES else fields[len(fields) // 2]
    palette = theme.palette()
    scale = view_charts.arrow_scale(found.oracle, frame[2], PER_SIDE)
    net = f":blue[●] **The net**, β = {config.beta:g}: u(x, t, t)"
    panes = (
        ("model", net, found.model, palette.chosen),
        ("oracle", ":green[●] **Exact**: v(x, t)", found.oracle, palette.oracle),
    )

    def draw() -> None:
        with st.container(key="view_field", horizontal=True, wrap=False):
            for lane, title, velocities, colour in panes:
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


COMPUTED: dict[str, tuple[Callable[..., Any], Callable[..., Shown]]] = {
    STEPS: (compute_steps, steps_view),
    PATHS: (compute_paths, paths_view),
    FIELD: (compute_field, field_view),
}


# What the views share.


def wide_frame(points: np.ndarray) -> tuple[float, float, float]:
    """The square that holds both the data and the noise: centre x, centre y, half side."""
    x, y, half = scene.square_around(points)
    low = np.minimum([x - half, y - half], -NOISE_REACH)
    high = np.maximum([x + half, y + half], NOISE_REACH)
    centre = (low + high) / 2
    return float(centre[0]), float(centre[1]), round(float(np.max(high - low)) / 2, 2)


def plus_minus(value: float, stderr: float) -> str:
    """A value and its standard error, both to the digit at which that error begins: 0.13 ± 0.01."""
    if not math.isfinite(value):
        return "–"
    if not (math.isfinite(stderr) and stderr > 0):
        return short(value)
    digits = max(0, -math.floor(math.log10(stderr)))
    return f"{value:.{digits}f} ± {stderr:.{digits}f}"


def settings_of(run: Run) -> RunConfig:
    """The settings of a run as they stand, live changes included."""
    return with_changes(run.config, run.changes)


STYLE = """
.st-key-stage { position: relative; }
.st-key-view_bar { position: absolute; top: -0.1rem; right: 0; width: auto; z-index: 2; }
.st-key-view_bar button { min-height: 1.8rem; padding: 0.1rem 0.6rem; }
.st-key-view_bar button p { font-size: 0.85rem; }
.st-key-view_steps, .st-key-view_field { gap: 1.1rem; }
.st-key-view_few { flex: 0 1 auto !important; width: auto !important; }
.st-key-view_few .stHorizontalBlock { gap: 0.6rem; }
.st-key-view_steps .stVerticalBlock, .st-key-view_field .stVerticalBlock { gap: 0.25rem; }
.st-key-view_steps p, .st-key-view_field p { font-variant-numeric: tabular-nums; font-size: 0.92rem; }
/* As the live squares: shrunk as pictures, so that they keep their aspect. */
.st-key-view_few div, .st-key-view_field div { max-width: 100%; }
.st-key-view_few :is(canvas, svg), .st-key-view_field :is(canvas, svg) { max-width: 100%; height: auto !important; }
.st-key-view_time { max-width: 866px; margin-top: -0.2rem; }
.st-key-view_time p { font-size: 0.88rem; white-space: nowrap; }
.st-key-view_time > div:not(:has(.stSlider)) { width: auto !important; flex: 0 0 auto !important; }
.st-key-view_time [data-testid="stSliderTickBar"] { display: none; }
@media (max-width: 960px) { .st-key-view_bar { position: static; } }
@media (max-width: 640px) {
  .st-key-view_steps { flex-wrap: wrap; }
  .st-key-view_steps > div { flex: 1 1 100% !important; width: 100% !important; }
  .st-key-view_bar button { padding: 0.1rem 0.4rem; }
}
"""
