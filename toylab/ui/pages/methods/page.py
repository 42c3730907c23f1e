"""Methods: what each published fix changes, what it costs, what it needs and what it scored here."""

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from toylab.ui.pages.methods import records
from toylab.ui.pages.methods.records import Member, member, names
from toylab.ui.references import Reference
from toylab.ui.settings import PROXIES
from toylab.ui.text import as_markdown
from toylab.ui.widgets import links
from toylab.ui.widgets.parts import LIST_STYLE, heading

TITLE = "Methods"
ORDER = 50

STYLE = (
    LIST_STYLE
    + """
[class*="st-key-family_"] [role="radiogroup"] > div {
  display: flex; flex-direction: row; align-items: center;
}
[class*="st-key-family_"] label { flex: 0 0 12.6rem; }
[class*="st-key-family_"] [data-testid="stRadioCaption"] { flex: 1; }
[class*="st-key-family_"] [data-testid="stCaptionContainer"] p {
  display: grid; grid-template-columns: 3.4rem 1fr 3.2rem 4.2rem; font-variant-numeric: tabular-nums;
  align-items: baseline;
}
.st-key-family_proxies [data-testid="stCaptionContainer"] p,
.st-key-family_rules [data-testid="stCaptionContainer"] p { grid-template-columns: 5rem 3rem; }
[class*="st-key-about_"] .katex-display { margin: 0.4rem 0; }
/* A long formula breaks at its signs. */
[class*="st-key-about_"] .katex-display > .katex { white-space: normal; }
[class*="st-key-about_"] .katex-display .base { margin: 0.15rem 0; }
@media (max-width: 640px) {
  [class*="st-key-family_"] [role="radiogroup"] > div { flex-wrap: wrap; }
  [class*="st-key-family_"] label { flex: 1 0 100%; }
  [class*="st-key-family_"] [data-testid="stRadioCaption"] { flex: 1 0 100%; padding-left: 1.6rem; }
}
"""
)

PARTS = {
    "tangent": "tangent",
    "target": "target",
    "jacobian": "Jacobian",
    "coupling": "coupling",
    "weighting": "weighting",
    "net": "net",
}
"""What may be changed of vanilla MeanFlow, as it is shown."""
LEAD = {
    "methods": "What each one changes of vanilla MeanFlow, and network evaluations per example and step against it.",
    "proxies": "What stands for the marginal velocity. Cost: in tangent and target of MeanFlow, against vanilla.",
    "rules": r"How β moves while training. Cost: in MeanFlow with the EMA tangent, against vanilla.",
}


def render() -> None:
    """Draw the page."""
    heading(TITLE, "What each published fix changes of MeanFlow, what it costs, and what it scored here")
    for kind, tab in zip(LEAD, st.tabs(["Methods", "Proxies", "Coefficient rules"]), strict=True):
        with tab:
            _family(kind)


def _family(kind: str) -> None:
    st.caption(LEAD[kind])
    left, right = st.columns([0.47, 0.53], gap="large")
    with left, st.container(key=f"family_{kind}"), st.container(key=f"list_{kind}"):
        chosen = st.radio(
            f"Choose one of the {kind}",
            names(kind),
            captions=[_caption(kind, member(kind, name)) for name in names(kind)],
            format_func=lambda name: name.replace("_", " "),
            index=names(kind).index("meanflow") if kind == "methods" else 0,
            key=f"chosen_{kind}",
            label_visibility="collapsed",
        )
    with right, st.container(key=f"about_{kind}"):
        _about(kind, member(kind, chosen))


def _caption(kind: str, item: Member) -> str:
    """Year, what it changes as chips, cost, bias; each a span, which the style sheet puts into columns."""
    parts = [item.reference.year if item.reference else "this lab"]
    if kind == "methods":
        parts.append(" ".join(f":gray-badge[{PARTS[part]}]" for part in item.changes) or "nothing")
    cost = records.relative_cost(item.contestant)
    parts.append("–" if cost is None else f"{cost:.2f}×")
    if kind == "methods":
        parts.append("unbiased" if item.unbiased else "biased")
    return " ".join(f":gray[{part}]" for part in parts)


