"""Tables of chosen runs: settings that differ, scores, and differences to a baseline."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import streamlit as st

from toylab.formatting import setting
from toylab.ui.runs.comparison import (
    Difference,
    Measure,
    difference_caption,
    difference_row,
    differing,
)
from toylab.ui.runs.entry import Entry, Number, Numbers
from toylab.ui.text import plain


def settings(page: str, chosen: Mapping[str, Entry], baseline: str) -> None:
    """Settings that differ between the runs, and on a click those that are equal."""
    apart, equal = differing(list(chosen.values()))
    if apart and len(chosen) > 1:
        table = pd.DataFrame.from_dict(
            {name.replace("_", " "): [plain(value) for value in values] for name, values in apart.items()},
            orient="index",
            columns=[f"{letter} (baseline)" if letter == baseline else letter for letter in chosen],
        )
        _draw(f"{page}_settings", table, "Settings in which the chosen runs differ")
    with st.container(key=f"{page}_equal", horizontal=True, vertical_alignment="center"):
        if len(chosen) == 1:
            line = f"One run, {len(equal)} settings: choose a second one to see what differs."
        else:
            line = f"{'The other' if apart else 'All'} {len(equal)} settings are equal."
        st.markdown(line, width="content")
        config = next(iter(chosen.values())).config
        with st.popover("Show them", type="tertiary"):
            rows = {name.replace("_", " "): plain(setting(getattr(config, name))) for name in equal}
            st.table(pd.DataFrame({"value": rows}), border="horizontal", hide_header=True)


def scores(
    page: str,
    chosen: Mapping[str, Entry],
    numbers: Mapping[str, Numbers],
    why: Mapping[str, str],
    measures: Sequence[Measure],
    more: Callable[[Entry, Number | None], Mapping[str, str]] = lambda entry, number: {},
    last: Sequence[Mapping[str, str]] = (),
) -> None:
    """Scores of every run.

    Args:
        page: beginning of the keys.
        chosen: letter -> run.
        numbers: id -> scores, of those that have some.
        why: id -> why there are none.
        measures: the columns.
        more: further columns of a run, from its first score.
        last: rows below those of the runs.
    """
    rows = []
    for letter, entry in chosen.items():
        found = numbers.get(entry.id)
        if found is None:
            cells = {measure.title: "" for measure in measures}
            cells[measures[0].title] = plain(why.get(entry.id, ""), 200)
        else:
            cells = {
                each.title: each.show(found[each.name]) if each.name in found else "–" for each in measures
            }
        first = found.get(measures[0].name) if found is not None else None
        rows.append({"Run": f"{letter}: {plain(entry.label)}", **cells, **more(entry, first)})
    table = pd.DataFrame([*rows, *last]).set_index("Run")
    _draw(f"{page}_scores", table, "Scores of the chosen runs")


def differences(
    page: str,
    chosen: Mapping[str, Entry],
    found: Sequence[Difference],
    measures: Sequence[Measure],
    others: bool = False,
) -> None:
    """Differences to the baseline and how they were taken; nothing where there are none."""
    if not found:
        return
    st.markdown("**Difference to the baseline**")
    rows = [difference_row(difference, chosen, measures) for difference in found]
    alt = "Differences of the scores to the baseline's, with intervals"
    _draw(f"{page}_differences", pd.DataFrame(rows).set_index("Runs"), alt)
    st.caption(difference_caption(found, others))


def _draw(key: str, table: pd.DataFrame, alt: str) -> None:
    with st.container(key=key):
        st.table(table, border="horizontal", width="content", alt=alt)


def sheet(page: str) -> str:
    """The style of a page with these tables and the curves of `histories`."""
    return f"""
.st-key-{page} h3 {{ font-size: 1.08rem; padding: 0.9rem 0 0.1rem; letter-spacing: -0.005em; }}
.st-key-{page} table {{ font-variant-numeric: tabular-nums; }}
.st-key-{page} th, .st-key-{page} td {{ text-align: left !important; white-space: nowrap; }}
.st-key-{page} thead th {{ padding-left: 5.6px !important; }}
.st-key-{page}_settings, .st-key-{page}_scores, .st-key-{page}_differences {{ overflow-x: auto; max-width: 100%; }}
/* White on the light blue of the dark theme would be too faint. */
.st-key-{page}_runs [data-tag], .st-key-{page}_runs [data-tag] * {{ color: var(--ground) !important; }}
.st-key-{page}_curves {{ gap: 1.2rem; }}
.st-key-{page}_curves > div {{ min-width: 270px; flex: 1 1 270px; }}
"""
