"""The race: up to four betas, methods or rules side by side on the same data and noise, live."""

from collections.abc import Sequence

import streamlit as st

from toylab.ui import racing, scene, session, settings
from toylab.ui.jobs import MAX_LANES, JobState, Lane, TrainingJob
from toylab.ui.pages.race import race_stage
from toylab.ui.racing import Entrant
from toylab.ui.runs import stored
from toylab.ui.widgets import controls, stage, transport
from toylab.ui.widgets.parts import RAIL_WIDTH, guarded, heading

TITLE = "Race"
ORDER = 10

LIVE_SECONDS = 0.35
"""Time between two pictures while training: seven charts are more than the lab's five."""
ADDRESS = "lanes"

STYLE = """
.st-key-race { gap: 1.6rem; align-items: flex-start; }
.st-key-race_stage { min-width: 0; }
.st-key-race_heads, .st-key-race_squares { gap: 0.75rem; }
.st-key-race_heads .stVerticalBlock, .st-key-race_squares .stVerticalBlock { gap: 0.2rem; }
.st-key-race_squares p { font-size: 0.86rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.st-key-race_curves { gap: 1.1rem; }
.st-key-race_stage [data-stale="true"] { opacity: 1 !important; }
[class*="st-key-race_head_"] button { border-top-width: 4px; }
.st-key-race_head_0 button { border-top-color: var(--series0); }
.st-key-race_head_1 button { border-top-color: var(--series1); }
.st-key-race_head_2 button { border-top-color: var(--series2); }
.st-key-race_head_3 button { border-top-color: var(--series3); }
@media (max-width: 960px) {
  .st-key-race { flex-wrap: wrap; }
  .st-key-race > div { width: 100% !important; flex: 1 1 100% !important; }
}
@media (max-width: 640px) {
  .st-key-race_squares > div, .st-key-race_heads > div { flex: 0 0 calc(50% - 0.4rem) !important; min-width: 0; }
  .st-key-race_squares div, .st-key-race_heads div { max-width: 100%; }
  .st-key-race_squares :is(canvas, svg.marks) { max-width: 100%; height: auto !important; }
  .st-key-race_curves { flex-wrap: wrap; }
  .st-key-race_curves > div { flex: 1 1 100% !important; width: 100% !important; }
}
"""


def render() -> None:
    """Draw the page."""
    controls.read_address()
    _read_requests()
    job = session.job("race")
    with st.container(key="race", horizontal=True, wrap=False):
        with st.container(key="rail", width=RAIL_WIDTH):
            _rail()
        with st.container(key="race_stage"):
            _heads(job)
            _stage(job)


def entrants() -> tuple[Entrant, ...]:
    """The race that this tab has put together."""
    return st.session_state.setdefault("race_entrants", racing.PRESETS[racing.FIRST])


def _read_requests() -> None:
    """Take the race in the address of a new tab, and the contestant that another page sends."""
    if session.first_time("race_read") and (named := racing.from_text(st.query_params.get(ADDRESS, ""))):
        _set(named)
    if wanted := session.collect(session.RACE_LOAD):
        _set((Entrant(beta=0.0), racing.valid(wanted)))
    _write_address()


def _set(made: Sequence[Entrant]) -> None:
    st.session_state["race_entrants"] = tuple(made)[:MAX_LANES]
    for key in [key for key in st.session_state if str(key).startswith("lane")]:
        del st.session_state[key]


def _write_address() -> None:
    text = racing.to_text(entrants())
    if text == racing.to_text(racing.PRESETS[racing.FIRST]):
        st.query_params.pop(ADDRESS, None)
    elif st.query_params.get(ADDRESS) != text:
        st.query_params[ADDRESS] = text


def _rail() -> None:
    heading(TITLE, "The same data, noise and first weights; one thing differs")
    transport.bar("race", _start)
    if notice := session.notice():
        st.error(notice)
    st.selectbox(
        "A race of",
        list(racing.PRESETS),
        index=None,
        placeholder="choose one, or edit the lanes",
        key="race_preset",
        on_change=_choose_preset,
        filter_mode=None,
    )
    controls.dataset_picker()
    controls.run_settings(with_proxy=False)


