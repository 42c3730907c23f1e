"""The buttons Save run and Export of a run, each with its dialog: folders on the server's disk, files to download."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import streamlit as st

from toylab.formatting import file_size
from toylab.storage.cache import report_internal
from toylab.storage.untrusted import with_place
from toylab.ui import session
from toylab.ui.jobs import TrainingJob
from toylab.ui.runs import export, files
from toylab.ui.runs.entry import Entry
from toylab.ui.text import plain
from toylab.ui.widgets.parts import wait


def save_button(job: TrainingJob) -> None:
    """Offer to save the lanes of a job that has ended."""
    if st.button("Save run", key="save", width="stretch"):
        try:
            with st.spinner("Saving"):
                paths = export.save(job.runs())
        except (OSError, ValueError) as error:
            # A full or read-only disk: the run is still there, and can be saved again.
            st.error(f"Not saved: {with_place(error)}")
        else:
            _saved(paths, changed=bool(job.snapshot.events))


@st.dialog("Saved", width="medium")
def _saved(paths: list[Path], changed: bool) -> None:
    st.markdown("Two run folders, the chosen lane and its baseline:")
    st.code("\n".join(map(str, paths)), language=None)
    if changed:
        st.markdown(
            "Settings were changed during training: `config.json` has the changes and their steps, and the report "
            "lists these runs separately."
        )
    st.markdown("Compare all saved runs:")
    st.code(f"toylab report {files.RUNS}", language="bash")
    st.markdown("Open one in Python:")
    st.code(f'import toylab as tl\n\nrun = tl.load("{paths[0]}")\nrun.sample(4096)', language="python")


def button(runs: Sequence[Entry], key: str = "export") -> None:
    """Offer to export ``runs``, whose parameters are here; nothing is made before the dialog is open."""
    if st.button("Export", key=key, disabled=not runs, width="stretch"):
        dialog(runs)


@st.dialog("Export", width="medium")
def dialog(runs: Sequence[Entry]) -> None:
    """Files of one of ``runs`` to download, the last by default."""
    chosen = runs[-1]
    if len(runs) > 1:
        labels = {run.id: run.label for run in runs}
        picked = st.radio(
            "Run", list(labels), len(runs) - 1, key="export_run", format_func=lambda i: plain(labels[i])
        )
        chosen = next(run for run in runs if run.id == picked)
    assert chosen.run is not None
    task = partial(export.make_files, chosen.run, chosen.label)
    try:
        made = wait(session.compute("export", chosen.id, task), "Making the files")
    except (OSError, ValueError) as error:
        st.error(f"Not exported: {plain(with_place(error), 400)}")
        return
    except Exception as error:
        st.error(f"Not exported: {report_internal(error)}")
        return
    with st.container(key="export_files", horizontal=True):
        for index, file in enumerate(made):
            st.download_button(
                file.label,
                file.content,
                file.name,
                file.mime,
                key=f"export_file_{index}",
                on_click="ignore",
                help=f"{file.name}, {file_size(len(file.content))}",
            )
    st.markdown("**Python code of this run**")
    st.code(export.python_code(chosen.run), language="python")
    st.caption(
        "The zip holds a run folder: `tl.load` reads it once unpacked, and Compare imports the zip. "
        "Samples are 4,096 in the method's own number of steps, from the noise of seed 0."
    )
