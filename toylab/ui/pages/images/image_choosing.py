"""What the page of images shows: the runs to choose from, the chosen ones with their letters, and the importer."""

import hashlib

import streamlit as st

from toylab.storage.cache import report_internal
from toylab.ui import session
from toylab.ui.charts.compare_charts import LETTERS
from toylab.ui.pages.compare import choosing
from toylab.ui.runs import image_files, importing, shelf
from toylab.ui.runs.image_entries import ImageEntry, packaged
from toylab.ui.runs.image_files import Source
from toylab.ui.text import plain
from toylab.ui.widgets.parts import wait

MAX_CHOSEN = len(LETTERS)
FIRST_SEED = 0
"""Of the packaged runs that the page starts with."""


def choose() -> dict[str, ImageEntry | Source]:
    """Draw the choice; letter -> run, or the folder of one that is still to be read."""
    folders = image_files.sources()
    entries: list[ImageEntry | Source] = [*packaged(), *folders, *shelf.images()]
    by_id = {entry.id: entry for entry in entries}
    state = st.session_state
    if state.get("images_runs") is None:
        state["images_runs"] = [entry.id for entry in packaged() if entry.config.seed == FIRST_SEED]
    state["images_runs"] = [run_id for run_id in state["images_runs"] if run_id in by_id][:MAX_CHOSEN]
    with st.container(key="images_controls", horizontal=True, vertical_alignment="bottom"):
        st.multiselect(
            f"Runs, at most {MAX_CHOSEN}",
            list(by_id),
            format_func=lambda run_id: _title(by_id[run_id]),
            key="images_runs",
            max_selections=MAX_CHOSEN,
            placeholder="Choose runs",
            persist_state="session",
            select_all=False,
        )
        with st.popover("Import"):
            _importer()
    if not folders:
        st.caption(
            f"Runs of yours in {image_files.RUNS}/ can be chosen here too: "
            f"`toylab train digits-dit-tiny --beta 0.25 --out {image_files.RUNS}/digits`."
        )
    return {letter: by_id[run_id] for run_id, letter in choosing.letters("images").items()}


def _title(entry: ImageEntry | Source) -> str:
    return entry.title if isinstance(entry, ImageEntry) else entry.label


def _importer() -> None:
    """Take a zipped run folder; what cannot be believed is one line."""
    st.markdown("A run folder on digits or Fashion-MNIST as zip.")
    number = st.session_state.setdefault("images_upload", 0)
    file = st.file_uploader(
        "File",
        ["zip"],
        key=f"images_upload_{number}",
        max_upload_size=importing.MAX_UPLOAD_MB,
        label_visibility="collapsed",
    )
    if file is not None and st.button("Import this file", key="images_import", type="primary"):
        st.session_state["images_notice"] = _import(file.name, file.getvalue())
        st.session_state["images_upload"] = number + 1  # a fresh uploader: this file is done with
        st.rerun()


def _import(name: str, content: bytes) -> tuple[bool, str]:
    """Read and keep; (whether it went well, one line)."""
    digest = hashlib.sha256(content).hexdigest()
    try:
        task = session.compute("image-import", digest, lambda: image_files.read_zip(content))
        entry = wait(task, "Checking")
    except ValueError as error:
        return False, f"Not imported: {plain(f'{name}: {error}', 300)}"
    except Exception as error:
        return False, f"Not imported: {report_internal(error)}"
    shelf.keep_image(entry)
    old = st.session_state.get("images_runs") or []
    st.session_state["images_wanted"] = list(dict.fromkeys([*old, entry.id]))[-MAX_CHOSEN:]
    return True, f"Imported {plain(entry.label)}." + (f" {plain(entry.note, 200)}." if entry.note else "")


def wish() -> None:
    """Choose what was just imported; before the widgets are drawn."""
    if (wanted := st.session_state.pop("images_wanted", None)) is not None:
        st.session_state["images_runs"] = wanted
