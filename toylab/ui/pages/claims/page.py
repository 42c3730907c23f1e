"""Claims: what the paper says, what was measured, and the verdict by a stated rule."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import streamlit as st

from toylab.formatting import DASH, counted, number, percent, true_minus
from toylab.storage.untrusted import one_line
from toylab.ui import session
from toylab.ui.charts.theme import palette
from toylab.ui.pages.claims import claim_chart, ledgers
from toylab.ui.references import references
from toylab.ui.text import as_markdown
from toylab.ui.widgets.parts import LIST_STYLE, heading

TITLE = "Claims"
ORDER = 60
POLL_SECONDS = 0.3
PARAMETER = "claim"
"""Where the address names a claim."""

STYLE = (
    LIST_STYLE
    + """
.st-key-list_claims label p { line-height: 1.35; }
.st-key-list_claims [data-testid="stRadioCaption"] { padding-left: 1.6rem; }
"""
)

MARKS = {
    "holds": ":green[● holds]",
    "holds in part": ":blue[◐ holds in part]",
    "does not hold": ":orange[✕ does not hold]",
    "not resolvable at this n": ":gray[○ not resolvable at this n]",
    "not measured": ":gray[– not measured]",
}
"""A shape, a word and a colour for each verdict, from best to unknown."""
HOW = "`toylab claims --budget quick` makes such a ledger; it aims at twenty minutes on two free cores."
FOOTNOTE = (
    "\\* Not the published settings: the verdict is on those named with the claim, not on the paper's runs."
)


def render() -> None:
    """Draw the page."""
    heading(TITLE, "What the paper says, what was measured, and a verdict by a stated rule")
    found = ledgers.sources()
    if not found:
        st.info(f"There is no ledger of claims here. {HOW}")
        return
    source = found[0]
    if len(found) > 1:
        source = st.selectbox("Ledger", found, format_func=lambda item: item.name, key="ledger", width=320)
    future = session.compute("claims", ledgers.fingerprint(source), lambda: ledgers.read(source))
    if not future.done():
        st.fragment(_wait, run_every=POLL_SECONDS)(future)
        return
    try:
        content = future.result()
    except (ValueError, OSError) as error:
        st.error(f"The ledger {source.name} {one_line(error)}. {HOW}")
        return
    _ledger(content, source)


def _wait(future) -> None:
    st.caption("Reading the ledger…")
    if future.done():
        st.rerun(scope="app")


def _ledger(content: Mapping[str, Any], source: ledgers.Source) -> None:
    rows = content["claims"]
    st.caption(
        f"Budget {as_markdown(content['budget'])}: {as_markdown(content['summary'])}. "
        f"Made {as_markdown(content['date'][:10])}, {source.name}."
    )
    counts = Counter(row["verdict"] for row in rows)
    wanted = _filter(counts)
    shown = {row["id"]: row for row in rows if row["verdict"] in wanted}
    if not shown:
        st.info("No claim has such a verdict.")
        return
    left, right = st.columns([0.42, 0.58], gap="large")
    with left, st.container(key="list_claims"):
        chosen = _choose(shown)
    with right, st.container(key="about_claims"):
        _detail(shown[chosen])
    with st.expander("How a verdict is reached"):
        st.markdown(as_markdown(content["rule"]))


def _filter(counts: Counter) -> set[str]:
    """The verdicts to show: those chosen, or all where none is."""
    chosen = st.pills(
        "Verdicts",
        [verdict for verdict in MARKS if counts[verdict]],
        selection_mode="multi",
        format_func=lambda verdict: f"{MARKS[verdict]} {counts[verdict]}",
        key="claims_verdicts",
        label_visibility="collapsed",
    )
    return set(chosen) or set(counts)


def _choose(shown: Mapping[str, Mapping[str, Any]]) -> str:
    """The claim to look at; the address may name it, in a new tab or later."""
    ids = list(shown)
    named = st.query_params.get(PARAMETER)
    if named is not None and named != st.session_state.get("claim_read"):
        st.session_state["claim_read"] = named
        if named in shown:
            st.session_state["claims_chosen"] = named
    if st.session_state.get("claims_chosen") not in shown:
        st.session_state["claims_chosen"] = ids[0]
    if named is not None and named not in shown:
        del st.query_params[PARAMETER]
    return st.radio(
        "Claim",
        ids,
        captions=[_caption(shown[name]) for name in ids],
        format_func=lambda name: as_markdown(shown[name]["statement"]),
        key="claims_chosen",
        on_change=_write_address,
        label_visibility="collapsed",
    )


def _write_address() -> None:
    chosen = st.session_state["claims_chosen"]
    st.query_params[PARAMETER] = st.session_state["claim_read"] = chosen


def _caption(row: Mapping[str, Any]) -> str:
    verdict = MARKS[row["verdict"]] + (" \\*" if row["deviations"] else "")
    if not row["effects"]:
        return verdict
    effect = row["effects"][0]
    return f"{verdict}  ·  claimed {_claimed(effect)}, measured {_value(effect['mean'], effect['unit'])}"


def _detail(row: Mapping[str, Any]) -> None:
    st.header(row["id"].replace("_", " "), anchor=False)
    st.markdown(f"{as_markdown(row['statement'])} **{MARKS[row['verdict']]}.**")
    claim_chart.draw(row, palette())
    if row["effects"]:
        st.markdown(_table(row["effects"]))
        st.caption(
            "Small dots: seeds. Diamond and bar: mean and 95% interval. Orange tick or grey band: what is claimed."
        )
    facts = {"Source": _source(row), "Protocol": as_markdown(row["protocol"])}
    if row["deviations"]:
        facts["Not as published"] = as_markdown("; ".join(row["deviations"]))
    if row["reason"]:
        facts["Not measured"] = as_markdown(row["reason"])
    if row["note"]:
        facts["Note"] = as_markdown(row["note"])
    facts["Runs"] = f"{row['num_runs']:,}"
    st.markdown("\n".join(f"- **{name}**: {text}" for name, text in facts.items()))
    st.code(row["command"], language="bash", wrap_lines=True)
    if row["deviations"]:
        st.caption(FOOTNOTE)


def _source(row: Mapping[str, Any]) -> str:
    reference = references().get(row["citation"])
    text = as_markdown(row["source"])
    return f"[{as_markdown(reference.short)}]({reference.link}), {text}" if reference else text


def _table(effects: list[Mapping[str, Any]]) -> str:
    lines = ["| effect | measured (95%) | behind it | verdict |", "|---|---|---|---|"]
    for effect in effects:
        low, high = (_value(end, effect["unit"]) for end in effect["interval"])
        mean = _value(effect["mean"], effect["unit"])
        cells = [
            as_markdown(effect["name"]),
            f"**{mean}** ({low} to {high}); claimed {_claimed(effect)}",
            _behind(effect),
            MARKS[effect["verdict"]],
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _behind(effect: Mapping[str, Any]) -> str:
    """Seeds, n, floor, and how many seeds the claimed size takes."""
    parts = [counted(len(effect["values"]), "seed"), f"n = {effect['n']:,}"]
    if effect["lost"]:
        parts.insert(1, f"{effect['lost']} lost")
    if effect["floor"] is not None:
        parts.append(f"floor {_value(effect['floor'], 'number')}")
    if effect["seeds_needed"] is not None:
        parts.append(f"needs {effect['seeds_needed']:,} seeds")
    return ", ".join(parts)


def _claimed(effect: Mapping[str, Any]) -> str:
    if effect["range"] is not None:
        low, high = (_value(end, effect["unit"]) for end in effect["range"])
        return f"{low} to {high}"
    return "above 0" if effect["claimed"] is None else _value(effect["claimed"], effect["unit"])


def _value(value: float | None, unit: str) -> str:
    """Three significant digits; per cent for shares."""
    return DASH if value is None else true_minus(percent(value) if unit == "share" else number(value, 3))
