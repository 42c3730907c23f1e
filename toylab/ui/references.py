"""References: the packaged copy of references.bib, parsed."""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from toylab.ui import ASSETS

ACCENTS = {"'": "\u0301", "`": "\u0300", '"': "\u0308", "^": "\u0302", "~": "\u0303"}
"""LaTeX accents as combining characters."""


class Reference(NamedTuple):
    """One entry, as plain text."""

    key: str
    authors: tuple[str, ...]
    """Names as "Given Family"; ("others",) at the end where the list is cut."""
    title: str
    year: str
    venue: str
    arxiv: str
    """For example 2505.13447; empty where there is none."""

    @property
    def short(self) -> str:
        """As one cites it in a sentence: Lu and Wang 2026; the title where nobody signed."""
        families = [name.rsplit(" ", 1)[-1] for name in self.authors if name != "others"]
        if not families:
            return f"{self.title} {self.year}"
        if len(families) == 2 and "others" not in self.authors:
            return f"{families[0]} and {families[1]} {self.year}"
        return f"{families[0]}{' et al.' if len(self.authors) > 1 else ''} {self.year}"

    @property
    def link(self) -> str:
        """Its address, or nothing."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else ""


@cache
def references() -> dict[str, Reference]:
    """Every reference by its key, in the order of the file."""
    return parse((ASSETS / "references.bib").read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, Reference]:
    """References of a BibTeX text: entries of fields in braces, which may nest.

    Raises:
        ValueError: braces that do not close; the message names the entry.

    >>> parse("@article{a, title = {A {B}}, author = {Doe, J. and Roe, R.}, year = {2020}}")["a"].short
    'Doe and Roe 2020'
    """
    found = {}
    for match in re.finditer(r"^@\w+\{\s*([^,\s]+)\s*,", text, re.MULTILINE):
        key = match[1]
        fields = dict(_fields(_inside(text, text.index("{", match.start()), key), key))
        origin = fields.get("journal", fields.get("booktitle", ""))
        arxiv = re.search(r"arXiv:(\d{4}\.\d{4,5})", f"{origin} {fields.get('note', '')}")
        found[key] = Reference(
            key,
            tuple(_person(name) for name in fields.get("author", "").split(" and ") if name.strip()),
            fields.get("title", ""),
            fields.get("year", ""),
            re.sub(r"^arXiv preprint .*", "", origin),
            arxiv[1] if arxiv else "",
        )
    return found


def _inside(text: str, start: int, key: str) -> str:
    """What stands between the brace at ``start`` and its partner."""
    depth = 0
    for index in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return text[start + 1 : index]
    raise ValueError(f"the entry {key!r} has a brace that does not close")


def _fields(body: str, key: str) -> Iterator[tuple[str, str]]:
    end = 0
    for match in re.finditer(r"(\w+)\s*=\s*\{", body):
        if match.start() < end:  # inside the value before
            continue
        value = _inside(body, match.end() - 1, key)
        end = match.end() + len(value)
        yield match[1].lower(), _plain(value)


def _plain(value: str) -> str:
    accented = re.sub(r"""\{?\\(['`"^~])\{?(\w)\}?\}?""", lambda match: match[2] + ACCENTS[match[1]], value)
    accented = unicodedata.normalize("NFC", accented).replace(r"{\l}", "ł")
    return " ".join(accented.replace("{", "").replace("}", "").replace("--", "–").split())


def _person(name: str) -> str:
    family, _, given = name.strip().partition(",")
    return f"{given.strip()} {family}".strip()
