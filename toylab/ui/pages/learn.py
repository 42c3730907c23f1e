"""Learn: prepared states of the Lab, when beta matters, what the lab can and cannot say, terms and sources."""

import streamlit as st

from toylab.ui import session, words
from toylab.ui.reading import glossary, loading, separation
from toylab.ui.reading.bibtex import references
from toylab.ui.reading.cards import CARDS, Card, Evidence, evidence
from toylab.ui.reading.library import as_markdown
from toylab.ui.theme import palette
from toylab.ui.thumbnails import picture

TITLE = "Learn"
ORDER = 70

STYLE = """
[class*="st-key-card_"] h3 { font-size: 1.02rem; padding: 0; }
[class*="st-key-card_"] p { font-size: 0.92rem; }
[class*="st-key-card_"] [data-testid="stCaptionContainer"] { opacity: 1; color: var(--faint); }
[class*="st-key-card_"] [data-testid="stCaptionContainer"] p { font-size: 0.82rem; font-variant-numeric: tabular-nums; }
.st-key-text_minutes, .st-key-text_scope, .st-key-text_sources { max-width: 46rem; }
.st-key-text_minutes li, .st-key-text_scope li, .st-key-text_sources li { margin-bottom: 0.25rem; }
.st-key-text_glossary table { font-size: 0.9rem; }
.st-key-text_glossary td, .st-key-text_glossary th { padding: 0.3rem 0.7rem; vertical-align: baseline; }
.st-key-text_glossary [data-testid="stMarkdownContainer"] { overflow-x: auto; }
"""
COLUMNS = 3


def render() -> None:
    """Draw the page."""
    st.html(f"<style>{STYLE}</style>")
    parts = {
        "Cards": _cards,
        "Five minutes": _five_minutes,
        "Scope": _scope,
        "Glossary": _glossary,
        "Sources": _sources,
    }
    for tab, draw in zip(st.tabs(list(parts)), parts.values(), strict=True):
        with tab:
            draw()


def _cards() -> None:
    line = "Each card sets all of the Lab's controls. Then press Start there."
    if session.is_live(session.job()):
        line += " The run that is training now is stopped."
    st.caption(line)
    for first in range(0, len(CARDS), COLUMNS):
        for column, card in zip(st.columns(COLUMNS), CARDS[first : first + COLUMNS], strict=False):
            with column, st.container(border=True, height="stretch", key=f"card_{card.name}"):
                _card(card, evidence()[card.name])


def _card(card: Card, found: Evidence) -> None:
    st.subheader(card.title, anchor=False)
    st.markdown(f"{card.do} **Look at** {card.look} {card.because}")
    st.caption(measured_line(found))
    if st.button("Load this", key=f"load_{card.name}", help=f"Opens the Lab: {card.title}"):
        loading.to_lab(card.settings)


def measured_line(found: Evidence) -> str:
    """What both lanes scored, with seeds, n, interval and floor."""
    end = f"{found.seeds} seeds"
    if found.diverged_at:
        first, last = min(found.diverged_at), max(found.diverged_at)
        when = f"at step {first}" if first == last else f"between steps {first} and {last}"
        return f"Measured: every run diverged {when}; {end}."
    assert found.difference is not None
    mean, low, high = (f"{value:+.3f}".replace("-", "−") for value in found.difference)
    return (
        f"Sliced W1 after {found.steps:,} steps: {_range(found.baseline)} at β = 0, "
        f"{_range(found.chosen)} at β = {found.beta:g}, floor {words.short(found.floor or 0)}. "
        f"Difference {mean}, 95% interval {low} to {high}; {end}, lowest and highest in brackets, n = {found.n:,}."
    )


def _range(scores: list[float]) -> str:
    mean = sum(scores) / len(scores)
    return f"{words.short(mean)} ({words.short(min(scores))} to {words.short(max(scores))})"
