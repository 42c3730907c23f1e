"""Save both lanes of a run as run folders, and say where they are and what to do with them."""

import re
from pathlib import Path

import streamlit as st

from toylab.jobs import Job

FOLDER = Path("runs")


def button(job: Job) -> None:
    """Offer to save a run that has ended."""
    if st.button("Save run", key="save", width="stretch"):
        with st.spinner("Saving"):
            _dialog(save(job))


def save(job: Job, folder: Path = FOLDER) -> list[Path]:
    """Write the chosen lane and the baseline below ``folder``; their paths."""
    return [run.save(folder / _name(run)) for run in job.runs()]


@st.dialog("Saved")
def _dialog(paths: list[Path]) -> None:
    st.markdown("Two run folders, the chosen lane and its baseline:")
    st.code("\n".join(str(path) for path in paths), language=None)
    st.markdown("Compare all saved runs:")
    st.code(f"toylab report {FOLDER}", language="bash")
    st.markdown("Open one in Python:")
    st.code(f'import toylab as tl\n\nrun = tl.load("{paths[0]}")\nrun.sample(4096)', language="python")


def _name(run) -> str:
    config = run.config
    name = f"{config.dataset}-beta{config.beta:g}-{config.proxy}-step{run.step}-seed{config.seed}"
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)
