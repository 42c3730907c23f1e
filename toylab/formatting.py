"""Numbers, intervals and settings as text, the same in the terminal, in files and in the app.

A value of which there is none (None, NaN, infinite) is a dash: "-" in terminals and files, `DASH` in the app. The app
writes a true minus (`true_minus`), terminals and files keep the hyphen, which other programs can read.
"""

import json
import math
from collections.abc import Callable
from typing import Any

DASH = "–"
# Where a spread has no size (one value, equal values) or a very small one.
DEFAULT_DECIMALS, MAX_DECIMALS = 4, 8


def is_number(value: float | None) -> bool:
    """Whether there is a value to show: neither None nor NaN nor infinite.

    >>> is_number(0.0), is_number(None), is_number(float("nan"))
    (True, False, False)
    """
    return value is not None and math.isfinite(value)


def finite_or_none(value: float) -> float | None:
    """A number as JSON has it: None where it is NaN or infinite.

    >>> finite_or_none(0.5), finite_or_none(float("nan"))
    (0.5, None)
    """
    return value if math.isfinite(value) else None


def number(value: float | None, digits: int = 4, none: str = "-") -> str:
    """A number with ``digits`` significant digits, ``none`` where there is no value.

    >>> number(0.123456), number(12345.6), number(None), number(0.12, 1, DASH)
    ('0.1235', '1.235e+04', '-', '0.1')
    """
    return f"{value:.{digits}g}" if value is not None and math.isfinite(value) else none


def short(value: float | None, none: str = DASH) -> str:
    """Two significant digits without an exponent, for sentences.

    >>> short(0.0951), short(2.34), short(1134.0), short(0.0), short(2e9)
    ('0.095', '2.3', '1,100', '0', '2.0e+09')
    """
    if value is None or not math.isfinite(value):
        return none
    if value == 0:
        return "0"
    digits = max(0, 1 - math.floor(math.log10(abs(value))))
    return f"{float(f'{value:.2g}'):,.{digits}f}" if abs(value) < 1e7 else f"{value:.1e}"


def signed(value: float | None, digits: int = 4, none: str = "-") -> str:
    """A difference: `number` with its sign, as other programs read it.

    >>> signed(0.5), signed(-0.11), true_minus(signed(-0.11))
    ('+0.5', '-0.11', '−0.11')
    """
    return f"{value:+.{digits}g}" if value is not None and math.isfinite(value) else none


def percent(share: float | None, decimals: int = 1, *, sign: bool = False, none: str = "-") -> str:
    """A share as per cent.

    >>> percent(0.5438), percent(-0.02, 0, sign=True), percent(None)
    ('54.4%', '-2%', '-')
    """
    if share is None or not math.isfinite(share):
        return none
    return f"{100 * share:{'+' if sign else ''}.{decimals}f}%"


def true_minus(text: str) -> str:
    """``text`` with the typographic minus for every hyphen: for numbers alone, not for words.

    >>> true_minus("-0.5 [-1, 0]")
    '−0.5 [−1, 0]'
    """
    return text.replace("-", "−")


def decimals(spread: float) -> int:
    """Decimals at which ``spread`` has two significant digits; 4 where it has no size.

    >>> decimals(0.021), decimals(3.4), decimals(120.0), decimals(float("nan"))
    (3, 1, 0, 4)
    """
    if not math.isfinite(spread) or spread <= 0:
        return DEFAULT_DECIMALS
    return min(MAX_DECIMALS, max(0, 1 - math.floor(math.log10(spread))))


def interval(
    low: float | None,
    high: float | None,
    show: Callable[[float | None], str] = number,
    form: str = "[{}, {}]",
    none: str | None = "-",
) -> str:
    """The two ends of an interval, each by ``show``; ``none`` where one is missing, None to show both as they are.

    >>> interval(0.1234567, 2.0), interval(float("nan"), 1.0), interval(0.1, 0.2, percent, "{} to {}")
    ('[0.1235, 2]', '-', '10.0% to 20.0%')
    """
    if none is not None and not (is_number(low) and is_number(high)):
        return none
    return form.format(show(low), show(high))


