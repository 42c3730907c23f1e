"""Learn: prepared states of the Lab, when beta matters, what the lab can and cannot say, terms and sources."""

import streamlit as st

from toylab.formatting import percent, short, true_minus
from toylab.ui import session
from toylab.ui.charts.theme import palette
from toylab.ui.pages.learn import glossary, separation
from toylab.ui.pages.learn.cards import CARDS, NUM_SEEDS, SCORE_N, Card, Evidence, evidence
from toylab.ui.references import references
from toylab.ui.text import as_markdown
from toylab.ui.widgets import links
from toylab.ui.widgets.parts import heading

TITLE = "Learn"
ORDER = 70

STYLE = """
[class*="st-key-card_"] h2 { font-size: 1.02rem; padding: 0; }
[class*="st-key-card_"] p { font-size: 0.92rem; }
[class*="st-key-card_"] [data-testid="stCaptionContainer"] { opacity: 1; color: var(--faint); }
[class*="st-key-card_"] [data-testid="stCaptionContainer"] p { font-size: 0.82rem; font-variant-numeric: tabular-nums; }
.st-key-text_minutes, .st-key-text_scope, .st-key-text_sources { max-width: 46rem; }
.st-key-text_minutes li, .st-key-text_scope li, .st-key-text_sources li { margin-bottom: 0.25rem; }
.st-key-text_glossary table { font-size: 0.9rem; }
.st-key-text_glossary td, .st-key-text_glossary th { padding: 0.3rem 0.7rem; vertical-align: baseline; }
@media (max-width: 640px) {
  .st-key-text_glossary thead { display: none; }
  .st-key-text_glossary table, .st-key-text_glossary tbody, .st-key-text_glossary tr { display: block; }
  .st-key-text_glossary tr { border-bottom: 1px solid var(--edge); padding: 0.3rem 0; }
  .st-key-text_glossary td { display: block; border: 0; padding: 0.1rem 0; }
}
"""
COLUMNS = 4


def render() -> None:
    """Draw the page."""
    heading(TITLE, "When β matters, when it does not, and how to see it")
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
    line = (
        "Each card sets all of the Lab's controls; then press Start there. "
        f"Numbers: {NUM_SEEDS} seeds, lowest and highest in brackets, n = {SCORE_N:,}; change paired by seed."
    )
    if session.is_live(session.job()):
        line += " **The run that is training now is stopped.**"
    st.caption(line)
    for first in range(0, len(CARDS), COLUMNS):
        for column, card in zip(st.columns(COLUMNS), CARDS[first : first + COLUMNS], strict=False):
            with column, st.container(border=True, height="stretch", key=f"card_{card.name}"):
                _card(card, evidence()[card.name])


def _card(card: Card, found: Evidence) -> None:
    st.header(card.title, anchor=False)
    st.markdown(_unbroken(f"{card.do} **Look at** {card.look} {card.because}"))
    st.caption(measured_line(found))
    if st.button("Load this", key=f"load_{card.name}"):
        links.to_lab(card.settings)


def measured_line(found: Evidence) -> str:
    """What both lanes scored, with interval and floor."""
    if found.diverged_at:
        first, last = min(found.diverged_at), max(found.diverged_at)
        when = f"at step {first}" if first == last else f"between steps {first} and {last}"
        return f"Every run diverged {when}."
    assert found.change is not None
    mean, low, high = (true_minus(percent(share, 0, sign=True)) for share in found.change)
    return _unbroken(
        f"Sliced W1 after {found.steps:,} steps: {_range(found.baseline)} at β = 0, "
        f"{_range(found.chosen)} at β = {found.beta:g}; floor {short(found.floor or 0)}. "
        f"Change {mean}, 95% interval {low} to {high}."
    )


def _unbroken(text: str) -> str:
    """``text`` in which no line ends inside "β = 1"."""
    return text.replace("β = ", "β\u00a0=\u00a0")


def _range(scores: list[float]) -> str:
    mean = sum(scores) / len(scores)
    return f"{short(mean)} ({short(min(scores))} to {short(max(scores))})"


