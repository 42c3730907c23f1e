"""The sweep: a grid of beta by seed that fills as cells finish."""

import math
from collections.abc import Sequence
from concurrent.futures import Future

import jax
import streamlit as st

from toylab.config import RunConfig
from toylab.experiments.compare import step_seconds
from toylab.formatting import duration, short
from toylab.ui import scene, session, settings
from toylab.ui.charts import theme
from toylab.ui.jobs import JobState, SweepJob, SweepSnapshot, divergence
from toylab.ui.jobs.sweep_job import SCORE_N
from toylab.ui.pages.sweep import sweep_charts
from toylab.ui.pages.sweep.sweep_words import sentence, status_line
from toylab.ui.runs import shelf, stored
from toylab.ui.runs.entry import label_of
from toylab.ui.widgets import controls, transport
from toylab.ui.widgets.parts import RAIL_WIDTH, guarded, heading
from toylab.ui.widgets.stage import Kind

TITLE = "Sweep"
ORDER = 20

LIVE_SECONDS = 0.5
MAX_BETAS, MAX_SEEDS = 11, 5
FIRST, LAST, NUM_BETAS, NUM_SEEDS = 0.0, 1.5, 4, 3
"""The grid that the page starts with."""
MAX_COMPARED = 6
"""Runs that the page Compare shows at once."""
LEAVE = "sweep_leave"
"""Message of the fragment that asks for Compare: only the page itself may go (see `session.show_page`)."""
SCORING_SECONDS = 0.5
"""About what the score of a cell takes, besides its steps."""

STYLE = """
.st-key-sweep { gap: 1.6rem; align-items: flex-start; }
.st-key-sweep_stage { min-width: 0; }
.st-key-sweep_stage [data-stale="true"] { opacity: 1 !important; }
.st-key-sweep_charts { gap: 1.4rem; }
@media (max-width: 960px) {
  .st-key-sweep, .st-key-sweep_charts { flex-wrap: wrap; }
  .st-key-sweep > div, .st-key-sweep_charts > div { width: 100% !important; flex: 1 1 100% !important; }
}
"""


def render() -> None:
    """Draw the page."""
    if session.collect(LEAVE):
        session.show_page("compare")
    controls.read_address()
    job = session.job("sweep")
    with st.container(key="sweep", horizontal=True, wrap=False):
        with st.container(key="rail", width=RAIL_WIDTH):
            _rail(job)
        with st.container(key="sweep_stage"):
            _stage(job)


def betas(first: float, last: float, count: int) -> list[float]:
    """``count`` coefficients from ``first`` to ``last``, evenly spaced; equal ones once.

    >>> betas(0.0, 1.5, 4)
    [0.0, 0.5, 1.0, 1.5]
    """
    if count == 1:
        return [first]
    spaced = [first + (last - first) * index / (count - 1) for index in range(count)]
    return sorted({round(beta, 4) for beta in spaced})


def plan(base: RunConfig, first: float, last: float, count: int, num_seeds: int) -> list[RunConfig]:
    """The cells: seed by seed, so that the first row is finished first."""
    return [
        base.replace(beta=beta, seed=base.seed + seed)
        for seed in range(num_seeds)
        for beta in betas(first, last, count)
    ]


def _cells() -> list[RunConfig]:
    state = st.session_state
    first, last = sorted(
        (settings.snap_beta(state.get("sweep_from", FIRST)), settings.snap_beta(state.get("sweep_to", LAST)))
    )
    count, num_seeds = state.get("sweep_betas", NUM_BETAS), state.get("sweep_seeds", NUM_SEEDS)
    return plan(controls.config(), first, last, int(count), int(num_seeds))


def default_cells() -> list[RunConfig]:
    """The grid that the page starts with."""
    return plan(settings.read_config({}), FIRST, LAST, NUM_BETAS, NUM_SEEDS)


def _rail(job: SweepJob | None) -> None:
    heading(TITLE, "Many runs, one picture: which β, and how sure")
    transport.bar("sweep", _start)
    if notice := session.notice():
        st.error(notice)
    first, last = st.columns(2, gap="small")
    with first:
        st.number_input(
            "β from",
            settings.BETA_MIN,
            settings.BETA_MAX,
            FIRST,
            0.25,
            key="sweep_from",
            persist_state="session",
        )
    with last:
        st.number_input(
            "β to", settings.BETA_MIN, settings.BETA_MAX, LAST, 0.25, key="sweep_to", persist_state="session"
        )
    count, seeds = st.columns(2, gap="small")
    with count:
        st.number_input("Values of β", 1, MAX_BETAS, NUM_BETAS, key="sweep_betas", persist_state="session")
    with seeds:
        st.number_input("Seeds", 1, MAX_SEEDS, NUM_SEEDS, key="sweep_seeds", persist_state="session")
    _estimate(job)
    controls.dataset_picker()
    controls.run_settings()


def _start() -> None:
    session.submit(lambda: SweepJob(_cells()))


def _estimate(job: SweepJob | None) -> None:
    """How long the grid will take, from the time of a step measured on this machine."""
    if (job is not None and job.active) or controls.problem():
        return
    pending = not _speed(_cells()[0]).done()
    st.fragment(_measured, run_every=LIVE_SECONDS if pending else None)(pending)


def _speed(base: RunConfig) -> "Future[tuple[float, int]]":
    """Seconds of a step, and cores, measured once for all settings that make the same program."""
    shape = (scene.program(base), base.batch_size, base.proxy, base.p_equal, base.max_gap, base.width)
    return session.compute("sweep_speed", shape, lambda: _step_seconds(base))


