"""What the page of images says: scores with intervals and floors, differences between betas, what a run costs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from toylab.config import RunConfig
from toylab.formatting import short
from toylab.metrics.statistics import Interval, difference_of_means, paired_difference, t_interval
from toylab.plots.images import columns_of
from toylab.ui.pages.compare.compare_results import decimals
from toylab.ui.pages.compare.comparing import verdict
from toylab.ui.runs.image_entries import ImageEntry, Number, distance_of, siblings
from toylab.ui.text import plain

KERNEL, ACCURACY = "kernel_distance", "label_accuracy"
Scores = Mapping[str, Number]


def interval_of(number: Number) -> Interval:
    """A score with its 95% interval over sets of noise: NaN at its ends for a single one."""
    return t_interval(number.value, number.stderr, number.num_keys)


def told(interval: Interval, *, percent: bool = False, signed: bool = False) -> str:
    """A mean and its interval to the digits that it supports, as markdown: 0.381 [0.364, 0.398]."""
    scale, unit = (100, "%") if percent else (1, "")
    ends = [scale * end for end in (interval.mean, interval.low, interval.high)]
    if not math.isfinite(ends[0]):
        return "–"
    sign = "+" if signed else ""
    if not (math.isfinite(ends[1]) and math.isfinite(ends[2])):
        return _minus(f"{ends[0]:{sign}.3g}{unit}")
    places = decimals((ends[2] - ends[1]) / 2)
    mean, low, high = (f"{end:{sign}.{places}f}{unit}" for end in ends)
    return _minus(f"{mean} \\[{low}, {high}\\]")


def score_row(run: str, scores: Scores | None, why: str = "") -> dict[str, str]:
    """One run of the table of scores; ``why`` says why there are none."""
    if not scores:
        return {"Run": run, "Frechet distance": why, "Kernel distance": "", "Read as asked": ""}
    distance = scores[distance_of(scores)]
    accuracy = scores.get(ACCURACY)
    return {
        "Run": run,
        "Frechet distance": told(interval_of(distance)),
        "Kernel distance": told(interval_of(scores[KERNEL])) if KERNEL in scores else "–",
        "Read as asked": told(interval_of(accuracy), percent=True) if accuracy else "–",
    }


def floor_row(scores: Scores) -> dict[str, str]:
    """What real images get in the place of samples."""
    row = {"Run": "Real images (floor)"}
    for title, name in (
        ("Frechet distance", distance_of(scores)),
        ("Kernel distance", KERNEL),
        ("Read as asked", ACCURACY),
    ):
        number = scores.get(name)
        if number is None or not math.isfinite(number.floor):
            row[title] = "–"
        elif name == ACCURACY:
            row[title] = f"{100 * number.floor:.1f}% (n = {number.floor_n:,} held out)"
        else:
            places = decimals(number.floor_stderr)
            spread = f"{number.floor:.{places}f} ± {number.floor_stderr:.{places}f}"
            row[title] = _minus(f"{spread} (n = {number.floor_n:,})")
    return row


def score_caption(scores: Scores, nfe: int) -> str:
    """How the table of scores was made."""
    name = distance_of(scores)
    number = scores[name]
    steps = "evaluation" if nfe == 1 else "evaluations"
    return (
        f"{name}\\[{number.features}\\]: Frechet distance of the features of a small classifier, not FID; lower is "
        f"better. n = {number.n:,} samples in {nfe} network {steps} each; mean and 95% interval over "
        f"{number.num_keys} sets of noise, the same for every run: how well this net is measured, not what another "
        "training seed would give. Kernel distance: unbiased, zero for real images up to noise. Read as asked: "
        "samples that the classifier reads as the class they were drawn for."
    )


def score_note(scores: Scores | None) -> str:
    """The headline of a grid: the Frechet distance with its interval."""
    if not scores:
        return ""
    name = distance_of(scores)
    return f" · {name} {told(interval_of(scores[name]))}"


def floor_note(scores: Scores | None) -> str:
    """The headline of the real images: their floor."""
    number = scores[distance_of(scores)] if scores else None
    if number is None or not math.isfinite(number.floor):
        return ""
    return f" · floor {short(number.floor)}, n = {number.floor_n:,}"


def reading(runs: Mapping[str, ImageEntry], nfe: int) -> str:
    """What to look at in the grids."""
    first = next(iter(runs.values()))
    columns = "Every column is a class. " if first.classes == columns_of(first.classes) else ""
    steps = "in one step" if nfe == 1 else f"in {nfe} steps"
    if len(runs) == 1:
        return f"{columns}Samples {steps}, from the noise of seed 0, nothing picked."
    return (
        f"{columns}Samples {steps}; image k of every run began as the same noise (seed 0, nothing picked): "
        "what differs is the net."
    )


def contrast_caption(found: Sequence["Contrast"]) -> str:
    """How differences were taken."""
    seeds = any(contrast.seeds for contrast in found)
    alone = any(not contrast.seeds for contrast in found)
    parts = ["Mean difference and 95% interval."]
    if seeds:
        parts.append(
            "Paired by training seed: equal first weights, data and noise; the seeds that come with the app count "
            "whether they are chosen or not. A few seeds tell large effects alone."
        )
    if alone:
        parts.append(
            "One training seed: the interval says how well these nets are measured, not what another seed would give."
        )
    return " ".join(parts)


class Contrast(NamedTuple):
    """One arm (equal settings but for the seed) minus the baseline's arm.

    Args:
        letters: of the chosen runs of the arm, and of the baseline's.
        intervals: name of a score -> difference with its 95% interval.
        seeds: those that are paired; empty for one, where the interval is over sets of noise alone.
    """

    letters: tuple[str, str]
    intervals: Mapping[str, Interval]
    seeds: tuple[int, ...]


def contrasts(
    chosen: Mapping[str, ImageEntry], everyone: Sequence[ImageEntry], scores: Mapping[str, Scores]
) -> list[Contrast]:
    """Every arm among the chosen runs minus that of the first, paired by training seed where they share two or more.

    Args:
        chosen: letter -> run; the first is the baseline.
        everyone: all runs there are: other seeds of a chosen run count too, chosen or not.
        scores: id -> scores at one number of evaluations.
    """
    arms: dict[str, dict[int, Scores]] = {}
    members: dict[str, list[str]] = {}
    for letter, entry in chosen.items():
        if entry.id not in scores:
            continue
        found = siblings(entry, everyone)
        if entry.id not in {each.id for each in found}:  # changed or cut short: an arm of its own
            found = [entry]
        if not any(entry.id in ids for ids in members.values()):
            members[letter] = [each.id for each in found]
            arms[letter] = {each.config.seed: scores[each.id] for each in found if each.id in scores}
    if not arms:
        return []
    baseline, *others = arms
    data = chosen[baseline].config
    rows = []
    for letter in others:
        config = chosen[letter].config
        if (config.dataset, config.dataset_options) == (data.dataset, data.dataset_options):
            own = chosen[letter].config.seed, chosen[baseline].config.seed
            rows.append(_contrast((letter, baseline), arms[letter], arms[baseline], own))
    return rows


def _contrast(
    letters: tuple[str, str], ours: Mapping[int, Scores], theirs: Mapping[int, Scores], own: tuple[int, int]
) -> Contrast:
    seeds = sorted(set(ours) & set(theirs))
    # Where they share fewer than two seeds, the runs that were chosen.
    one, other = ours[own[0]], theirs[own[1]]
    intervals: dict[str, Interval] = {}
    for name in [each for each in one if each in other]:
        if len(seeds) > 1:
            values, base = ({seed: side[seed][name].value for seed in seeds} for side in (ours, theirs))
            paired = paired_difference(values, base)
            assert paired is not None
            intervals[name] = paired
        else:
            a, b = one[name], other[name]
            keys = min(a.num_keys, b.num_keys)
            intervals[name] = difference_of_means(a.value, a.stderr, b.value, b.stderr, keys)
    return Contrast(letters, intervals, tuple(seeds) if len(seeds) > 1 else ())


def contrast_row(contrast: Contrast, chosen: Mapping[str, ImageEntry]) -> dict[str, str]:
    """One line of the table of differences."""
    ours, theirs = (arm_name(chosen[letter].config) for letter in contrast.letters)
    name = distance_of_any(contrast.intervals)
    accuracy, kernel = contrast.intervals.get(ACCURACY), contrast.intervals.get(KERNEL)
    seeds = ", ".join(map(str, contrast.seeds))
    return {
        "Runs": f"{contrast.letters[0]} minus {contrast.letters[1]}: {ours} against {theirs}",
        "Frechet distance": told(contrast.intervals[name], signed=True),
        "Reading": verdict(contrast.intervals[name]),
        "Kernel distance": told(kernel, signed=True) if kernel else "–",
        "Read as asked": told(accuracy, percent=True, signed=True) if accuracy else "–",
        "From": f"{len(contrast.seeds)} training seeds, paired ({seeds})"
        if seeds
        else "one training seed, sets of noise alone",
    }


def finding(found: Sequence[Contrast], chosen: Mapping[str, ImageEntry]) -> str:
    """What the differences say in one sentence; nothing where there are none."""
    if not found:
        return ""
    name = distance_of_any(found[0].intervals)
    base = arm_name(chosen[found[0].letters[1]].config)
    parts = []
    for contrast in found:
        seeds = len(contrast.seeds)
        basis = f"{seeds} training seeds" if seeds else "one training seed"
        reading = verdict(contrast.intervals[name])
        parts.append(f"{plain(arm_name(chosen[contrast.letters[0]].config))} {reading} ({basis})")
    return f"**{name} against {plain(base)}: {', '.join(parts)}.**"


def distance_of_any(names: Mapping[str, Any]) -> str:
    """The Frechet distance among the names of scores."""
    return next(name for name in names if name not in (KERNEL, ACCURACY))


def arm_name(config: RunConfig) -> str:
    """What sets a run apart but for its seed."""
    if config.method != "meanflow":
        return config.method
    return f"β = {config.beta:g}" if config.coefficient == "constant" else f"β {config.coefficient}"


def cost_line(cost: Mapping[str, Any], config: RunConfig) -> str:
    """Parameters, operations and memory of a run in one line."""
    steps = cost["flops_step"]
    plain = (
        f" ({amount(steps['plain'])} if every row took the derivative)"
        if steps["plain"] != steps["split"]
        else ""
    )
    total = steps["split"] * config.steps
    return (
        f"{amount(cost['params'])} parameters, {amount(cost['flops_forward'])} operations for an image and evaluation, "
        f"{amount(steps['split'])} for a step of {config.batch_size}{plain}, {amount(total)} for the "
        f"{config.steps:,} steps; {amount(cost['bytes'])} bytes of state"
    )


def amount(number: float) -> str:
    """A count in words that one can compare: 0.75 million, 23 million, 12 billion."""
    for size, word in ((1e12, " trillion"), (1e9, " billion"), (1e6, " million")):
        if number >= size:
            return f"{short(number / size)}{word}"
    return f"{number:,.0f}"


def _minus(text: str) -> str:
    return text.replace("-", "−")
