"""What config.json says of a run: its settings, how far it came, what was changed on the way. No jax.

{"schema", "settings", "status", "step", "changes", "samples": {"nfe", "nonfinite"}, "versions", "git"}
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from toylab.config import Change

SCHEMA = 2
"""Version of config.json. Version 1 nested the settings twice and is still read; others are refused."""

STATUSES = ("done", "diverged", "unfinished")


@dataclass(frozen=True)
class Header:
    """The content of config.json but for versions and commit.

    Args:
        settings: every setting at the start of the run.
        status: done, diverged or unfinished.
        step: steps trained.
        changes: live changes, oldest first.
        nfe: network evaluations behind each saved sample.
        nonfinite: samples that were not finite, and are not in the folder.
    """

    settings: dict[str, Any]
    status: str = "done"
    step: int = 0
    changes: tuple[Change, ...] = field(default=())
    nfe: int = 1
    nonfinite: int = 0

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "schema": SCHEMA,
            "settings": dict(self.settings),
            "status": self.status,
            "step": self.step,
            "changes": [list(change) for change in self.changes],
            "samples": {"nfe": self.nfe, "nonfinite": self.nonfinite},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Header":
        """The inverse of `to_json`, for a file that nobody has checked; reads version 1 too.

        Raises:
            ValueError: an unknown version, or a field that is missing or of another kind.
        """
        if value.get("schema") == 1:
            value = _from_version_1(value)
        elif value.get("schema") != SCHEMA:
            raise ValueError(f"schema {value.get('schema')!r} is unknown; known: 1, {SCHEMA}")
        settings, status, samples = value.get("settings"), value.get("status"), value.get("samples")
        if not isinstance(settings, dict):
            raise ValueError("has no settings")
        if status not in STATUSES:
            raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {status!r}")
        if not isinstance(samples, dict):
            raise ValueError("has no samples")
        return cls(
            settings=settings,
            status=status,
            step=_count("step", value.get("step")),
            changes=_changes(value.get("changes")),
            nfe=_count("nfe", samples.get("nfe")),
            nonfinite=_count("nonfinite", samples.get("nonfinite")),
        )


def _from_version_1(value: Mapping[str, Any]) -> dict[str, Any]:
    """Version 1 as the present one; the inner record lacked what it does not name here."""
    inner = value.get("settings")
    if not isinstance(inner, dict):
        return {}
    if not isinstance(inner.get("settings"), dict):
        inner = {"settings": inner}
    return {
        "settings": inner["settings"],
        "status": inner.get("status", "done"),
        "step": inner.get("step", 0),
        "changes": [],
        "samples": {"nfe": 1, "nonfinite": 0},
    }


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be a whole number >= 0, got {value!r}")
    return value


def _changes(value: Any) -> tuple[Change, ...]:
    if not isinstance(value, list):
        raise ValueError("has no changes")
    changes = []
    for item in value:
        if not (isinstance(item, list) and len(item) == 3 and isinstance(item[1], str)):
            raise ValueError(f"a change must be [step, name, value], got {str(item)[:60]}")
        step, name, number = item
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
            raise ValueError(f"the changed value of {name!r} must be a number, got {str(number)[:60]}")
        changes.append(Change(_count("the step of a change", step), name, float(number)))
    return tuple(changes)
