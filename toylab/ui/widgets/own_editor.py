"""The editors of own data, behind a button below the dataset picker, and what this tab has made with them."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from toylab.storage.points_file import MAX_POINTS as MAX_IN_FILE
from toylab.storage.points_file import MIN_POINTS
from toylab.ui import own_data, session
from toylab.ui.components import drawpad
from toylab.ui.own_data import HEAVY, MIXTURE, MODES, RADIUS, SPREADS, WEIGHTS, OwnPoints
from toylab.ui.text import plain

MAX_MEGABYTES = 1
PAD, FILE = "drawpad", "own_file"
OPEN = "own_open_"
"""Session key of an editor, with its kind: whether it is open."""


def points(kind: str) -> OwnPoints | None:
    """What was drawn, or uploaded, in this tab."""
    return st.session_state.get("own_" + kind)


def show(kind: str) -> None:
    """Open the editor of ``kind`` at the next run."""
    st.session_state[OPEN + kind] = True


def restore(kind: str) -> None:
    """In a tab that was loaded anew: the points of its own job, which the address does not hold."""
    if kind not in {"draw", "upload"}:
        return
    for job in filter(None, map(session.job, session.SLOTS)):
        config = job.snapshot.configs[0]
        if config.dataset == "points":
            st.session_state["own_" + kind] = own_data.from_options(config.dataset_options, kind)


def editor(kind: str) -> None:
    """The button that opens the editor of ``kind``, and the editor; nothing for a built-in set."""
    if kind not in _EDITORS:
        return
    label, draw = _EDITORS[kind]
    with (
        st.popover(label, key=OPEN + kind, on_change="rerun", width="stretch"),
        st.container(key="own_editor"),
    ):
        draw()


def _draw() -> None:
    if st.session_state.get(OPEN + "draw"):
        own = points("draw")
        drawpad.drawpad(own.strokes if own else (), PAD, _take_strokes)
    _say_error()


def _upload() -> None:
    st.file_uploader(
        "Points in the plane",
        ["csv", "npy", "npz"],
        key=FILE,
        on_change=_take_file,
        max_upload_size=MAX_MEGABYTES,
        help=f"Two columns, {MIN_POINTS} to {MAX_IN_FILE:,} rows; of an npz its only array or the one called points.",
    )
    _say_error()
    if own := points("upload"):
        st.caption(f"{own.note}, centred and scaled to a spread of {own_data.SPREAD:g} per coordinate.")


def _mixture() -> None:
    _slider("Modes", "mix_modes", *MODES, 1)
    radius, spread = st.columns(2, gap="medium", wrap=False)
    with radius:
        _slider("Radius of the circle", "mix_radius", *RADIUS, 0.25)
    with spread:
        _slider("Spread (std)", "mix_spread", *SPREADS, 0.05)
    st.selectbox(
        "Weights",
        WEIGHTS,
        WEIGHTS.index(MIXTURE["mix_weights"]),
        key="mix_weights",
        filter_mode=None,
        help=f"One heavy: {HEAVY} times the weight of each other mode. Ramp: 1, 2, 3, ...",
        bind="query-params",
        persist_state="session",
    )
    if st.session_state["mix_weights"] == "my own":
        st.text_input(
            "Weights, one per mode",
            MIXTURE["mix_own"],
            max_chars=200,
            key="mix_own",
            bind="query-params",
            persist_state="session",
        )
        if line := own_data.problem("mixture", {name: st.session_state[name] for name in MIXTURE}, None):
            st.error(line)


def _slider(label: str, key: str, low: float, high: float, step: float) -> None:
    start = MIXTURE[key]
    st.slider(label, low, high, start, step, key=key, bind="query-params", persist_state="session")


_EDITORS: dict[str, tuple[str, Callable[[], None]]] = {
    "draw": ("Draw points", _draw),
    "upload": ("Upload a file", _upload),
    "mixture": ("Edit the mixture", _mixture),
}


def _take_strokes(raw: Any) -> None:
    _take("draw", lambda: own_data.from_strokes(raw))


def _take_file() -> None:
    file = st.session_state[FILE]
    if file is None:
        st.session_state.pop("own_upload", None)
        st.session_state.pop("own_error", None)
    else:
        _take("upload", lambda: own_data.from_file(file.getvalue(), file.name))


def _take(kind: str, make: Callable[[], OwnPoints]) -> None:
    """Keep what was made, or the line that says why there is nothing; what was there before stays then."""
    st.session_state.pop("own_error", None)
    try:
        st.session_state["own_" + kind] = make()
    except ValueError as error:
        st.session_state["own_error"] = kind, str(error)


def _say_error() -> None:
    kind, line = st.session_state.get("own_error", ("", ""))
    if line and st.session_state.get("dataset") == kind:
        st.error(plain(line, 400))  # it quotes the file
