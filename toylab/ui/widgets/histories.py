"""Training curves of chosen runs, one chart per column of their histories, and the style of their letters."""

from collections.abc import Mapping

import streamlit as st

from toylab.formatting import short
from toylab.ui.charts import theme
from toylab.ui.charts.compare_charts import LETTERS, curves, rows_of, swatch
from toylab.ui.charts.grammar import DASHES
from toylab.ui.runs.entry import Entry
from toylab.ui.text import plain

FLOOR = "_floor"
"""Ending of the column of floors that belongs to a column of distances."""


def draw(page: str, chosen: Mapping[str, Entry], columns: Mapping[str, str]) -> None:
    """One chart for each of ``columns``: name in the histories -> title."""
    palette, colours = theme.palette(), theme.series()
    with st.container(key=f"{page}_curves", horizontal=True):
        for index, (column, title) in enumerate(columns.items()):
            with st.container(key=f"{page}_curve_{index}"):
                st.markdown(f"**{plain(title)}**")
                curves(
                    [entry.history for entry in chosen.values()],
                    list(chosen),
                    [f"{letter}: {entry.label}" for letter, entry in chosen.items()],
                    column,
                    floors(chosen, column),
                    colours,
                    palette,
                    key=f"{page}_chart_{column}",
                    alt=f"{title} over steps: {_ends(chosen, column)}",
                )


def floors(chosen: Mapping[str, Entry], column: str) -> list[tuple[float, str]]:
    """The floor of each set of data and number of samples among the runs, with the letters that it applies to."""
    groups: dict[tuple[str, str, int], list[str]] = {}
    for letter, entry in chosen.items():
        config = entry.config
        key = config.dataset, str(config.dataset_options), config.eval_samples
        groups.setdefault(key, []).append(letter)
    found = []
    for (_, _, count), letters in groups.items():
        values = [last(chosen[letter], f"{column}{FLOOR}") for letter in letters]
        if known := [value for value in values if value is not None]:
            whose = f" {', '.join(letters)}" if len(groups) > 1 else ""
            found.append((known[0], f"floor{whose} {short(known[0])}, n = {count:,}"))
    return found


def last(entry: Entry, column: str) -> float | None:
    """The last finite value of a column, None where there is none."""
    values = rows_of(entry.history, column)["value"]
    return float(values.iloc[-1]) if len(values) else None


def _ends(chosen: Mapping[str, Entry], column: str) -> str:
    """The last value of every curve, in words."""
    ends = {letter: last(entry, column) for letter, entry in chosen.items()}
    return ", ".join(
        f"{letter} has none" if end is None else f"{letter} ends at {end:.4g}" for letter, end in ends.items()
    )


def tags(*containers: str) -> str:
    """The style that sets a run's letter, with its colour and dashes, before the first line of its containers.

    Args:
        containers: beginnings of their keys; the letter follows.
    """
    rules = []
    for index, (letter, dash) in enumerate(zip(LETTERS, DASHES, strict=True)):
        places = ", ".join(f".st-key-{each}{letter} p:first-of-type::before" for each in containers)
        rules.append(f"""
{places} {{
  content: "{letter}"; display: inline-block; width: 30px; margin-right: 0.5em; padding-bottom: 4px;
  text-align: center; font-weight: 700; color: var(--series{index});
  background: {swatch(dash, index)} bottom / 100% 3px no-repeat;
}}""")
    return "".join(rules)
