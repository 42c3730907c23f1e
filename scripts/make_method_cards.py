"""Write docs/methods.md from the registries: one card per method, proxy and coefficient rule.

    python scripts/make_method_cards.py

Formula, changes, cost and settings are read from the classes; a test compares the page with them.
"""

import re
from collections.abc import Mapping
from inspect import Parameter
from pathlib import Path
from typing import Any

from toylab.ui.pages.methods.records import FAMILIES, Member, member, names, relative_cost
from toylab.ui.text import as_markdown

PATH = Path(__file__).parents[1] / "docs" / "methods.md"
TITLES = {
    "methods": ("Methods", "Objectives. The formula is the loss of a row with r < t; at r = t it is flow matching,"
                " but where the card says otherwise."),
    "proxies": ("Proxies", "Estimates of the marginal velocity, for the tangent (`proxy`) or the target (`target`)."),
    "rules": ("Coefficient rules", "Beta over training, times and points (`coefficient`)."),
}  # fmt: skip
TOP = """# Method cards

Written by `python scripts/make_method_cards.py` from the registries. Cost is in network evaluations per example and
training step, counted off the traced programs; vanilla MeanFlow is 1. What was measured of each, with seeds and
intervals: [results](../results/README.md#every-method-under-one-protocol). Formulas: [theory](theory.md).
"""


def main() -> None:
    """Write the page."""
    PATH.write_text(page(), encoding="utf-8")
    print(PATH)


def page() -> str:
    """The whole page."""
    parts = [TOP]
    for kind in FAMILIES:
        title, text = TITLES[kind]
        parts.append(f"\n## {title}\n\n{text}\n")
        parts += [card(member(kind, name)) for name in names(kind)]
    return "".join(parts)


def card(of: Member) -> str:
    """One member: summary, formula, paragraphs, facts, source."""
    lines = ["", f"### {of.name}", "", _text(of.summary), ""]
    if of.formula:
        lines += ["```math", of.formula, "```", ""]
    for paragraph in of.body:
        lines += [_text(paragraph), ""]
    lines += ["| | |", "|---|---|", *(f"| {label} | {text} |" for label, text in facts(of).items())]
    return "\n".join(lines) + "\n"


def facts(of: Member) -> dict[str, str]:
    """Label -> text for the table of a card."""
    found = {"changes": ", ".join(of.changes)} if of.changes else {}
    if of.confidence:
        found["at the exact solution"] = "stationary" if of.unbiased else "biased"
        found["uses beta"] = "yes" if of.uses_beta else "no"
    if (cost := relative_cost(of.contestant)) is not None:
        found["cost"] = f"{cost:.2f}"
    if of.options:
        found["options"] = ", ".join(f"`{name}{_default(value)}`" for name, value in of.options.items())
    found |= {label: _settings(values) for label, values in (("published with", of.published),
              ("needs, in a short budget", of.adapted)) if values}  # fmt: skip
    if of.confidence:
        found["confidence"] = of.confidence
    if of.source:
        found["source"] = _text(" ".join(of.source.split()))
    return found


def _text(text: str) -> str:
    # Streamlit needs these characters escaped, a Markdown file does not.
    return re.sub(r"\\([:+!^-])", r"\1", as_markdown(text))


def _default(value: Any) -> str:
    # Defaults that are modules (a proxy, a weight) are left out: they are built from settings of their own.
    return (
        f" = {value}" if isinstance(value, (bool, int, float, str)) and value is not Parameter.empty else ""
    )


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name} = {value}`" for name, value in values.items())


if __name__ == "__main__":
    main()
