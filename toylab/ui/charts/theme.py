"""Colours and the page's style sheet. Lane colours are the same everywhere: a colour means one thing."""

from typing import NamedTuple

import streamlit as st


class Palette(NamedTuple):
    """Okabe-Ito, with the two lanes lightened on a dark ground so that they stay equally visible."""

    data: str
    chosen: str
    baseline: str
    oracle: str
    text: str
    faint: str
    frame: str
    ground: str


LIGHT = Palette("#8A939D", "#0072B2", "#D55E00", "#009E73", "#1B1F24", "#5C6670", "#DDE2E7", "#FFFFFF")
DARK = Palette("#7C8793", "#56B4E9", "#F28A4B", "#2FC298", "#E8ECF0", "#9AA6B2", "#333C46", "#14181D")

SERIES = {
    "light": ("#D55E00", "#0072B2", "#009E73", "#B4558C", "#9A6A00", "#3A8FC2"),
    "dark": ("#F28A4B", "#56B4E9", "#2FC298", "#E39BC3", "#E69F00", "#F0E442"),
}
"""Colours of up to six runs side by side, the first a baseline: Okabe-Ito, darkened on white until it reads."""


def series() -> tuple[str, ...]:
    """The series colours of the theme that the browser shows."""
    return SERIES["dark" if st.context.theme.type == "dark" else "light"]


def palette() -> Palette:
    """The colours of the theme that the browser shows."""
    return DARK if st.context.theme.type == "dark" else LIGHT


def apply(*sheets: str) -> None:
    """Put the style sheet on the page, and those of its pages; call once per run, before anything is drawn."""
    colours = palette()
    names = {
        "chosen": colours.chosen,
        "edge": colours.frame,
        "faint": colours.faint,
        "ground": colours.ground,
    }
    names |= {f"series{index}": colour for index, colour in enumerate(series())}
    root = "".join(f"--{name}: {value};" for name, value in names.items())
    st.html(f"<style>:root {{ {root} }}{_SHEET}{''.join(sheets)}</style>")


_SHEET = """
.stMainBlockContainer { padding: 2.3rem 1.5rem 0.5rem; max-width: 1320px; }
.stAppHeader { background: transparent; height: 2rem; min-height: 2rem; pointer-events: none; }
.stAppHeader * { pointer-events: auto; }
.stVerticalBlock { gap: 0.6rem; }
[data-testid="stMarkdownContainer"], [data-testid="stMarkdownContainer"] p { margin-bottom: 0 !important; }

.st-key-lab { gap: 1.6rem; align-items: flex-start; }
.st-key-stage { min-width: 0; }
.st-key-squares, .st-key-curves { gap: 1.1rem; }
.st-key-squares .stVerticalBlock, .st-key-curves .stVerticalBlock { gap: 0.25rem; }
/* Streamlit fades what a slow run has not drawn again yet: here it would flicker. */
.st-key-stage [data-stale="true"] { opacity: 1 !important; }
.stVegaLiteChart svg, .stVegaLiteChart canvas { background: transparent !important; }
/* A square keeps its numbers and is shrunk as a picture: if it were laid out again, it would lose its aspect. */
.st-key-squares div { max-width: 100%; }
/* Streamlit draws few points as SVG, many on a canvas. */
.st-key-squares :is(canvas, svg.marks) { max-width: 100%; height: auto !important; }

/* Streamlit's own are a little too faint to read: 4.5 to 1 at least. */
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] p { color: var(--faint); opacity: 1; }
[data-testid="stCode"] .token { color: inherit !important; }
[data-testid="stCode"] .token.keyword { color: var(--chosen) !important; }
[data-testid="stCode"] .token.comment { color: var(--faint) !important; }

.st-key-title { gap: 0.1rem; }
.st-key-title h1 { font-size: 1.45rem; padding: 0; letter-spacing: -0.015em; }
.st-key-title p { opacity: 0.7; font-size: 0.86rem; }
.st-key-status p, .st-key-squares p, .st-key-curves p {
  font-variant-numeric: tabular-nums; font-size: 0.92rem;
}
.st-key-sentence { padding: 0.15rem 0 0.3rem; min-height: 2.1rem; }
.st-key-sentence p { font-size: 1.02rem; }

/* White on the light blue of the dark theme would be too faint. */
[data-testid="stBaseButton-primary"]:enabled, [data-testid="stBaseButton-primary"]:enabled * {
  color: var(--ground) !important;
}
.st-key-transport, .st-key-steps_bar { gap: 0.4rem; }
.st-key-transport button, .st-key-steps_bar button { padding: 0.2rem 0.4rem; min-height: 2.2rem; }
.st-key-beta_box { gap: 0.1rem; padding: 0.35rem 0 0.3rem; }
.st-key-beta_box [data-testid="stWidgetLabel"] p { font-size: 1rem; font-weight: 600; }
.st-key-beta_box [data-testid="stSliderThumbValue"] { font-size: 1.05rem; font-weight: 650; }
/* The slider's own ends, shown on hover: ours are there already. */
.st-key-beta_box [data-testid="stSliderTickBar"] { display: none; }
.beta-ticks {
  position: relative; height: 2.5em; margin: -0.85rem 6px 0; font-size: 0.8rem; line-height: 1.25;
}
.beta-ticks span { position: absolute; transform: translateX(-50%); text-align: center; white-space: nowrap; }
.beta-ticks b { display: block; }
.beta-ticks span:has(b)::before {
  content: ""; display: block; width: 2px; height: 7px; margin: -9px auto 2px; background: var(--faint);
}
.st-key-keep_bar { flex-wrap: wrap; gap: 0.4rem; }
.st-key-keep_bar > :has(.stAlert), .st-key-keep_bar > :has(.stSpinner) { flex: 1 0 100%; }
.st-key-rail .stColumn { min-width: 0; }
.st-key-rail .stHorizontalBlock { gap: 0.5rem; }
/* Too narrow for its - and +; the arrow keys do the same. */
.st-key-seed [data-testid^="stNumberInputStep"] { display: none; }

@media (max-width: 960px) {
  .stMainBlockContainer { padding: 2.3rem 0.9rem 2rem; }
  .st-key-lab { flex-wrap: wrap; }
  .st-key-lab > div { width: 100% !important; flex: 1 1 100% !important; }
  .st-key-rail { width: 100% !important; }
}
@media (max-width: 640px) {
  .st-key-picker [role="radiogroup"] { grid-template-columns: repeat(20, 82px); overflow-x: auto; padding: 3px; }
  .st-key-squares { gap: 0.5rem; }
  .st-key-curves { flex-wrap: wrap; }
  .st-key-curves > div { flex: 1 1 100% !important; width: 100% !important; }
}
"""
