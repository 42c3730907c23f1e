"""Maps over the plane: where the flow expands, where noise is amplified, where a coefficient helps."""

import json
from concurrent.futures import Future
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from toylab.data import datasets
from toylab.formatting import short
from toylab.ui import scene, session, settings
from toylab.ui.charts import theme
from toylab.ui.pages.maps import map_charts
from toylab.ui.runs import shelf, stored
from toylab.ui.widgets import controls
from toylab.ui.widgets.parts import RAIL_WIDTH, guarded, heading

if TYPE_CHECKING:
    from toylab.diagnostics.maps import Maps
    from toylab.training import Run

TITLE = "Maps"
ORDER = 40

TIMES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Later times that are computed; the slider moves between them without computing anything."""
EXACT_TIMES = (0.25, 0.5, 0.75, 1.0)
"""The exact solution takes an ODE per place and time: fewer of both."""
EARLIER = (0.0, 0.25, 0.5, 0.75)
RESOLUTION, EXACT_RESOLUTION = 44, 28
EXACT, STORED = "exact", "stored"
POLL_SECONDS = 0.4
READING = {
    "expansion": "Bright ridges are separatrices, where neighbours part; the noise grows with |ρ|². β plays no part.",
    "bias": "The exact velocity has no bias as a proxy; a run's proxy is off where its net has not learned.",
    "best_beta": (
        "The β of least noise at each place; −ρ/(1 − ρ) in one dimension: above 1 where the flow expands, "
        "below 0 where it contracts. No single β fits everywhere."
    ),
}
"""What to look for in a field; that of the noise is measured."""

STYLE = """
.st-key-maps { gap: 1.6rem; align-items: flex-start; }
.st-key-maps_stage { min-width: 0; }
.st-key-maps_pair { gap: 1.2rem; }
.st-key-maps_pair div { max-width: 100%; }
.st-key-maps_pair canvas { max-width: 100%; height: auto !important; }
.st-key-maps_stage [data-stale="true"] { opacity: 1 !important; }
@media (max-width: 960px) {
  .st-key-maps, .st-key-maps_pair { flex-wrap: wrap; }
  .st-key-maps > div { width: 100% !important; flex: 1 1 100% !important; }
}
"""


def render() -> None:
    """Draw the page."""
    controls.read_address()
    with st.container(key="maps", horizontal=True, wrap=False):
        with st.container(key="rail", width=RAIL_WIDTH):
            _rail()
        with st.container(key="maps_stage"):
            if problem := controls.problem():
                st.info(problem)
                return
            future = _asked()
            st.fragment(_shown, run_every=None if future.done() else POLL_SECONDS)()


def _rail() -> None:
    heading(TITLE, "Where in the plane the noise is made, and where β helps")
    controls.dataset_picker()
    sources = _sources()
    st.selectbox(
        "Of", list(sources), key="maps_source", format_func=lambda source: sources[source], filter_mode=None
    )
    st.select_slider("Earlier time r", EARLIER, key="maps_r", persist_state="session")
    first, second = st.columns(2, gap="small")
    low, high = settings.BETA_MIN, settings.BETA_MAX
    with first:
        st.number_input("β, left", low, high, 0.0, 0.25, key="maps_beta_a", persist_state="session")
    with second:
        st.number_input("β, right", low, high, 1.0, 0.25, key="maps_beta_b", persist_state="session")
    st.toggle("One colour scale for all times", key="maps_lock", value=True, persist_state="session")


def _sources() -> dict[str, str]:
    """What there are maps of, by id: this tab's runs on the chosen data, the packaged one, the exact solution.

    Nets come first: theirs take a second, the exact solution an ODE per place and time.
    """
    wanted = controls.config()
    if controls.problem():  # then that is a run of the default set, which nobody asked for
        return {EXACT: "the exact solution"}
    own = {
        kept.id: kept.label
        for kept in reversed(shelf.finished())
        if scene.same_data(kept.config, wanted) and kept.config.method == "meanflow"
    }
    stored_too = {}
    if scene.same_data(stored.first_run().config, wanted):
        config = stored.first_run().config
        stored_too = {STORED: f"the net of the stored run, β = {config.beta:g}"}
    return own | stored_too | {EXACT: "the exact solution"}


def _key() -> tuple[str, str, float]:
    r, sources = st.session_state.get("maps_r", 0.0), _sources()
    source = st.session_state.get("maps_source")
    data = json.dumps([controls.config().dataset, controls.config().dataset_options], sort_keys=True)
    return data, source if source in sources else next(iter(sources)), float(r if r in EARLIER else 0.0)


def _betas() -> tuple[float, float]:
    state = st.session_state
    return settings.snap_beta(state.get("maps_beta_a", 0.0)), settings.snap_beta(
        state.get("maps_beta_b", 1.0)
    )


def _asked() -> "Future[Maps]":
    """The maps, computed on the worker; another beta needs no new ones."""
    key = data, source, r = _key()
    if source == STORED and r == 0:
        return session.known("maps", key, stored.first_maps())
    kept = shelf.get(source)
    run = kept.run if kept is not None else None
    return session.compute("maps", key, lambda: _compute(data, source, run, r))


def _compute(data: str, source: str, run: "Run | None", r: float) -> "Maps":
    # Here, since it takes 0.4 s that the first page should not wait for.
    from toylab.diagnostics.maps import maps

    if source == STORED:
        run = stored.first_runs()[0]
    if run is not None:
        return maps(run, r=r, t=[t for t in TIMES if t > r], resolution=RESOLUTION)
    name, options = json.loads(data)
    times = [t for t in EXACT_TIMES if t > r]
    return maps(datasets.create(name, options), r=r, t=times, resolution=EXACT_RESOLUTION)


@guarded
def _shown() -> None:
    future = _asked()
    if not future.done():
        exact = _key()[1] == EXACT
        st.info(
            "Solving the exact flow at every place and time: half a minute, more for data with narrow arms."
            if exact
            else "Evaluating the net and its derivatives at every place and time: some seconds."
        )
        return
    if error := future.exception():
        if not isinstance(error, ValueError):
            raise error  # unexpected: for the error boundary of the page
        st.error(f"No maps: {str(error).splitlines()[0]}")
        return
    left, right = (future.result().with_beta(beta) for beta in _betas())
    if st.session_state.get("maps_drawn") != _key():
        st.session_state["maps_drawn"] = _key()
        st.rerun(scope="app")  # the timer has done its work
    field = st.segmented_control(
        "Shown",
        list(map_charts.FIELDS),
        default="noise",
        format_func=lambda name: map_charts.FIELDS[name],
        key="maps_field",
    )
    field = field or "noise"
    t = st.select_slider(
        "Later time t (0 data, 1 noise)", left.t, left.t[len(left.t) // 2], key=f"maps_t_{left.r:g}"
    )
    layer = left.t.index(t)
    locked = st.session_state.get("maps_lock", True)
    layers = range(len(left.t)) if locked else [layer]
    values = np.concatenate(
        [map_charts.shown(one, field, each).ravel() for one in (left, right) for each in layers]
    )
    scale = map_charts.scale_of(values, field)
    palette = theme.palette()
    with st.container(key="maps_pair", horizontal=True, wrap=False):
        for name, one in (("left", left), ("right", right)):
            with st.container(key=f"maps_{name}"):
                st.markdown(f"**β = {one.beta:g}** · {summary(one, field, layer)}")
                alt = f"{map_charts.FIELDS[field]} over the plane for beta {one.beta:g}, r {one.r:g}, t {t:g}"
                map_charts.heat(one, field, layer, scale, palette, f"chart_maps_{name}", alt)
    st.markdown(sentence(field, left, right, layer))
    with st.expander("In numbers, weighted by where points are"):
        st.dataframe(quantiles(left, right), hide_index=True)


def summary(found: "Maps", field: str, layer: int) -> str:
    """The mean of a field where points are, and what its largest hundredth carries."""
    weights = np.where(found.mask[layer], 0, found.density[layer]).ravel()
    values = getattr(found, field)[layer].ravel()
    known = np.isfinite(values) & (weights > 0)
    mean = float(np.average(values[known], weights=weights[known])) if known.any() else float("nan")
    if field != "noise":
        return f"mean {short(mean)}"
    from toylab.diagnostics.quadratic import top_share  # as in _compute

    share = top_share(values[known], weights[known] / weights[known].sum())
    return f"mean {short(mean)}, {share:.0%} of it from 1% of the points"


def quantiles(left: "Maps", right: "Maps") -> pd.DataFrame:
    """The table that says in numbers what the colours say."""
    tables = [one.quantiles().assign(beta=one.beta) for one in (left, right)]
    table = pd.concat(tables, ignore_index=True).round(3)
    table.insert(0, "beta", table.pop("beta"))
    return table


def sentence(field: str, left: "Maps", right: "Maps", layer: int) -> str:
    """What to look for in this field."""
    if field != "noise":
        return READING[field]
    noise = [
        float(np.nansum(np.where(one.mask[layer], 0, one.density[layer] * one.noise[layer])))
        for one in (left, right)
    ]
    if min(noise) <= 0:
        return "Noise of the regression target at each place, given that the point is there."
    ratio = noise[0] / noise[1]
    words = "less" if ratio > 1 else "more"
    return (
        f"At this t the right map carries {short(max(ratio, 1 / ratio))} times {words} noise than the left, "
        "averaged over where points are."
    )
