"""The Export dialog: the files of a run, made when it opens, and the Python that does the same."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from toylab.storage.cache import report_internal
from toylab.storage.untrusted import with_place
from toylab.ui import session
from toylab.ui.runs import export
from toylab.ui.runs.shelf import Finished
from toylab.ui.text import plain
from toylab.ui.widgets.parts import wait


def button(runs: Sequence[Finished], key: str = "export") -> None:
    """Offer to export ``runs``; nothing is made before the dialog is open."""
    if st.button("Export", key=key, disabled=not runs, width="stretch"):
        dialog(runs)


@st.dialog("Export", width="medium")
def dialog(runs: Sequence[Finished]) -> None:
    """Files of one of ``runs`` to download, the last by default."""
    chosen = runs[-1]
    if len(runs) > 1:
        labels = {run.id: run.label for run in runs}
        picked = st.radio(
            "Run", list(labels), len(runs) - 1, key="export_run", format_func=lambda i: plain(labels[i])
        )
        chosen = next(run for run in runs if run.id == picked)
    task = partial(export.make_files, chosen.run, chosen.label)
    try:
        files = wait(session.compute("export", chosen.id, task), "Making the files")
    except (OSError, ValueError) as error:
        st.error(f"Not exported: {plain(with_place(error), 400)}")
        return
    except Exception as error:
        st.error(f"Not exported: {report_internal(error)}")
        return
    with st.container(key="export_files", horizontal=True):
        for index, file in enumerate(files):
            st.download_button(
                file.label,
                file.content,
                file.name,
                file.mime,
                key=f"export_file_{index}",
                on_click="ignore",
                help=f"{file.name}, {_size(len(file.content))}",
            )
    st.markdown("**The Python that does this**")
    st.code(export.python_code(chosen.run), language="python")
    st.caption(
        "The zip is a run folder: `tl.load` reads it once unpacked, and Compare takes it as it is. "
        "Samples are 4,096 in the method's own number of steps, from the noise of seed 0."
    )


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"
