"""Compare: up to six runs in the plane, their settings, curves, samples, and scores against a baseline."""

from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

from toylab.formatting import DASH, short
from toylab.ui.pages.compare import squares
from toylab.ui.runs import shelf, stored
from toylab.ui.runs.comparison import Measure, differences, error_of
from toylab.ui.runs.entry import Entry, Number
from toylab.ui.text import plain
from toylab.ui.widgets import choosing, histories, tables, work
from toylab.ui.widgets.parts import heading

TITLE = "Compare"
ORDER = 30

PAGE = "compare"
"""Beginning of the keys."""
CURVES = {"loss": "Loss", "grad_variance": "Gradient variance", "sw1": "Wasserstein distance"}
MEASURES = (Measure(squares.METRIC, "Distance", error_of),)
COUNTS = (1_024, 4_096, 16_384)
DEFAULT_COUNT = 4_096


def render() -> None:
    """Draw the page."""
    with st.container(key=PAGE):
        heading(TITLE, "Runs side by side: what differs, and whether it mattered")
        entries = [*shelf.entries(), *stored.points_entries()]
        if all(entry.origin == "packaged" for entry in entries):
            st.markdown(
                "No run of your own yet: train one in the Lab and it is here. "
                "Until then, the run that comes with the app."
            )
        chosen = choosing.choose(PAGE, entries, default_choice(entries))
        if not chosen:
            choosing.notice(PAGE)
            st.markdown("Choose at least one run.")
            return
        with st.container(key="compare_controls", horizontal=True, vertical_alignment="bottom"):
            baseline = choosing.baseline(PAGE, chosen)
            count = _count()
            choosing.importer(PAGE, "points")
            choosing.manager(PAGE, "points")
        choosing.notice(PAGE)
        _legend(chosen, baseline)
        st.subheader("Settings that differ", anchor=False)
        tables.settings(PAGE, chosen, baseline)
        st.subheader("Curves", anchor=False)
        histories.draw(PAGE, chosen, CURVES)
        # Every look makes the same list of tasks: those that have ended are remembered.
        work.poll(
            lambda: work.advance(squares.tasks(chosen, count)), partial(_results, chosen, baseline, count)
        )


def default_choice(entries: Sequence[Entry]) -> list[str]:
    """The last runs on the newest run's data; the packaged pair where there is no other."""
    own = [entry for entry in entries if entry.origin != "packaged"] or list(entries)
    newest = own[-1].config
    alike = [
        entry.id
        for entry in own
        if (entry.config.dataset, entry.config.dataset_options) == (newest.dataset, newest.dataset_options)
    ]
    return alike[-choosing.MAX_CHOSEN :]


def _count() -> int:
    """The number of samples behind each key of a score."""
    return st.selectbox(
        "Samples per score",
        COUNTS,
        COUNTS.index(DEFAULT_COUNT),
        format_func="{:,}".format,
        key="compare_count",
        width=150,
        filter_mode=None,
        persist_state="session",
    )


def _legend(chosen: Mapping[str, Entry], baseline: str) -> None:
    with st.container(key="compare_legend", horizontal=True):
        for letter, entry in chosen.items():
            with st.container(key=f"compare_run_{letter}", width="content"):
                st.markdown(f"{plain(entry.title)}{', **baseline**' if letter == baseline else ''}")


def _results(chosen: Mapping[str, Entry], baseline: str, count: int, found: work.Work) -> None:
    """Samples, scores and differences, as they arrive."""
    st.subheader("Samples", anchor=False)
    squares.draw(chosen, found.done)
    st.subheader("Distance to the data", anchor=False)
    numbers, why = squares.scores(chosen, found.done)
    if not found.complete:
        total = sum(entry.scored for entry in chosen.values())
        st.markdown(f"Scoring: {len(numbers)} of {total} runs are done.")
    tables.scores(PAGE, chosen, numbers, why, MEASURES, _more)
    st.caption(
        f"Sliced W1 between n = {count:,} samples and as many fresh data points: mean and standard error over "
        f"{squares.NUM_KEYS} independent pairs, the same for every run; lower is better. Floor: two fresh data "
        "samples. Last training value: from one sample, whose n is in brackets."
    )
    if not found.complete or len(chosen) < 2:
        return  # a difference over some of the seeds would be another one
    apart, without = differences(chosen, numbers, baseline, [squares.METRIC])
    tables.differences(PAGE, chosen, apart, MEASURES)
    if chosen[baseline].id not in numbers:
        st.markdown(f"No differences: the baseline {baseline} has no score.")
    elif without:
        reasons = ", ".join(f"{letter} ({why})" for letter, why in without.items())
        st.markdown(f"No difference for {reasons}.")


def _more(entry: Entry, number: Number | None) -> dict[str, str]:
    """Columns beside the distance: its floor and evaluations, and what training measured last."""
    last = histories.last(entry, "sw1")
    return {
        "Floor": DASH if number is None else short(number.floor),
        "Network evaluations": DASH if number is None else str(number.nfe),
        "Last training value": DASH if last is None else f"{short(last)} (n = {entry.config.eval_samples:,})",
    }


STYLE = f"""{tables.sheet(PAGE)}
.st-key-compare_legend {{ gap: 0.3rem 1.4rem; flex-wrap: wrap; }}
.st-key-compare_legend p, .st-key-compare_squares p {{ font-size: 0.92rem; }}
.st-key-compare_squares {{ gap: 1rem; }}
.st-key-compare_squares div {{ max-width: 100%; }}
.st-key-compare_squares canvas {{ max-width: 100%; height: auto !important; }}
{histories.tags("compare_run_", "compare_square_")}"""
