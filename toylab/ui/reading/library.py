"""Methods, proxies and coefficient rules as records: everything that their registries and docstrings say."""

import inspect
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from toylab.coefficients import coefficients
from toylab.methods import AbstractTwoStageMethod, methods
from toylab.proxies import proxies
from toylab.registry import Registry
from toylab.ui.reading.bibtex import Reference, references


class Family(NamedTuple):
    """One kind of thing that can be chosen."""

    kind: str
    registry: Registry
    prefix: str
    """Of its contestants in a comparison."""


FAMILIES = {
    family.kind: family
    for family in (
        Family("methods", methods, ""),
        Family("proxies", proxies, "proxy "),
        Family("rules", coefficients, "rule "),
    )
}


class Member(NamedTuple):
    """One member of a family."""

    name: str
    contestant: str
    summary: str
    body: tuple[str, ...]
    """The docstring's paragraphs between its first line and its first section."""
    arguments: str
    source: str
    """What the docstring says of its source, and how sure it is."""
    formula: str
    changes: tuple[str, ...]
    confidence: str
    unbiased: bool
    uses_beta: bool
    two_stages: bool
    published: Mapping[str, Any]
    adapted: Mapping[str, Any]
    reference: Reference | None
    options: Mapping[str, Any]


def names(kind: str) -> list[str]:
    """The registered names of a kind."""
    return FAMILIES[kind].registry.names()


@cache
def member(kind: str, name: str) -> Member:
    """The record of one member.

    Raises:
        ValueError: no such name; the message names the choices.
    """
    family = FAMILIES[kind]
    entry = family.registry.entry(name)
    build = entry.build
    summary, body, sections = _parts(inspect.getdoc(build) or "")
    return Member(
        name=name,
        contestant=f"{family.prefix}{name}",
        summary=summary,
        body=body,
        arguments=sections.get("Args", ""),
        source=sections.get("Source", ""),
        formula=getattr(build, "formula", ""),
        changes=tuple(getattr(build, "changes", ())),
        confidence=getattr(build, "confidence", ""),
        unbiased=getattr(build, "unbiased", True),
        uses_beta=getattr(build, "uses_beta", False),
        two_stages=isinstance(build, type) and issubclass(build, AbstractTwoStageMethod),
        published=dict(getattr(build, "published", {})),
        adapted=dict(getattr(build, "adapted", {})),
        reference=references().get(entry.citation),
        options=family.registry.options(name),
    )


_SECTION = re.compile(r"^(Args|Raises|Returns|Source):[ \n]", re.MULTILINE)


def _parts(docstring: str) -> tuple[str, tuple[str, ...], dict[str, str]]:
    """First line, paragraphs, and sections by name."""
    pieces = _SECTION.split(docstring)
    sections = {name: inspect.cleandoc(text) for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", pieces[0].strip())]
    return paragraphs[0], tuple(filter(None, paragraphs[1:])), sections


def as_markdown(text: str) -> str:
    r"""Plain text of a docstring as Markdown that shows it as it is: code stays code, all else is escaped.

    >>> as_markdown("``rho`` is a_b*c")
    '`rho` is a\\_b\\*c'
    """
    pieces = re.split(r"(``[^`]+``|`[^`]+`)", text)
    return "".join(
        f"`{piece.strip('`')}`" if index % 2 else re.sub(r"([\\`*_{}\[\]<>#$|~:+\-!^])", r"\\\1", piece)
        for index, piece in enumerate(pieces)
    )