def _choose_preset() -> None:
    if chosen := st.session_state.get("race_preset"):
        _set(racing.PRESETS[chosen])


def _start() -> None:
    base = controls.config()
    session.submit(lambda: TrainingJob(racing.lanes(base, entrants()), "race"))


def _heads(job: TrainingJob | None) -> None:
    """A button per lane that opens its settings, and one that adds a lane."""
    made = entrants()
    with st.container(key="race_heads", horizontal=True, wrap=True):
        for lane, label in enumerate(racing.labels(made)):
            with (
                st.container(key=f"race_head_{lane}", width=race_stage.SIDE),
                st.popover(label, width="stretch"),
            ):
                _editor(lane, made[lane], job)
        if len(made) < MAX_LANES:
            st.button("Add a lane", key="race_add", on_click=_add)


def _editor(lane: int, entrant: Entrant, job: TrainingJob | None) -> None:
    _select("Method", "method", lane, entrant)
    if entrant.method == racing.MEANFLOW:
        st.slider(
            "Coefficient β",
            settings.BETA_MIN,
            settings.BETA_MAX,
            entrant.beta,
            settings.BETA_STEP,
            key=f"lane{lane}_beta",
            on_change=_change,
            args=(lane, "beta"),
        )
        _select("Proxy in the tangent", "proxy", lane, entrant)
        _select("Target", "target", lane, entrant)
        _select("Rule for β", "rule", lane, entrant)
    if job is not None and job.active:
        st.caption("β acts at once; all else at the next start.")
    if len(entrants()) > 1:
        st.button("Remove this lane", key=f"lane{lane}_remove", on_click=_remove, args=(lane,))


def _select(label: str, field: str, lane: int, entrant: Entrant) -> None:
    options = racing.choices(field)
    st.selectbox(
        label,
        options,
        options.index(getattr(entrant, field)),
        format_func=lambda name: name.replace("_", " "),
        key=f"lane{lane}_{field}",
        on_change=_change,
        args=(lane, field),
        filter_mode=None,
    )


def _change(lane: int, field: str) -> None:
    made = list(entrants())
    raw = made[lane]._asdict() | {field: st.session_state[f"lane{lane}_{field}"]}
    made[lane] = racing.valid(raw)
    st.session_state["race_entrants"] = tuple(made)
    if field == "beta":
        session.act(lambda job: _set_live(job, lane, made[lane]), slot="race")


def _set_live(job: TrainingJob, lane: int, entrant: Entrant) -> None:
    """Beta of a lane that trains; of a lane added since it began there is nothing to change."""
    running = job.snapshot.configs
    if lane < len(running) and running[lane].method == racing.MEANFLOW:
        job.set(lane=lane, beta=entrant.beta)


def _add() -> None:
    _set((*entrants(), Entrant()))


def _remove(lane: int) -> None:
    _set([entrant for index, entrant in enumerate(entrants()) if index != lane])


def _stage(job: TrainingJob | None) -> None:
    seconds = LIVE_SECONDS if session.is_live(job) else None
    if job is not None and job.active and seconds is None:
        seconds = 1.0
    st.fragment(_live, run_every=seconds)(job.snapshot.state if job is not None else None)


@guarded
def _live(drawn_state: JobState | None) -> None:
    """The one fragment that runs by itself; ``drawn_state`` is what the buttons outside were drawn for."""
    job = session.job("race")
    base, heads, problem = controls.config(), racing.labels(entrants()), controls.problem()
    over = job is None or not job.active
    lanes = [Lane(label, base) for label in heads]
    if over and problem:
        race_stage.draw(stage.preview(lanes, problem, controls.own_points()), heads, kind="preview")
        return
    if job is None and tuple(heads) == stored.first_race().labels and base == stored.first_run().config:
        race_stage.draw(stored.first_race(), heads, kind="stored")
        return
    if job is None or (over and not scene.same_data(job.snapshot.config, base)):
        race_stage.draw(stage.preview(lanes), heads, kind="preview")
        return
    snapshot = job.snapshot
    race_stage.draw(snapshot, heads, place=session.manager().place(job))
    if snapshot.state is not drawn_state:
        st.rerun(scope="app")
