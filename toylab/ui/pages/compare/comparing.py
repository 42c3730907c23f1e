"""What a comparison says, without drawing it: settings that differ, scores, and differences to a baseline."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from toylab.config import FIELDS, Change, RunConfig
from toylab.metrics.score import Score
from toylab.metrics.statistics import Interval, difference_of_means, paired_difference
from toylab.ui.runs import shelf, stored
from toylab.ui.runs.importing import Imported
from toylab.ui.runs.shelf import Finished

if TYPE_CHECKING:
    from toylab.training import Run

METRIC = "sliced_w1"
NUM_KEYS = 4
"""Independent pairs of samples and data behind a score."""
SHOWN_SEED, SHOWN_SAMPLES = 0, 4096
"""Noise of the samples that are drawn: those that a run folder holds, so an import shows the same ones."""
MAX_DRAWN = 1500
"""Dots of a square."""


@dataclass(frozen=True)
class Entry:
    """A run as the comparison needs it, whether its parameters are here or not.

    Attributes:
        id: of the run.
        label: one line for people.
        config: its settings as it began.
        status: done, diverged or unfinished.
        step: steps trained.
        changes: live changes.
        history: indexed by step.
        origin: lab, race, sweep, imported or packaged.
        run: the run, where its parameters are here: only then it is scored anew.
        samples: one-step samples, where only those are here.
        data: data points that came with them.
    """

    id: str
    label: str
    config: RunConfig
    status: str
    step: int
    changes: tuple[Change, ...]
    history: pd.DataFrame
    origin: str
    run: "Run | None" = None
    samples: Float[np.ndarray, "n 2"] | None = None
    data: Float[np.ndarray, "m 2"] | None = None

    @property
    def scored(self) -> bool:
        """Whether it may have a score: a finished run with parameters."""
        return self.run is not None and self.status == "done"

    @property
    def title(self) -> str:
        """The label, with what sets the run apart from a finished one of this session."""
        marks = [] if self.status == "done" else [f"{self.status} at step {self.step:,}"]
        marks += [self.origin] if self.origin in ("imported", "packaged") else []
        return f"{self.label} ({', '.join(marks)})" if marks else self.label


def entry_of(finished: Finished) -> Entry:
    """A run of the shelf."""
    run = finished.run
    return Entry(
        finished.id, finished.label, run.config, run.status, run.step, run.changes, run.history,
        finished.origin, run,
    )  # fmt: skip


def entry_of_import(run_id: str, imported: Imported) -> Entry:
    """A run from files, without parameters."""
    header = imported.header
    label = shelf.name_of(imported.config) + (", changed while training" if header.changes else "")
    return Entry(
        run_id, label, imported.config, header.status, header.step, header.changes, imported.history,
        "imported", None, imported.samples, imported.data,
    )  # fmt: skip


def packaged() -> list[Entry]:
    """Both lanes of the run that comes with the app, the baseline first."""
    snapshot = stored.first_run()
    assert snapshot.samples is not None
    entries = []
    for lane in (1, 0):
        config = snapshot.configs[lane]
        entry = Entry(
            id=f"packaged{lane}",
            label=shelf.name_of(config),
            config=config,
            status="done",
            step=snapshot.step,
            changes=(),
            history=snapshot.histories[lane],
            origin="packaged",
            samples=snapshot.samples[lane],
            data=snapshot.data,
        )
        entries.append(entry)
    return entries


def differing(entries: Sequence[Entry]) -> tuple[dict[str, list[str]], list[str]]:
    """Settings that differ, as text per entry, in the order of the fields; and names of those that are equal."""
    apart, equal = {}, []
    for name in FIELDS:
        values = [getattr(entry.config, name) for entry in entries]
        if all(value == values[0] for value in values):
            equal.append(name)
        else:
            apart[name] = [told(value) for value in values]
    changes = [
        "; ".join(f"{c.name} {c.value:g} at {c.step:,}" for c in entry.changes[:4]) for entry in entries
    ]
    if any(changes):
        apart["changed while training"] = [text or "–" for text in changes]
    states = [
        entry.status if entry.status == "done" else f"{entry.status} at {entry.step:,}" for entry in entries
    ]
    if any(entry.status != "done" for entry in entries):
        apart["status"] = states
    return apart, equal


def told(value: Any) -> str:
    """A setting in a few words."""
    if isinstance(value, dict):
        points = value.get("points") or value.get("values")
        if isinstance(points, list) and len(points) > 8:
            return f"{len(points):,} points"
        text = json.dumps(value, sort_keys=True) if value else "–"
        return text if len(text) <= 60 else text[:57] + "..."
    return (
        f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
    )


class Difference(NamedTuple):
    """Entries minus baseline entries in the metric, by their places.

    Args:
        places: of the entries.
        baseline: of the baseline's.
        interval: mean difference and its 95% interval.
        seeds: those that are paired; empty for one seed, where the interval is over evaluation keys only.
    """

    places: tuple[int, ...]
    baseline: tuple[int, ...]
    interval: Interval
    seeds: tuple[int, ...]


def differences(
    entries: Sequence[Entry], scores: Mapping[int, Score], baseline: int
) -> tuple[list[Difference], list[tuple[int, str]]]:
    """Every scored arm against the arm of the baseline, paired by seed where they share at least two.

    An arm is the same settings under several seeds. Runs that were changed on the way are arms of their own.

    Args:
        entries: the runs.
        scores: place -> score, finite, of those that have one.
        baseline: place of the pinned run.

    Returns:
        The differences, and (place, why) of what has none.
    """
    without: list[tuple[int, str]] = []
    if baseline not in scores:
        return [], without
    arms: list[list[int]] = []
    for place in sorted(scores):
        arm = next(
            (arm for arm in arms if all(_one_arm(entries[other], entries[place]) for other in arm)), None
        )
        if arm is None:
            arms.append([place])
        else:
            arm.append(place)
    base = next(arm for arm in arms if baseline in arm)
    found = []
    for arm in arms:
        if _data(entries[arm[0]]) != _data(entries[baseline]):
            without += [(place, "other data than the baseline") for place in arm]
            continue
        ours, theirs = _by_seed(entries, scores, arm), _by_seed(entries, scores, base)
        seeds = sorted(set(ours) & set(theirs))
        if arm is not base and len(seeds) > 1 and (interval := paired_difference(ours, theirs)) is not None:
            chosen = [tuple(p for p in side if entries[p].config.seed in seeds) for side in (arm, base)]
            found.append(Difference(chosen[0], chosen[1], interval, tuple(seeds)))
            continue
        for place in arm:
            if place != baseline:
                found.append(Difference((place,), (baseline,), _by_keys(scores[place], scores[baseline]), ()))
    return found, without


def _by_keys(one: Score, other: Score) -> Interval:
    return difference_of_means(
        one.value, one.stderr, other.value, other.stderr, min(one.num_keys, other.num_keys)
    )


def _by_seed(entries: Sequence[Entry], scores: Mapping[int, Score], arm: Sequence[int]) -> dict[int, float]:
    return {entries[place].config.seed: scores[place].value for place in arm}


def _one_arm(one: Entry, other: Entry) -> bool:
    same = one.config.replace(seed=0) == other.config.replace(seed=0)
    return same and not one.changes and not other.changes and one.config.seed != other.config.seed


def _data(entry: Entry) -> tuple[str, dict[str, Any]]:
    return entry.config.dataset, entry.config.dataset_options


def verdict(interval: Interval) -> str:
    """What an interval of a difference in distance says; lower is better."""
    if not np.isfinite(interval.low):
        return "no interval"
    if interval.low > 0:
        return "farther from the data"
    return "closer to the data" if interval.high < 0 else "not told apart"
