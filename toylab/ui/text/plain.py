"""Text of others in our pages: shown as it is, never read as markdown."""

import re

MAX_LENGTH = 80


def plain(text: str, max_length: int = MAX_LENGTH) -> str:
    """``text`` as markdown that shows exactly it, on one line and not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) > max_length:
        line = line[: max_length - 1] + "…"
    # Every sign that markdown, its extensions or HTML could take for theirs; a colon begins icons and colours.
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:&\"'=@])", r"\\\1", line)
