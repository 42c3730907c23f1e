"""Parses flags with tyro and reduces its boxed error messages to one line; checks of single flags."""

import contextlib
import io
import re
from collections.abc import Sequence
from typing import TypeVar

import tyro

T = TypeVar("T")

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class UsageError(ValueError):
    """Raised for arguments that cannot be parsed."""


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
        raise UsageError(_one_line(errors.getvalue())) from None


def peek(argv: Sequence[str], flag: str) -> str | None:
    """The last value of ``flag`` (``--flag value`` or ``--flag=value``), before the other arguments can be parsed."""
    value = None
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        if word == flag:
            value = following
        elif word.startswith(f"{flag}="):
            value = word.split("=", 1)[1]
    return value


def check_number(name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError where the value of the flag ``name`` is outside [low, high]."""
    if not low <= value <= high:
        raise ValueError(f"--{name} must lie in [{low}, {high}], got {value}")


def _one_line(box: str) -> str:
    """The message at the top of tyro's box, and its suggestion, as one line.

    The title of the box is part of the frame where the terminal has line characters, otherwise a section of its own
    between dashes.
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
