"""What Compare compares: the runs to choose from, the chosen ones with their letters, and the pinned baseline."""

import hashlib
from collections.abc import Sequence
from functools import partial

import streamlit as st

from toylab.storage.cache import report_internal
from toylab.ui import session
from toylab.ui.charts.compare_charts import LETTERS
from toylab.ui.pages.compare import comparing
from toylab.ui.pages.compare.comparing import Entry
from toylab.ui.runs import importing, shelf
from toylab.ui.text import plain
from toylab.ui.widgets import downloads
from toylab.ui.widgets.parts import wait

MAX_CHOSEN = len(LETTERS)
COUNTS = (1_024, 4_096, 16_384)
DEFAULT_COUNT = 4_096


def available() -> list[Entry]:
    """This tab's runs, then imports without parameters, then the run that comes with the app."""
    own = [comparing.entry_of(kept) for kept in shelf.finished()]
    imports = [comparing.entry_of_import(import_id, imported) for import_id, imported in shelf.imports()]
    return [*own, *imports, *comparing.packaged()]


def choose(entries: Sequence[Entry]) -> tuple[dict[str, Entry], str]:
    """Draw the choice; (letter -> run, in the order of the letters) and the letter of the baseline."""
    by_id = {entry.id: entry for entry in entries}
    _keep_valid(by_id, default_choice(entries))
    names = {entry.id: entry.title for entry in entries}
    st.multiselect(
        f"Runs, at most {MAX_CHOSEN}",
        list(by_id),
        format_func=names.__getitem__,
        key="compare_runs",
        max_selections=MAX_CHOSEN,
        placeholder="Choose runs",
        persist_state="session",
        select_all=False,
    )
    chosen = {letter: by_id[run_id] for run_id, letter in letters().items()}
    if not chosen:
        return {}, ""
    held = {entry.id: letter for letter, entry in chosen.items()}
    if st.session_state.get("compare_baseline") not in held:
        st.session_state["compare_baseline"] = next(iter(held))
    with st.container(key="compare_controls", horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Baseline",
            list(held),
            format_func=lambda run_id: f"{held[run_id]}: {by_id[run_id].title}",
            key="compare_baseline",
            width=360,
            filter_mode=None,
            persist_state="session",
        )
        st.selectbox(
            "Samples per score",
            COUNTS,
            COUNTS.index(DEFAULT_COUNT),
            format_func="{:,}".format,
            key="compare_count",
            width=150,
            filter_mode=None,
            persist_state="session",
        )
        with st.popover("Import"):
            _importer()
        with st.popover("Export or remove"):
            _manager()
    return chosen, held[st.session_state["compare_baseline"]]


def default_choice(entries: Sequence[Entry]) -> list[str]:
    """The last runs of the newest run's data; the packaged pair where there is no other."""
    own = [entry for entry in entries if entry.origin != "packaged"] or list(entries)
    newest = own[-1].config
    alike = [
        entry
        for entry in own
        if (entry.config.dataset, entry.config.dataset_options) == (newest.dataset, newest.dataset_options)
    ]
    return [entry.id for entry in alike[-MAX_CHOSEN:]]


def _keep_valid(by_id: dict[str, Entry], default: list[str]) -> None:
    """Forget runs that have gone; as long as nobody chose, new runs come in by themselves."""
    state = st.session_state
    if state.get("compare_runs") in (None, state.get("compare_default")):
        state["compare_runs"] = default
    state["compare_default"] = default
    state["compare_runs"] = [run_id for run_id in state["compare_runs"] if run_id in by_id][:MAX_CHOSEN]


def letters(page: str = "compare") -> dict[str, str]:
    """id -> letter of the chosen runs: who stays keeps letter and colour, who comes takes the first free one."""
    chosen = st.session_state[f"{page}_runs"]
    held = {i: letter for i, letter in st.session_state.get(f"{page}_letters", {}).items() if i in chosen}
    free = [letter for letter in LETTERS if letter not in held.values()]
    for run_id in chosen:
        if run_id not in held:
            held[run_id] = free.pop(0)
    st.session_state[f"{page}_letters"] = held
    return dict(sorted(held.items(), key=lambda item: item[1]))


def _importer() -> None:
    """Take files of our own export; what cannot be believed is one line."""
    st.markdown(
        "A run folder as zip, or settings.json with history.csv (and samples.npz), as the Lab exports them."
    )
    number = st.session_state.setdefault("compare_upload", 0)
    files = st.file_uploader(
        "Files",
        ["zip", "json", "csv", "npz"],
        accept_multiple_files=True,
        key=f"compare_upload_{number}",
        max_upload_size=importing.MAX_UPLOAD_MB,
        label_visibility="collapsed",
    )
    if files and st.button("Import these files", key="compare_import", type="primary"):
        st.session_state["compare_notice"] = _import([(file.name, file.getvalue()) for file in files])
        st.session_state["compare_upload"] = number + 1  # a fresh uploader: these files are done with
        st.rerun()


def _import(files: Sequence[tuple[str, bytes]]) -> tuple[bool, str]:
    """Read and keep; (whether it went well, one line)."""
    digest = hashlib.sha256(b"".join(content for _, content in files)).hexdigest()
    task = partial(importing.read_files, tuple(files))
    try:
        found = wait(session.compute("import", (digest, *(name for name, _ in files)), task), "Checking")
    except ValueError as error:
        return False, f"Not imported: {plain(str(error), 300)}"
    except Exception as error:
        return False, f"Not imported: {report_internal(error)}"
    ids = [
        shelf.keep(one.run, shelf.label_of(one.run), "imported").id
        if one.run is not None
        else shelf.keep_import(one)
        for one in found
    ]
    old = st.session_state.get("compare_runs", [])
    kept = [run_id for run_id in old if not run_id.startswith("packaged")] if len(ids) > 1 else list(old)
    st.session_state["compare_wanted"] = list(dict.fromkeys([*kept, *ids]))[-MAX_CHOSEN:]
    bare = sum(one.run is None for one in found)
    tail = " Without parameters they have curves and samples, and no new score." if bare else ""
    return True, f"Imported {len(found)} run{'s' if len(found) != 1 else ''}.{tail}"


def wish() -> None:
    """Choose what was just imported; before the widgets are drawn."""
    if (wanted := st.session_state.pop("compare_wanted", None)) is not None:
        st.session_state["compare_runs"] = wanted


def _manager() -> None:
    """Export or remove runs of this tab."""
    kept = shelf.finished()
    st.caption(
        f"{len(kept)} of at most {shelf.MAX_RUNS} runs; they go when this tab is closed or loaded anew."
    )
    for run in kept:
        with st.container(key=f"compare_kept_{run.id}", horizontal=True, vertical_alignment="center"):
            st.markdown(plain(run.label), width="stretch")
            if st.button("Export", key=f"compare_export_{run.id}"):
                downloads.dialog([run])
            st.button("Remove", key=f"compare_drop_{run.id}", on_click=shelf.drop, args=(run.id,))
    for import_id, imported in shelf.imports():
        with st.container(key=f"compare_kept_{import_id}", horizontal=True, vertical_alignment="center"):
            st.markdown(f"{plain(shelf.name_of(imported.config))} \\(imported\\)", width="stretch")
            st.button("Remove", key=f"compare_drop_{import_id}", on_click=shelf.drop, args=(import_id,))
