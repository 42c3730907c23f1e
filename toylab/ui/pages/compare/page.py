"""Compare: up to six runs, what differs between them, their curves, samples and scores against a baseline."""

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from toylab.formatting import short
from toylab.ui.charts import compare_charts, theme
from toylab.ui.pages.compare import choosing, compare_results, comparing
from toylab.ui.pages.compare.comparing import Entry
from toylab.ui.text import plain

TITLE = "Compare"
ORDER = 30

CURVES = (("loss", "Loss"), ("grad_variance", "Gradient variance"), ("sw1", "Wasserstein distance"))


def render() -> None:
    """Draw the page."""
    choosing.wish()
    with st.container(key="compare"):
        with st.container(key="title"):
            st.title("Compare", anchor=False)
            st.markdown("Runs side by side: what differs, and whether it mattered")
        entries = choosing.available()
        if all(entry.origin == "packaged" for entry in entries):
            st.markdown(
                "No run of your own yet: train one in the Lab and it is here. "
                "Until then, the run that comes with the app."
            )
        chosen, baseline = choosing.choose(entries)
        good, notice = st.session_state.pop("compare_notice", (True, ""))
        if notice:
            (st.success if good else st.error)(notice)
        if not chosen:
            st.markdown("Choose at least one run.")
            return
        _legend(chosen, baseline)
        _settings(chosen, baseline)
        _curves(chosen)
        compare_results.draw(chosen, baseline, st.session_state["compare_count"])


def _legend(chosen: Mapping[str, Entry], baseline: str) -> None:
    with st.container(key="compare_legend", horizontal=True):
        for letter, entry in chosen.items():
            with st.container(key=f"compare_run_{letter}", width="content"):
                st.markdown(f"{plain(entry.title)}{', **baseline**' if letter == baseline else ''}")


def _settings(chosen: Mapping[str, Entry], baseline: str) -> None:
    st.subheader("Settings that differ", anchor=False)
    apart, equal = comparing.differing(list(chosen.values()))
    if len(chosen) == 1:
        st.markdown("One run: choose a second one to see what differs.")
        return
    if apart:
        table = pd.DataFrame.from_dict(
            {name.replace("_", " "): [plain(value) for value in values] for name, values in apart.items()},
            orient="index",
            columns=[f"{letter} (baseline)" if letter == baseline else letter for letter in chosen],
        )
        with st.container(key="compare_settings"):
            st.table(
                table, border="horizontal", width="content", alt="Settings in which the chosen runs differ"
            )
    with st.container(key="compare_equal", horizontal=True, vertical_alignment="center"):
        st.markdown(f"{'All else' if apart else 'Everything'} equal: {len(equal)} settings.", width="content")
        config = next(iter(chosen.values())).config
        with st.popover("Show them", type="tertiary"):
            rows = {name.replace("_", " "): plain(comparing.told(getattr(config, name))) for name in equal}
            st.table(pd.DataFrame({"value": rows}), border="horizontal", hide_header=True)


def _curves(chosen: Mapping[str, Entry]) -> None:
    st.subheader("Curves", anchor=False)
    palette, colours = theme.palette(), theme.series()
    with st.container(key="compare_curves", horizontal=True):
        for column, title in CURVES:
            with st.container(key=f"compare_curve_{column}"):
                st.markdown(f"**{title}**")
                compare_charts.curves(
                    [entry.history for entry in chosen.values()],
                    list(chosen),
                    [f"{letter}: {entry.label}" for letter, entry in chosen.items()],
                    column,
                    _floors(chosen) if column == "sw1" else [],
                    colours,
                    palette,
                    key=f"compare_chart_{column}",
                    alt=_curve_alt(chosen, column, title),
                )


def _floors(chosen: Mapping[str, Entry]) -> list[tuple[float, str]]:
    """The floor of each set of data and number of samples among the runs, with the letters it is of."""
    groups: dict[tuple[str, str, int], list[str]] = {}
    for letter, entry in chosen.items():
        config = entry.config
        groups.setdefault((config.dataset, str(config.dataset_options), config.eval_samples), []).append(
            letter
        )
    floors = []
    for (_, _, count), letters in groups.items():
        values = compare_charts.rows_of(chosen[letters[0]].history, "sw1_floor")["value"]
        if len(values):
            whose = f" {', '.join(letters)}" if len(groups) > 1 else ""
            floors.append(
                (float(values.iloc[-1]), f"floor{whose} {short(float(values.iloc[-1]))}, n = {count:,}")
            )
    return floors


def _curve_alt(chosen: Mapping[str, Entry], column: str, title: str) -> str:
    """The last value of every curve, in words."""
    parts = []
    for letter, entry in chosen.items():
        values = compare_charts.rows_of(entry.history, column)["value"]
        parts.append(f"{letter} ends at {values.iloc[-1]:.4g}" if len(values) else f"{letter} has none")
    return f"{title} over steps: {', '.join(parts)}"


STYLE = """
.st-key-compare h3 { font-size: 1.08rem; padding: 0.9rem 0 0.1rem; letter-spacing: -0.005em; }
.st-key-compare_legend { gap: 0.3rem 1.4rem; flex-wrap: wrap; }
.st-key-compare_legend p, .st-key-compare_squares p { font-size: 0.92rem; }
.st-key-compare table { font-variant-numeric: tabular-nums; }
.st-key-compare th, .st-key-compare td { text-align: left !important; white-space: nowrap; }
.st-key-compare_settings, .st-key-compare_scores, .st-key-compare_differences { overflow-x: auto; max-width: 100%; }
.st-key-compare thead th { padding-left: 5.6px !important; }
/* White on the light blue of the dark theme would be too faint. */
.st-key-compare_runs [data-tag], .st-key-compare_runs [data-tag] * { color: var(--ground) !important; }
.st-key-compare_curves { gap: 1.2rem; }
.st-key-compare_curves > div { min-width: 300px; flex: 1 1 300px; }
.st-key-compare_squares { gap: 1rem; }
.st-key-compare_squares div { max-width: 100%; }
.st-key-compare_squares canvas { max-width: 100%; height: auto !important; }
""" + "".join(
    f"""
.st-key-compare_run_{letter} p::before, .st-key-compare_square_{letter} p::before {{
  content: "{letter}"; display: inline-block; width: 30px; margin-right: 0.5em; padding-bottom: 4px;
  text-align: center; font-weight: 700; color: var(--series{index});
  background: {compare_charts.swatch(dash, index)} bottom / 100% 3px no-repeat;
}}"""
    for index, (letter, dash) in enumerate(zip(compare_charts.LETTERS, compare_charts.DASHES, strict=True))
)