def with_interval(
    mean: float,
    low: float,
    high: float,
    *,
    as_percent: bool = False,
    sign: bool = False,
    markdown: bool = False,
) -> str:
    r"""A mean with its interval to the digits that the interval supports, for the app: true minus, `DASH` for NaN.

    The half width of the interval gets two significant digits; a mean without interval has three.

    Args:
        mean: between the ends.
        low: lower end, NaN where there is no interval.
        high: upper end, likewise.
        as_percent: the values are shares.
        sign: write a plus too, for differences.
        markdown: escape the brackets, which are a link in Markdown.

    >>> with_interval(0.38123, 0.3641, 0.3983), with_interval(-0.02, -0.05, 0.01, as_percent=True, sign=True)
    ('0.381 [0.364, 0.398]', '−2.0% [−5.0%, +1.0%]')
    >>> with_interval(0.5, float("nan"), float("nan")), with_interval(1.0, 0.9, 1.1, markdown=True)
    ('0.5', '1.00 \\[0.90, 1.10\\]')
    """
    scale, unit, plus = 100 if as_percent else 1, "%" if as_percent else "", "+" if sign else ""
    mean, low, high = scale * mean, scale * low, scale * high
    if not math.isfinite(mean):
        return DASH
    if not (math.isfinite(low) and math.isfinite(high)):
        return true_minus(f"{mean:{plus}.3g}{unit}")
    places = decimals((high - low) / 2)
    mean_text, low_text, high_text = (f"{end:{plus}.{places}f}{unit}" for end in (mean, low, high))
    opening, closing = ("\\[", "\\]") if markdown else ("[", "]")
    return true_minus(f"{mean_text} {opening}{low_text}, {high_text}{closing}")


def with_error(value: float, stderr: float) -> str:
    """A mean with its standard error to the digits that the error supports; without error two digits.

    >>> with_error(0.14321, 0.0021), with_error(0.14321, float("nan"))
    ('0.1432 ± 0.0021', '0.14')
    """
    if not math.isfinite(stderr):
        return short(value)
    places = decimals(stderr)
    return f"{value:.{places}f} ± {stderr:.{places}f}"


def amount(count: float) -> str:
    """A large count in words that can be compared.

    >>> amount(750_000.0), amount(2.34e7), amount(1.2e10), amount(3e12)
    ('750,000', '23 million', '12 billion', '3.0 trillion')
    """
    for size, word in ((1e12, " trillion"), (1e9, " billion"), (1e6, " million")):
        if count >= size:
            return f"{short(count / size)}{word}"
    return f"{count:,.0f}"


def counted(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun, thousands separated.

    >>> counted(1, "seed"), counted(12_000, "step"), counted(2, "axis", "axes")
    ('1 seed', '12,000 steps', '2 axes')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """A duration to the nearest second, from 100 s on to the nearest minute; at least 1 s.

    >>> duration(0.2), duration(44.2), duration(170.0)
    ('1 s', '44 s', '3 min')
    """
    return f"{max(1, round(seconds))} s" if seconds < 100 else f"{round(seconds / 60)} min"


def file_size(count: int) -> str:
    """Bytes in kB or MB (powers of ten), at least 1 kB.

    >>> file_size(10), file_size(12_345), file_size(2_500_000)
    ('1 kB', '12 kB', '2.5 MB')
    """
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"


def cut(text: str, limit: int) -> str:
    """``text``, or its beginning and an ellipsis where it is longer than ``limit`` characters.

    >>> cut("abcdefgh", 6), cut("abc", 6)
    ('abc...', 'abc')
    """
    return text if len(text) <= limit else text[: limit - 3] + "..."


def setting(value: Any, limit: int = 60, none: str = DASH) -> str:
    """The value of a setting in at most ``limit`` characters; ``none`` for empty options.

    >>> setting(1e-3), setting(200_000), setting({"std": 0.1}), setting({}), setting({"points": [[0, 0]] * 9})
    ('0.001', '200,000', '{"std": 0.1}', '–', '9 points')
    """
    if isinstance(value, dict):
        points = value.get("points") or value.get("values")
        if isinstance(points, list) and len(points) > 8:
            return f"{len(points):,} points"
        return cut(json.dumps(value, sort_keys=True), limit) if value else none
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return cut(str(value), limit)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