@guarded
def _measured(pending: bool) -> None:
    """The estimate; ``pending`` is what the page was drawn for."""
    cells = _cells()
    base, future = cells[0], _speed(cells[0])
    if pending and future.done():
        st.rerun(scope="app")  # without the timer from now on
    if not future.done():
        st.caption(f"{len(cells)} runs of {base.steps:,} steps. Measuring how long a step takes here …")
        return
    if future.exception() is not None:
        st.caption(f"{len(cells)} runs of {base.steps:,} steps; how long they take is not known.")
        return
    seconds, cores = future.result()
    total = seconds_of(len(cells), base.steps, seconds, cores)
    st.caption(
        f"{len(cells)} runs of {base.steps:,} steps: about {duration(total)} here, besides compiling "
        f"({1e3 * seconds:.2g} ms a step)."
    )


def _step_seconds(config: RunConfig) -> tuple[float, int]:
    return step_seconds(config), jax.local_device_count()


def seconds_of(num_cells: int, steps: int, step_seconds: float, cores: int) -> float:
    """Seconds of a sweep whose cells train ``cores`` at a time and are scored one by one.

    >>> seconds_of(4, 1000, 0.001, 2)
    4.0
    """
    return math.ceil(num_cells / cores) * steps * step_seconds + num_cells * SCORING_SECONDS


def _stage(job: SweepJob | None) -> None:
    seconds = LIVE_SECONDS if job is not None and job.active else None
    st.fragment(_live, run_every=seconds)(job.snapshot.state if job is not None else None)


def _unstarted() -> tuple[SweepSnapshot, Kind]:
    """The stored sweep where it is the one that the controls ask for, else the grid as it will be."""
    cells = tuple(_cells())
    if cells == stored.first_sweep().configs:
        return stored.first_sweep(), "stored"
    return SweepSnapshot(0, JobState.STOPPED, cells, (None,) * len(cells)), "preview"


@guarded
def _live(drawn_state: JobState | None) -> None:
    job, palette = session.job("sweep"), theme.palette()
    snapshot, kind = (job.snapshot, "job") if job is not None else _unstarted()
    cells = sweep_charts.table(snapshot)
    with st.container(key="status"):
        st.progress(snapshot.share_done, text=status_line(snapshot, kind))
    metric = (
        st.segmented_control(
            "Shown",
            list(sweep_charts.METRICS),
            default="sw1",
            format_func=lambda name: sweep_charts.METRICS[name],
            key="sweep_metric",
        )
        or "sw1"
    )
    with st.container(key="sweep_charts", horizontal=True, wrap=False):
        with st.container(key="sweep_grid_box"):
            st.markdown("**Every cell**")
            idle = job is not None and not job.active and snapshot.num_done > 0
            chosen = sweep_charts.grid(cells, metric, palette, "sweep_grid", selectable=idle)
        with st.container(key="sweep_curve_box"):
            st.markdown("**Over β**, means with 95% intervals")
            sweep_charts.over_beta(snapshot, metric, palette, "sweep_over_beta")
    with st.container(key="sweep_sentence"):
        place = session.manager().place(job) if job is not None else 0
        text = sentence(snapshot, kind, place)
        if job is None or not job.active:
            text = controls.problem() or text
        st.markdown(f":red[{text}]" if snapshot.state is JobState.FAILED else text)
    if job is not None and idle:
        _opener(job, chosen)
    if job is not None and snapshot.state is not drawn_state:
        st.rerun(scope="app")


def _opener(job: SweepJob, chosen: int | None) -> None:
    """A finished cell in numbers; clicking the grid chooses one, and so does the list."""
    finished = [cell for cell, score in enumerate(job.snapshot.scores) if score is not None]
    index = finished.index(chosen) if chosen in finished else 0
    cell = st.selectbox(
        "Cell",
        finished,
        index,
        format_func=lambda cell: _name(job.snapshot.configs[cell]),
        key=f"sweep_cell_{finished[index]}",
        filter_mode=None,
    )
    score = job.snapshot.scores[cell]
    if score is None:
        return
    seed = job.snapshot.configs[cell].seed
    alike = [each for each in finished if job.snapshot.configs[each].seed == seed][:MAX_COMPARED]
    with st.container(key="sweep_open", horizontal=True):
        if st.button("Open in Compare", key="sweep_compare"):
            _keep(job, [cell])
        if len(alike) > 1 and st.button(f"Compare every β of seed {seed}", key="sweep_compare_row"):
            _keep(job, alike)
    if score.diverged_at >= 0:
        line = divergence(score.diverged_at, job.snapshot.configs[cell])
        st.markdown(f"{line} Not scored.")
    else:
        st.markdown(
            f"Distance to the data {short(score.sw1)} ± {short(score.stderr)} (n = {SCORE_N:,}, floor "
            f"{short(score.floor)}); loss {short(score.loss)}, gradient variance {short(score.grad_variance)}."
        )


def _keep(job: SweepJob, cells: Sequence[int]) -> None:
    """Put cells on the shelf, and show them side by side."""
    for cell in cells:
        run = job.run(cell)
        shelf.keep(run, label_of(run), "sweep")
    session.leave(LEAVE, True)
    st.rerun(scope="app")


def _name(config: RunConfig) -> str:
    return f"β = {config.beta:g}, seed {config.seed}"
