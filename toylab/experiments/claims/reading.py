"""Reading a ledger from a file: every field of claims.json is checked, and every verdict computed again."""

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from toylab.experiments.claims.rules import (
    FAILS,
    HOLDS,
    PARTLY,
    UNMEASURED,
    UNRESOLVED,
    claim_verdict,
    effect_verdict,
)
from toylab.storage.untrusted import read_json

MAX_BYTES = 8 * 2**20
MAX_CLAIMS = 200
# From best to unknown.
VERDICTS = (HOLDS, PARTLY, FAILS, UNRESOLVED, UNMEASURED)
ID = re.compile(r"[a-z0-9_]{1,80}")

Check = Callable[[Any], bool]


def read_ledger(path: str | os.PathLike) -> dict[str, Any]:
    """The content of a claims.json, with every field that a page shows checked.

    Raises:
        ValueError: too large, not JSON, a field that is missing or of the wrong kind, or a verdict that does not follow
            from the row's own effects by the rule; one line that says what.
        FileNotFoundError: no such file.
    """
    content = read_json(path, MAX_BYTES)
    _fields(content, _LEDGER, "the ledger")
    rows = content["claims"]
    if len(rows) > MAX_CLAIMS:
        raise ValueError(f"has {len(rows)} claims, at most {MAX_CLAIMS} are read")
    for row in rows:
        _check_row(row)
    ids = [row["id"] for row in rows]
    if len(set(ids)) < len(ids):
        raise ValueError("lists a claim twice")
    return content


def _check_row(row: Any) -> None:
    _fields(row, _ROW, "a claim")
    where = f"claim {row['id']}"
    for effect in row["effects"]:
        _fields(effect, _EFFECT, where)
        if (effect["kind"] == "within") != (effect["range"] is not None):
            raise ValueError(f"{where}: an effect has a range if and only if its kind is 'within'")
        if effect["verdict"] != effect_verdict(effect):
            raise ValueError(
                f"{where}: the verdict on {effect['name'][:60]!r} does not follow from its values"
            )
    if row["verdict"] != claim_verdict(row["effects"]):
        raise ValueError(f"{where}: its verdict does not follow from its effects")


def _fields(record: Any, checks: Mapping[str, Check], where: str) -> None:
    if not isinstance(record, dict):
        raise ValueError(f"{where} is not a JSON object")
    for name, check in checks.items():
        if name not in record:
            raise ValueError(f"{where} has no field {name!r}")
        if not check(record[name]):
            raise ValueError(f"{where} has a bad value of {name!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12


def _optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _text(limit: int) -> Check:
    return lambda value: isinstance(value, str) and len(value) <= limit


def _list_of(check: Check, limit: int) -> Check:
    return lambda value: isinstance(value, list) and len(value) <= limit and all(map(check, value))


def _by_seed(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= 10_000
        and all(re.fullmatch(r"\d{1,12}", key) and _is_number(number) for key, number in value.items())
    )


def _interval(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_optional(_is_number), value))


_LEDGER: dict[str, Check] = {
    "budget": _text(40),
    "summary": _text(400),
    "date": _text(60),
    "versions": lambda value: isinstance(value, dict),
    "rule": _text(4000),
    "claims": lambda value: isinstance(value, list),
}
_ROW: dict[str, Check] = {
    "id": lambda value: isinstance(value, str) and ID.fullmatch(value) is not None,
    "statement": _text(1000),
    "source": _text(1000),
    "citation": _text(80),
    "claimed": _optional(_is_number),
    "verdict": VERDICTS.__contains__,
    "protocol": _text(2000),
    "deviations": _list_of(_text(400), 40),
    "reason": _text(1000),
    "note": _text(2000),
    "command": _text(400),
    "seconds": _is_number,
    "num_runs": _is_count,
    "effects": _list_of(lambda value: isinstance(value, dict), 60),
}
_EFFECT: dict[str, Check] = {
    "name": _text(300),
    "kind": ("at_least", "within").__contains__,
    "claimed": _optional(_is_number),
    "range": _optional(lambda value: _list_of(_is_number, 2)(value) and len(value) == 2),
    "unit": ("share", "number").__contains__,
    "values": _by_seed,
    "arms": lambda value: (
        isinstance(value, dict) and len(value) <= 200 and all(map(_by_seed, value.values()))
    ),
    "baseline": _optional(_is_number),
    "floor": _optional(_is_number),
    "n": _is_count,
    "reduces": lambda value: isinstance(value, bool),
    "lost": _is_count,
    "mean": _optional(_is_number),
    "interval": _interval,
    "bootstrap": _interval,
    "seeds_needed": _optional(_is_count),
    "verdict": VERDICTS.__contains__,
}
