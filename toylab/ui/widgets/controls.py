"""The lab's controls. Their values live in the address bar; `config` makes a valid run of them."""

from typing import Any

import numpy as np
import streamlit as st
from jaxtyping import Float

from toylab.config import RunConfig
from toylab.ui import own_data, session, settings
from toylab.ui.own_data import OwnPoints
from toylab.ui.settings import DEFAULTS
from toylab.ui.widgets import own_editor

# Where 0 and 1 stand on a slider from -1 to 2, and what they mean.
TICKS = """
<div class="beta-ticks" aria-hidden="true">
<span style="left:0">&minus;1</span>
<span style="left:33.33%"><b>0</b>MeanFlow</span>
<span style="left:66.67%"><b>1</b>proxy alone</span>
<span style="left:100%">2</span>
</div>
"""
BETA_HELP = (
    "The tangent of the derivative term mixes the conditional velocity of one data point (exact on average, "
    "noisy) with a proxy of the marginal velocity (less noise). 0 is MeanFlow as published, 1 uses the proxy "
    "alone. The slider acts while training."
)


def config() -> RunConfig:
    """The run that the controls ask for; where there is a `problem`, one of the default data."""
    asked = raw, own = _raw()
    made = st.session_state.get("config_made")
    if made is None or made[0] != asked:  # thousands of points are checked once, not at every picture
        made = st.session_state["config_made"] = asked, settings.read_config(raw, own)
    return made[1]


def problem() -> str:
    """Why the chosen data cannot be trained on, in one line, or nothing."""
    raw, own = _raw()
    return own_data.problem(raw["dataset"], raw, own)


def own_points() -> Float[np.ndarray, "n 2"] | None:
    """The reader's points, also where there are too few of them; None for data without a list of points."""
    raw, own = _raw()
    if raw["dataset"] not in {"draw", "upload"}:
        return None
    return np.empty((0, 2)) if own is None else own.points


def _raw() -> tuple[dict[str, Any], OwnPoints | None]:
    raw = {name: value for name in settings.CONTROLS if (value := st.session_state.get(name)) is not None}
    raw["dataset"] = settings.one_of(raw.get("dataset"), settings.dataset_choices(), "dataset")
    return raw, own_editor.points(raw["dataset"])


OWN_ADDRESS = {
    "dataset": lambda text: settings.one_of(text.replace(" ", "_"), settings.dataset_choices(), "dataset"),
    "proxy": lambda text: settings.one_of(text.replace(" ", "_"), settings.PROXIES, "proxy"),
}
"""Controls whose place in the address is ours: Streamlit would drop a name that is none of its labels."""


def read_address() -> None:
    """Set the controls from the address of a new tab, where Streamlit alone would misread it."""
    beta = st.session_state.get("beta")
    if beta is not None and beta != (snapped := settings.snap_beta(beta)):
        # From the address: a beta between the slider's steps, which no run has.
        st.session_state["beta"] = snapped
    if not session.first_time(session.ADDRESS_READ):
        return
    for key, read in OWN_ADDRESS.items():
        if text := st.query_params.get(key, ""):
            st.session_state[key] = read(text)
    own_editor.restore(st.session_state.get("dataset", ""))


def is_settled() -> bool:
    """Whether the slider shows the beta that a run would have; else it has to be drawn once more."""
    return st.session_state["beta"] == settings.snap_beta(st.session_state["beta"])


def _write_address(key: str) -> None:
    value = st.session_state[key]
    if value == DEFAULTS[key]:
        st.query_params.pop(key, None)
    else:
        st.query_params[key] = value


def dataset_picker() -> None:
    """A radio group in the look of a grid of pictures (see `thumbnails`), and the editor of own data below it."""
    with st.container(key="picker"):
        st.radio(
            "Dataset",
            settings.dataset_choices(),
            format_func=lambda name: name.replace("_", " "),
            key="dataset",
            on_change=_choose_dataset,
            horizontal=True,
            label_visibility="collapsed",
            persist_state="session",
        )
    own_editor.editor(st.session_state["dataset"])


def beta_slider() -> None:
    """The coefficient, acting while training, with the formula that it stands in."""
    with st.container(key="beta_box"):
        st.slider(
            "Coefficient β",
            settings.BETA_MIN,
            settings.BETA_MAX,
            DEFAULTS["beta"],
            settings.BETA_STEP,
            key="beta",
            on_change=_set_beta,
            bind="query-params",
            help=BETA_HELP,
        )
        st.html(TICKS)
        beta = settings.snap_beta(st.session_state.get("beta"))
        st.markdown(
            r"$\text{tangent} = (1-\beta)\,v_\text{cond} + \beta\,\hat v$" + "\n\n"
            rf"$\phantom{{\text{{tangent}}}} = {1 - beta:.2f}\,v_\text{{cond}} {beta:+.2f}\,\hat v$"
        )


def run_settings(*, with_proxy: bool = True) -> None:
    """Seed, steps, learning rate, and the rest behind a button; the proxy where a page does not choose it itself."""
    seed, steps, rate = st.columns(3, gap="small", wrap=False)
    with seed:
        st.number_input("Seed", 0, settings.MAX_SEED, DEFAULTS["seed"], key="seed", bind="query-params")
    with steps:
        _select("Steps", "steps", settings.STEPS, str)
    with rate:
        _select("Learning rate", "lr", settings.LEARNING_RATES, "{:g}".format, on_change=_set_learning_rate)
    with st.popover("Advanced", width="stretch"):
        _select("Batch size", "batch", settings.BATCH_SIZES, str)
        if with_proxy:
            _proxy()
        _select("Largest gap t − r", "gap", settings.MAX_GAPS, "{:g}".format)
        _select("Share of the batch with r = t", "equal", settings.SHARES_EQUAL, "{:g}".format)
        _select("Width of the net", "width", settings.WIDTHS, str)
        st.caption("All but β and the learning rate take effect at the next start.")


def _proxy() -> None:
    st.session_state.setdefault("proxy", DEFAULTS["proxy"])
    st.selectbox(
        "Proxy of the marginal velocity",
        settings.PROXIES,
        format_func=lambda name: name.replace("_", " "),
        key="proxy",
        on_change=_write_address,
        args=("proxy",),
        filter_mode=None,
        persist_state="session",
    )


def _choose_dataset() -> None:
    _write_address("dataset")
    if st.session_state["dataset"] in own_data.KINDS:
        own_editor.show(st.session_state["dataset"])


def _select(label: str, key: str, options: tuple, format_func, on_change=None) -> None:
    st.selectbox(
        label,
        options,
        options.index(DEFAULTS[key]),
        format_func=format_func,
        key=key,
        on_change=on_change or "rerun",
        filter_mode=None,
        bind="query-params",
    )


def _set_beta() -> None:
    session.act(lambda job: job.set(beta=config().beta))


def _set_learning_rate() -> None:
    session.act(lambda job: job.set(learning_rate=config().learning_rate))
