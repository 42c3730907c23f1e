"""Loss spikes on a logged curve, counted by a stated rule."""

import numpy as np
from numpy.typing import ArrayLike

# A spike is this many times above the running median of the WINDOW rows before it; a median needs LEAST rows.
FACTOR = 5.0
WINDOW = 20
LEAST = 5
RULE = f"a spike is a loss above {FACTOR:g} times the median of the {WINDOW} rows before it, once until it is below"


def count_spikes(losses: ArrayLike, factor: float = FACTOR, window: int = WINDOW) -> int:
    """Count how often a curve rises above ``factor`` times the median of the ``window`` values before.

    Consecutive values above it are one spike. The first few values are never one.

    Args:
        losses: a loss per row of the history, oldest first; not negative.
        factor: above 1.
        window: rows of the median, at least 5.

    >>> count_spikes([1, 1, 1, 1, 1, 9, 9, 1, 1, 9])
    2
    """
    values = np.asarray(losses, np.float64)
    above = [
        value > factor * np.median(values[max(0, row - window) : row])
        for row, value in enumerate(values)
        if row >= LEAST
    ]
    return int(np.count_nonzero(np.diff(np.asarray(above, int), prepend=0) == 1))
