"""Save both lanes of a run as run folders, and say where they are and what to do with them."""

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from toylab.storage.untrusted import with_place
from toylab.ui.jobs import TrainingJob

if TYPE_CHECKING:
    from toylab.training import Run

FOLDER = Path("runs")


def button(job: TrainingJob) -> None:
    """Offer to save a run that has ended."""
    if st.button("Save run", key="save", width="stretch"):
        try:
            with st.spinner("Saving"):
                paths = save(job)
        except (OSError, ValueError) as error:
            # A full or read-only disk: the run is still there, and can be saved again.
            st.error(f"Not saved: {with_place(error)}")
        else:
            _dialog(paths, changed=bool(job.snapshot.events))


def save(job: TrainingJob, folder: Path | None = None) -> list[Path]:
    """Write the chosen lane and the baseline below ``folder``, by default `FOLDER`; their paths."""
    folder = FOLDER if folder is None else folder
    runs = job.runs()
    paths = [folder / _name(run) for run in runs]
    for path, run in zip(paths, runs, strict=True):
        run.save(path)
    return paths


@st.dialog("Saved", width="medium")
def _dialog(paths: list[Path], changed: bool) -> None:
    st.markdown("Two run folders, the chosen lane and its baseline:")
    st.code("\n".join(map(str, paths)), language=None)
    if changed:
        st.markdown(
            "Settings were changed on the way: `config.json` has the changes and their steps, and the report "
            "shows these runs apart."
        )
    st.markdown("Compare all saved runs:")
    st.code(f"toylab report {FOLDER}", language="bash")
    st.markdown("Open one in Python:")
    st.code(f'import toylab as tl\n\nrun = tl.load("{paths[0]}")\nrun.sample(4096)', language="python")


def _name(run: "Run") -> str:
    """Readable, and different for whatever differs: a run never overwrites another one."""
    config = run.config
    told = json.dumps([config.to_dict(), run.step, run.changes], sort_keys=True)
    digest = hashlib.sha256(told.encode()).hexdigest()[:6]
    changed = "-changed" if run.changes else ""
    name = f"{config.dataset}-beta{config.beta:g}{changed}-{config.proxy}-seed{config.seed}-{digest}"
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)