def _about(kind: str, item: Member) -> None:
    st.header(item.name.replace("_", " "), anchor=False)
    st.markdown(as_markdown(item.summary))
    if item.formula:
        st.latex(item.formula)
    _load_buttons(kind, item)
    if item.body:
        st.markdown(as_markdown(item.body[0]))
    _facts(kind, item)
    _measured(item)
    if item.body[1:] or item.arguments:
        with st.expander("Details and options"):
            for paragraph in item.body[1:]:
                st.markdown(as_markdown(paragraph))
            if item.arguments:
                st.text(item.arguments)


RACE_SETTINGS: dict[str, Callable[[str], dict[str, Any]]] = {
    "methods": lambda name: {"method": name},
    "proxies": lambda name: {"proxy": name, "target": name, "beta": 1.0},
    "rules": lambda name: {"rule": name, "beta": 1.0},
}
"""What the Race is asked for."""


def _load_buttons(kind: str, item: Member) -> None:
    with st.container(horizontal=True):
        if kind != "proxies" or item.name in PROXIES:
            ready = links.has_race()
            if st.button(
                "Load into Race",
                key=f"load_{kind}",
                disabled=not ready,
                help="Against MeanFlow at β = 0, live." if ready else "There is no Race in this version.",
            ):
                links.to_race(RACE_SETTINGS[kind](item.name))
        in_lab = kind == "proxies" and item.name in PROXIES
        if in_lab and st.button(
            "Load into the Lab", key="load_lab", help="As the tangent's proxy, at β = 1."
        ):
            links.to_lab({"proxy": item.name, "beta": 1.0})


def _facts(kind: str, item: Member) -> None:
    cost = records.relative_cost(item.contestant)
    counted = (
        f"{records.costs()[item.contestant]:.2f} network evaluations per example and step, "
        f"{cost:.2f} times vanilla MeanFlow"
        if cost is not None
        else "not counted yet: `python scripts/make_reading_assets.py`"
    )
    lines = {"Cost": counted}
    if kind == "methods":
        lines["Solution"] = (
            "the exact average velocity is a stationary point" if item.unbiased else "biased, as said above"
        )
        lines["β"] = "acts in the tangent" if item.uses_beta else "plays no part"
        if item.two_stages:
            lines["Stages"] = "two inside one budget: first a teacher, then what is learned from it"
        lines["Published with"] = _settings(item.published) or "no settings that carry over to two dimensions"
        lines["In a short budget"] = _settings(item.adapted) or "needs nothing more"
    if item.source:
        lines["On the source"] = as_markdown(" ".join(item.source.split()))
    if item.reference:
        lines["Source"] = _cited(item.reference)
    st.markdown("\n".join(f"- **{name}**: {text}" for name, text in lines.items()))


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}={value}`" for name, value in values.items())


def _cited(reference: Reference) -> str:
    title = as_markdown(f"{reference.short}, {reference.title}")
    return f"{title}, [arXiv:{reference.arxiv}]({reference.link})" if reference.arxiv else title


def _measured(item: Member) -> None:
    """The table of what was measured, or one line on how to measure it."""
    rows = records.measured(item.contestant)
    if not rows:
        st.caption(
            "Not measured yet: " + as_markdown("`toylab compare` does it under one protocol and budget.")
        )
        return
    scored = [row for row in rows if row.score is not None]
    table = [
        "| data | sliced W1 | 95% interval | vanilla | floor | gain on vanilla |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = _cells(row) if row.score is not None else ["diverged", "–", f"{row.vanilla:.3f}", "–", "–"]
        table.append("| " + " | ".join([row.dataset.replace("_", " "), *cells]) + " |")
    st.markdown("\n".join(table))
    if scored:
        nfe = scored[0].nfe
        per_sample = "one evaluation per sample" if nfe == 1 else f"**{nfe} evaluations per sample**"
        seeds = " and ".join(sorted({str(row.seeds) for row in scored}))
        st.caption(
            f"{seeds} seeds, n = {scored[0].n:,}, {per_sample}, equal network evaluations; "
            "gain paired by seed. Floor: what fresh data would score."
        )
    else:
        st.caption(f"All {rows[0].diverged} runs diverged.")


def _cells(row: records.Measured) -> list[str]:
    interval = f"{row.low:.3f} to {row.high:.3f}"
    gain = "–"
    if row.gain is not None:
        mean, low, high = (f"{100 * share:+.0f}" for share in (row.gain, row.gain_low, row.gain_high))
        gain = f"{mean}% ({low} to {high})".replace("-", "−")
    return [f"{row.score:.3f}", interval, f"{row.vanilla:.3f}", f"{row.floor:.3f}", gain]