def _five_minutes() -> None:
    with st.container(key="text_minutes"):
        st.markdown(MINUTES)
        table, law = separation.gains(), separation.measured()["settings"]
        st.markdown("**What β = 1 gains over β = 0 between two modes, by their distance**")
        separation.draw(palette())
        st.caption(
            f"Sliced W1 of one-step samples; 95% intervals over {len(law['seeds'])} seeds; modes of standard deviation "
            f"{separation.STD:g}, batch {law['batch_size']}, {law['steps']:,} steps, n = {law['num_samples']:,}, "
            f"floors {table['floor'].min():.3f} to {table['floor'].max():.3f}. "
            "`python scripts/make_separation_law.py` measures it again."
        )
        st.markdown(WHEN)


MINUTES = """
1. On *Cards* load **β decides** and press **Start**. The orange net is MeanFlow, the blue one uses the proxy.
2. Watch the middle curve, the gradient variance, then the points between the modes.
3. Load **β makes no difference**: there the two nets end up alike.
4. Move β while a run trains: every curve marks where you did.
"""

WHEN = """
**It matters** where noise in the tangent is multiplied: between modes that are far apart.

**It does not** where data hang together: two moons.

**It harms** where modes nearly touch (distance 2 above), and in runs too short for the proxy, an average over about a
thousand steps, to forget the untrained net.

**More than β** helps a better proxy, in the target too: the posterior mean over a batch lowers sliced W1 by 35% (two
spirals) to 71% (eight Gaussians) on six sets at equal cost (5 seeds, n = 131,072; results/six_datasets).

**One run is one seed.** Change the seed before you believe a difference; *Claims* says how many it takes.
"""


def _scope() -> None:
    with st.container(key="text_scope"):
        st.markdown(SCOPE)


SCOPE = """
This is a toy on purpose: two dimensions, a net of three layers, a CPU, seconds per run. In exchange the true velocity,
its noise and its Jacobian are known exactly, and every number can have seeds, an interval and a floor.

**What carries over**
- The identities: how the loss splits into residual, noise and the proxy's error, and what β does to each.
- The mechanism: noise of the tangent is multiplied by the Jacobi factor, which is minus the flow map's Jacobian.
- The objectives themselves: each file is the loss of one example in any dimension, tested against its formula.

**What does not**
- Sizes of effects, the best β, and any ranking of methods: they change with data, batch and budget even here.
- The exact velocity, and a posterior mean over a batch: near exact in two dimensions, useless in many.
- Anything about image quality. Least gradient noise and best samples are at different β even in two dimensions.

**Where we read the paper with care** ([Lu and Wang 2026](https://arxiv.org/abs/2605.09235))
- Three seeds; on swiss roll the spread at β = 0 is 0.058 on a mean of 0.098, and the floor of 0.02 is not printed.
- The abstract of its second version no longer claims the 54%.
- The public 2-D scripts train gaps up to 0.5 and sample with a gap of 1.
- Its formula for the best β takes J = κI with κ > 0; measured, κ is −1.27 and −1.09 (*Claims*, kappa sign).
- Its image run at β = 1 also changed the weight and added an anchor, so β alone does not explain it.
"""


def _glossary() -> None:
    with st.container(key="text_glossary"):
        st.markdown(glossary.as_table())


def _sources() -> None:
    with st.container(key="text_sources"):
        ordered = sorted(references().values(), key=lambda item: (item.year, item.short), reverse=True)
        st.markdown("\n".join(f"- {_entry(item)}" for item in ordered))
        st.caption("From references.bib; *Methods* says which one each method cites.")


def _entry(item) -> str:
    authors = ", ".join(item.authors).replace("others", "and others")
    title = as_markdown(item.title)
    linked = f"[{title}]({item.link})" if item.link else f"*{title}*"
    where = f"arXiv:{item.arxiv}" if item.arxiv else item.venue
    return f"{as_markdown(authors) + '. ' if authors else ''}{linked}. {as_markdown(where)}, {item.year}."
