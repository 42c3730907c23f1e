"""Comparison of chosen runs, without drawing: settings that differ, scores as text, differences to a baseline.

The pages Compare and Images differ in their measures. Pairing and intervals are those of `toylab.experiments.results`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from toylab.config import FIELDS
from toylab.experiments.results import Arm, Contrast, Result, arm_label, contrasts, group, reading
from toylab.formatting import DASH, setting, with_error, with_interval
from toylab.metrics.statistics import Interval, t_interval
from toylab.ui.runs.entry import Entry, Number, Numbers
from toylab.ui.text import plain


def error_of(number: Number) -> str:
    """A score with its standard error: 0.1432 ± 0.0021."""
    return with_error(number.value, number.stderr)


def interval_of(number: Number, *, as_percent: bool = False) -> str:
    r"""A score with its 95% interval over keys, for Markdown: 0.381 \[0.364, 0.398\]."""
    found = t_interval(number.value, number.stderr, number.num_keys)
    return with_interval(*found[:3], as_percent=as_percent, markdown=True)


class Measure(NamedTuple):
    """A column of the tables of scores and of differences.

    Args:
        name: of the score.
        title: of the column.
        show: a score as text.
        as_percent: it is a share.
    """

    name: str
    title: str
    show: Callable[[Number], str]
    as_percent: bool = False


def differing(entries: Sequence[Entry]) -> tuple[dict[str, list[str]], list[str]]:
    """Settings that differ, as text per entry, in the order of the fields; and names of those that are equal."""
    apart, equal = {}, []
    for name in FIELDS:
        values = [getattr(entry.config, name) for entry in entries]
        if all(value == values[0] for value in values):
            equal.append(name)
        else:
            apart[name] = [setting(value) for value in values]
    changes = [
        "; ".join(f"{c.name} {c.value:g} at {c.step:,}" for c in entry.changes[:4]) for entry in entries
    ]
    if any(changes):
        apart["changed while training"] = [text or DASH for text in changes]
    if any(entry.status != "done" for entry in entries):
        apart["status"] = [
            entry.status if entry.status == "done" else f"{entry.status} at {entry.step:,}"
            for entry in entries
        ]
    return apart, equal


class Difference(NamedTuple):
    """Some of the chosen runs minus some of the baseline's setting.

    Args:
        letters: of the chosen runs of one setting.
        baseline: of the chosen runs of the baseline's setting that they are compared with.
        intervals: name of a score -> mean difference and its 95% interval.
        seeds: those that are paired; empty for one seed, where the interval is over evaluation keys only.
        num_keys: keys behind the interval of one seed.
    """

    letters: tuple[str, ...]
    baseline: tuple[str, ...]
    intervals: Mapping[str, Interval]
    seeds: tuple[int, ...]
    num_keys: int


def differences(
    chosen: Mapping[str, Entry],
    scores: Mapping[str, Numbers],
    baseline: str,
    names: Sequence[str],
    others: Sequence[Entry] = (),
) -> tuple[list[Difference], dict[str, str]]:
    """Every scored setting among the chosen runs minus that of the baseline, paired by seed where they share two.

    Args:
        chosen: letter -> run.
        scores: id -> its scores, finite, of those that have some.
        baseline: letter of the pinned run.
        names: of the scores to compare; the first one decides which runs have a difference.
        others: runs that were not chosen, whose seeds count in the pairs all the same.

    Returns:
        The differences, and letter -> why of scored runs that have none.
    """
    pinned = chosen[baseline]
    without = {
        letter: "other data than the baseline"
        for letter, entry in chosen.items()
        if entry.id in scores and _data(entry) != _data(pinned)
    }
    letters = {entry.id: letter for letter, entry in chosen.items() if letter not in without}
    everyone = {entry.id: entry for entry in (*others, *chosen.values()) if _data(entry) == _data(pinned)}
    found: list[Difference] = []
    for place, name in enumerate(names):
        measured = {
            run_id: entry.result(scores[run_id][name])
            for run_id, entry in everyone.items()
            if name in scores.get(run_id, {})
        }
        if pinned.id not in measured or not measured[pinned.id].is_scored:
            if place == 0:
                return [], {}
            continue
        arms = [arm for arm in group(measured.values()) if any(each.name in letters for each in arm.results)]
        for contrast in contrasts(arms, measured[pinned.id]):
            sides = [
                _letters(side, arms, letters, contrast) for side in (contrast.results, contrast.baseline)
            ]
            if not sides[0]:  # a run that was not chosen, compared by itself
                continue
            known = next((one for one in found if [one.letters, one.baseline] == sides), None)
            if known is None and place == 0:
                found.append(_difference(contrast, sides, name))
            elif known is not None:
                found[found.index(known)] = known._replace(
                    intervals={**known.intervals, name: contrast.interval}
                )
    return found, without


def _letters(
    side: Sequence[Result], arms: Sequence[Arm], letters: Mapping[str, str], contrast: Contrast
) -> tuple[str, ...]:
    """The chosen runs of one side; where only other seeds of their setting are paired, all chosen runs of it."""
    found = tuple(letters[each.name] for each in side if each.name in letters)
    if found or not contrast.seeds:
        return found
    arm = next(arm for arm in arms if any(each is side[0] for each in arm.results))
    return tuple(letters[each.name] for each in arm.results if each.name in letters)


def _difference(contrast: Contrast, sides: Sequence[tuple[str, ...]], name: str) -> Difference:
    num_keys = min(each.score.num_keys for each in (*contrast.results, *contrast.baseline))
    return Difference(sides[0], sides[1], {name: contrast.interval}, contrast.seeds, num_keys)


def _data(entry: Entry) -> tuple[str, dict[str, Any]]:
    return entry.config.dataset, entry.config.dataset_options


def difference_row(
    difference: Difference, chosen: Mapping[str, Entry], measures: Sequence[Measure]
) -> dict[str, str]:
    """One line of the table of differences."""
    first = measures[0]
    cells = {
        measure.title: with_interval(
            *difference.intervals[measure.name][:3], as_percent=measure.as_percent, sign=True, markdown=True
        )
        if measure.name in difference.intervals
        else DASH
        for measure in measures
    }
    return {
        "Runs": plain(_sides(difference, chosen)),
        first.title: cells.pop(first.title),
        "Reading": reading(difference.intervals[first.name]).value,
        **cells,
        "From": basis(difference, detailed=True),
    }


def _sides(difference: Difference, chosen: Mapping[str, Entry]) -> str:
    """B, D minus A, C: β = 1 against β = 0."""
    ours, theirs = (arm_label(chosen[side[0]].config) for side in (difference.letters, difference.baseline))
    runs = f"{', '.join(difference.letters)} minus {', '.join(difference.baseline)}"
    return f"{runs}: {ours} against {theirs}" if ours != theirs else runs


def basis(difference: Difference, *, detailed: bool = False) -> str:
    """What a difference is based on: 3 training seeds."""
    if not difference.seeds:
        return "one training seed" + (f", {difference.num_keys} evaluation keys" if detailed else "")
    text = f"{len(difference.seeds)} training seeds"
    return f"{text}, paired ({', '.join(map(str, difference.seeds))})" if detailed else text


def difference_caption(found: Sequence[Difference], others: bool = False) -> str:
    """How differences were taken; ``others``: runs that were not chosen count too."""
    parts = ["Mean difference and 95% interval."]
    if any(difference.seeds for difference in found):
        parts.append("Paired by training seed: equal initial weights, data and noise.")
        if others:
            parts.append("The seeds that come with the app count whether they are chosen or not.")
        parts.append("With few seeds only large effects can be detected.")
    if not all(difference.seeds for difference in found):
        parts.append(
            "One seed: the interval covers measurement noise only, not the spread between seeds. "
            "Runs of equal settings with different seeds are paired."
        )
    return " ".join(parts)


def finding(found: Sequence[Difference], chosen: Mapping[str, Entry], measure: str) -> str:
    """What the differences say in one sentence; empty where there are none.

    Args:
        found: differences to one baseline; those within its own setting are left out.
        chosen: letter -> run.
        measure: name of the score.
    """
    parts = []
    for difference in found:
        ours, theirs = (
            arm_label(chosen[side[0]].config) for side in (difference.letters, difference.baseline)
        )
        if ours != theirs:
            told = reading(difference.intervals[measure]).value
            parts.append((theirs, f"{plain(ours)}: {told} ({basis(difference)})"))
    if not parts:
        return ""
    return f"**{measure} against {plain(parts[0][0])}. {'; '.join(text for _, text in parts)}.**"
