"""Flags by tyro, with its boxed errors folded into the one line that a terminal or a script can use."""

import contextlib
import io
import re
from collections.abc import Sequence
from typing import TypeVar

import tyro

T = TypeVar("T")

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class UsageError(ValueError):
    """Words on the command line that cannot be understood."""


def parse(command: str, into: type[T], argv: Sequence[str]) -> T:
    """The flags of ``toylab command`` as an instance of the dataclass ``into``; its docstring heads the help.

    Raises:
        UsageError: an unknown flag, a missing or a bad value; one line.
        SystemExit: with code 0, after ``--help``.
    """
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(
                into, prog=f"toylab {command}", args=list(argv), config=(tyro.conf.FlagCreatePairsOff,)
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UsageError(_fold(errors.getvalue())) from None


def peek(argv: Sequence[str], flag: str) -> str | None:
    """The value of ``flag`` before the rest can be parsed: the last ``--flag value`` or ``--flag=value``."""
    value = None
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        if word == flag:
            value = following
        elif word.startswith(f"{flag}="):
            value = word.split("=", 1)[1]
    return value


def _fold(box: str) -> str:
    """The message at the top of tyro's box, and its suggestion, as one line.

    Its title is part of the frame where the terminal knows lines, else a section of its own between dashes.
    """
    sections: list[list[str]] = [[]]
    for line in _COLOUR.sub("", box).splitlines():
        text = line.strip("│╭╮╰╯| ")
        if line.startswith(("╭", "╰")) or not text:
            continue
        if set(text) <= set("─-"):
            sections.append([])
        else:
            sections[-1].append(text)
    if "╭" not in box and len(sections) > 1:
        del sections[0]
    message = re.sub(r"^Missing from [^:]*: (.*) \(required\)$", r"missing \1", " ".join(sections[0]))
    for section in sections[1:]:
        if section and section[0].startswith("Perhaps you meant"):
            message += f"; perhaps you meant {section[1].split()[0]}"
    return message or " ".join(box.split())
