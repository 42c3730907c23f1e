"""Save both lanes of a run as run folders, and say where they are and what to do with them."""

import hashlib
import json
import re
from pathlib import Path

import streamlit as st

from toylab.jobs import Job

FOLDER = Path("runs")


def button(job: Job) -> None:
    """Offer to save a run that has ended."""
    if st.button("Save run", key="save", width="stretch"):
        with st.spinner("Saving"):
            paths = save(job)
        _dialog(paths, changed=bool(job.snapshot.events))


def save(job: Job, folder: Path = FOLDER) -> list[Path]:
    """Write the chosen lane and the baseline below ``folder``; their paths."""
    paths = [folder / _name(run.config.to_dict(), run.step, job.snapshot.events) for run in job.runs()]
    for path, run in zip(paths, job.runs(), strict=True):
        run.save(path)
    return paths


@st.dialog("Saved", width="medium")
def _dialog(paths: list[Path], changed: bool) -> None:
    st.markdown("Two run folders, the chosen lane and its baseline:")
    st.code("\n".join(map(str, paths)), language=None)
    if changed:
        st.markdown(
            "Settings were changed on the way: `history.csv` has β and the learning rate of every row."
        )
    st.markdown("Compare all saved runs:")
    st.code(f"toylab report {FOLDER}", language="bash")
    st.markdown("Open one in Python:")
    st.code(f'import toylab as tl\n\nrun = tl.load("{paths[0]}")\nrun.sample(4096)', language="python")


def _name(settings: dict, step: int, events: tuple) -> str:
    """Readable, and different for whatever differs: a run never overwrites another one."""
    digest = hashlib.sha256(json.dumps([settings, step, events], sort_keys=True).encode()).hexdigest()[:6]
    name = (
        f"{settings['dataset']}-beta{settings['beta']:g}-{settings['proxy']}-seed{settings['seed']}-{digest}"
    )
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)
