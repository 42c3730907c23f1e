"""The ledgers of claims that can be shown: the packaged one, and those that `toylab claims` left in runs/."""

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from toylab.experiments.claims.reading import read_ledger
from toylab.ui import ASSETS
from toylab.ui.runs.files import RUNS

PACKAGED = ASSETS / "claims_quick.json"
"""A copy of results/claims_quick/claims.json (scripts/make_reading_assets.py)."""
MAX_LEDGERS = 12


class Source(NamedTuple):
    """Where a ledger lies, and what to call it."""

    name: str
    path: Path


def sources() -> list[Source]:
    """Every ledger there is, the newest of the user's own first, the packaged one last."""
    own = [path for path in RUNS.glob("claims_*/claims.json") if path.is_file()]
    own.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    found = [Source(str(path.parent), path) for path in own[:MAX_LEDGERS]]
    return found + ([Source("shipped with toylab", PACKAGED)] if PACKAGED.is_file() else [])


def fingerprint(source: Source) -> tuple[str, int, int]:
    """Changes when the file does."""
    status = source.path.stat()
    return str(source.path), status.st_mtime_ns, status.st_size


@lru_cache(maxsize=16)
def _read(path: str, modified: int, size: int) -> dict[str, Any]:
    return read_ledger(path)


def read(source: Source) -> dict[str, Any]:
    """The checked content of a ledger.

    Raises:
        ValueError: a file that cannot be believed; one line that says why.
        OSError: a file that cannot be read.
    """
    return _read(*fingerprint(source))
