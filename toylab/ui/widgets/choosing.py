"""Choice of the runs that a page compares: the list, letters, the pinned baseline, and the importer of files.

Widgets of a page have keys that begin with its name: compare_runs, images_runs.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

from toylab.storage.cache import report_internal
from toylab.ui import session
from toylab.ui.charts.compare_charts import LETTERS
from toylab.ui.runs import files, shelf
from toylab.ui.runs.entry import Entry, Kind
from toylab.ui.text import plain
from toylab.ui.widgets import downloads
from toylab.ui.widgets.parts import wait

MAX_CHOSEN = len(LETTERS)
ACCEPTED = {"points": ["zip", "json", "csv", "npz"], "images": ["zip"]}
"""Endings of files that a page imports."""
EXPLAINED = {
    "points": "A run folder as zip, or settings.json with history.csv (and samples.npz), as the Lab exports them.",
    "images": "A run folder on digits or Fashion-MNIST as zip.",
}


def choose(page: str, entries: Sequence[Entry], default: Sequence[str]) -> dict[str, Entry]:
    """Draw the list; letter -> chosen run, in the order of the letters.

    Args:
        page: beginning of the keys.
        entries: the runs to choose from.
        default: ids of those that are chosen as long as the visitor has chosen none.
    """
    by_id = {entry.id: entry for entry in entries}
    _keep_valid(page, by_id, list(default))
    st.multiselect(
        f"Runs, at most {MAX_CHOSEN}",
        list(by_id),
        format_func=lambda run_id: by_id[run_id].title,
        key=f"{page}_runs",
        max_selections=MAX_CHOSEN,
        placeholder="Choose runs",
        persist_state="session",
        select_all=False,
    )
    return {letter: by_id[run_id] for run_id, letter in _letters(page).items()}


def _keep_valid(page: str, by_id: Mapping[str, Entry], default: list[str]) -> None:
    """Choose imported runs, drop runs that have gone; while the choice is the default, it follows the default."""
    state, key = st.session_state, f"{page}_runs"
    if (wanted := state.pop(f"{page}_wanted", None)) is not None:
        state[key] = wanted
    if state.get(key) in (None, state.get(f"{page}_default")):
        state[key] = default
    state[f"{page}_default"] = default
    state[key] = [run_id for run_id in state[key] if run_id in by_id][:MAX_CHOSEN]


def _letters(page: str) -> dict[str, str]:
    """id -> letter of the chosen runs: those that stay keep letter and colour, a new one takes the first free one."""
    chosen = st.session_state[f"{page}_runs"]
    held = {i: letter for i, letter in st.session_state.get(f"{page}_letters", {}).items() if i in chosen}
    free = [letter for letter in LETTERS if letter not in held.values()]
    for run_id in chosen:
        if run_id not in held:
            held[run_id] = free.pop(0)
    st.session_state[f"{page}_letters"] = held
    return dict(sorted(held.items(), key=lambda item: item[1]))


def baseline(page: str, chosen: Mapping[str, Entry]) -> str:
    """Draw the choice of the baseline; its letter."""
    held = {entry.id: letter for letter, entry in chosen.items()}
    key = f"{page}_baseline"
    if st.session_state.get(key) not in held:
        st.session_state[key] = next(iter(held))
    st.selectbox(
        "Baseline",
        list(held),
        format_func=lambda run_id: f"{held[run_id]}: {chosen[held[run_id]].title}",
        key=key,
        width=360,
        filter_mode=None,
        persist_state="session",
    )
    return held[st.session_state[key]]


def importer(page: str, kind: Kind) -> None:
    """Draw the button Import: it takes files, keeps their runs on the shelf and chooses them."""
    with st.popover("Import"):
        st.markdown(EXPLAINED[kind])
        number = st.session_state.setdefault(f"{page}_upload", 0)
        uploaded = st.file_uploader(
            "Files",
            ACCEPTED[kind],
            accept_multiple_files=True,
            key=f"{page}_upload_{number}",
            max_upload_size=files.MAX_UPLOAD_MB,
            label_visibility="collapsed",
        )
        if uploaded and st.button("Import these files", key=f"{page}_import", type="primary"):
            contents = [(file.name, file.getvalue()) for file in uploaded]
            st.session_state[f"{page}_notice"] = _import(page, kind, contents)
            st.session_state[f"{page}_upload"] = number + 1  # an empty uploader
            st.rerun()


def _import(page: str, kind: Kind, contents: Sequence[tuple[str, bytes]]) -> tuple[bool, str]:
    """Read and keep; (whether it succeeded, one line)."""
    digest = hashlib.sha256(b"".join(content for _, content in contents)).hexdigest()
    task = partial(files.read_files, tuple(contents), kind)
    try:
        key = digest, *(name for name, _ in contents)
        found = wait(session.compute(f"{page}-import", key, task), "Checking")
    except ValueError as error:
        return False, f"Not imported: {plain(str(error), 300)}"
    except Exception as error:
        return False, f"Not imported: {report_internal(error)}"
    ids = [shelf.keep_entry(entry).id for entry in found]
    old = st.session_state.get(f"{page}_runs") or []
    # Several runs are to be compared with one another, not with those that come with the app.
    kept = [run_id for run_id in old if not run_id.startswith("packaged")] if len(ids) > 1 else list(old)
    st.session_state[f"{page}_wanted"] = list(dict.fromkeys([*kept, *ids]))[-MAX_CHOSEN:]
    notes = list(dict.fromkeys(entry.note for entry in found if entry.note))
    what = plain(found[0].label) if len(found) == 1 else f"{len(found)} runs"
    return True, f"Imported {what}." + "".join(f" Not scored: {plain(note, 200)}." for note in notes)


def notice(page: str) -> None:
    """Say whether the last import succeeded, once."""
    good, line = st.session_state.pop(f"{page}_notice", (True, ""))
    if line:
        (st.success if good else st.error)(line)


def manager(page: str, kind: Kind) -> None:
    """Draw the button to export or remove runs of this tab."""
    with st.popover("Export or remove"):
        kept = shelf.entries(kind)
        own = [entry for entry in kept if entry.run is not None]
        st.caption(
            f"{len(own)} of at most {shelf.MAX_RUNS} runs; closing or reloading this tab removes them."
        )
        for entry in kept:
            with st.container(key=f"{page}_kept_{entry.id}", horizontal=True, vertical_alignment="center"):
                mark = " \\(imported\\)" if entry.run is None else ""
                st.markdown(plain(entry.label) + mark, width="stretch")
                if entry.run is not None and st.button("Export", key=f"{page}_export_{entry.id}"):
                    downloads.dialog([entry])
                st.button("Remove", key=f"{page}_drop_{entry.id}", on_click=shelf.drop, args=(entry.id,))
