"""Checks of options that may come from JSON, the command line or a widget: errors name the option and the value."""

from typing import TypeGuard

import numpy as np
from jaxtyping import Float

Number = float | int


def _is_number(value: object) -> TypeGuard[Number]:
    # bool is a subclass of int, but `std=true` is a mistyped option, not the number 1.
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def number(name: str, value: object, low: Number = -np.inf, high: Number = np.inf) -> float:
    """``value`` as a finite float in [low, high].

    Raises:
        ValueError: not a number, not finite, or outside the range.
    """
    if _is_number(value) and np.isfinite(value) and low <= value <= high:
        return float(value)
    bounds = f" in [{low:g}, {high:g}]" if np.isfinite([low, high]).any() else ""
    raise ValueError(f"{name} must be a finite number{bounds}, got {value!r}")


def whole(name: str, value: object, low: int, high: int) -> int:
    """``value`` as an int in [low, high]; 4.0 counts as 4.

    Raises:
        ValueError: not a whole number, or outside the range.
    """
    if _is_number(value) and low <= value <= high and value == int(value):
        return int(value)
    raise ValueError(f"{name} must be a whole number in [{low}, {high}], got {value!r}")


def truth(name: str, value: object) -> bool:
    """``value`` as true or false.

    Raises:
        ValueError: anything else.
    """
    if isinstance(value, bool):
        return value
    raise ValueError(f"{name} must be true or false, got {value!r}")


def array(name: str, value: object) -> Float[np.ndarray, "..."]:
    """``value`` (nested lists, an array, a number) as a finite float64 array.

    Raises:
        ValueError: ragged, not numbers, or an entry that is not finite; the message names the first such entry.
    """
    try:
        result = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers, got {str(value)[:60]!r}") from error
    if not np.all(np.isfinite(result)):
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(result))[0])
        raise ValueError(f"{name} must be finite, got {result[index]} at index {list(index)}")
    return result
