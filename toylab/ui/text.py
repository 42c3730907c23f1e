"""Text from files, users and docstrings as Markdown that shows it unchanged; numbers are in `toylab.formatting`."""

import re

MAX_LENGTH = 80


def plain(text: str, max_length: int = MAX_LENGTH) -> str:
    """``text`` (of a file or a user) escaped, so that Markdown shows exactly it, on one line and not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) > max_length:
        line = line[: max_length - 1] + "…"
    # Every character that Markdown, its extensions or HTML interpret; a colon begins icons and colours.
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:&\"'=@])", r"\\\1", line)


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
