"""Texts of the page Images: scores and their floors, reading of the grids, cost of a run."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from toylab.config import RunConfig
from toylab.formatting import DASH, amount, percent, short, true_minus, with_error
from toylab.plots.images import columns_of
from toylab.ui.runs.comparison import Measure, interval_of
from toylab.ui.runs.entry import DISTANCES, Entry, Numbers, distance_of

KERNEL, ACCURACY = "kernel_distance", "label_accuracy"


def measures(names: Mapping[str, Any]) -> tuple[Measure, ...]:
    """The columns of the tables, for runs with scores of these names; the Frechet distance comes first."""
    return (
        Measure(distance_of(names) or DISTANCES[0], "Frechet distance", interval_of),
        Measure(KERNEL, "Kernel distance", interval_of),
        Measure(ACCURACY, "Class accuracy", partial(interval_of, as_percent=True), as_percent=True),
    )


def floor_row(scores: Numbers) -> dict[str, str]:
    """Scores of real images in place of samples."""
    row = {"Run": "Real images (floor)"}
    for measure in measures(scores):
        number = scores.get(measure.name)
        if number is None or not math.isfinite(number.floor):
            row[measure.title] = DASH
        elif measure.as_percent:
            row[measure.title] = f"{percent(number.floor)} (n = {number.floor_n:,} held out)"
        else:
            spread = true_minus(with_error(number.floor, number.floor_stderr))
            row[measure.title] = f"{spread} (n = {number.floor_n:,})"
    return row


def score_caption(scores: Numbers, nfe: int) -> str:
    """How the table of scores was made."""
    name = distance_of(scores)
    number = scores[name]
    steps = "evaluation" if nfe == 1 else "evaluations"
    return (
        f"{name}\\[{number.features}\\]: Frechet distance of the features of a small classifier, not FID; lower is "
        f"better. n = {number.n:,} samples in {nfe} network {steps} each; mean and 95% interval over "
        f"{number.num_keys} sets of noise, the same for every run: the interval covers measurement noise only, not "
        "the spread between training seeds. Kernel distance: unbiased, zero for real images up to noise. Class "
        "accuracy: share of samples that the classifier assigns to the class they were drawn for."
    )


def score_note(scores: Numbers | None) -> str:
    """The headline of a grid: the Frechet distance with its interval."""
    if not scores:
        return ""
    name = distance_of(scores)
    return f" · {name} {interval_of(scores[name])}"


def floor_note(scores: Numbers | None) -> str:
    """The headline of the real images: their floor."""
    number = scores[distance_of(scores)] if scores else None
    if number is None or not math.isfinite(number.floor):
        return ""
    return f" · floor {short(number.floor)}, n = {number.floor_n:,}"


def reading(runs: Mapping[str, Entry], nfe: int) -> str:
    """What the grids show."""
    classes = next(iter(runs.values())).images.classes
    columns = "Every column is a class. " if classes == columns_of(classes) else ""
    steps = "in one step" if nfe == 1 else f"in {nfe} steps"
    if len(runs) == 1:
        return f"{columns}Samples {steps}, from the noise of seed 0; images are not hand-picked."
    return (
        f"{columns}Samples {steps}; the k-th image of each run starts from the same noise (seed 0), and images are "
        "not hand-picked: only the net differs."
    )


def cost_line(cost: Mapping[str, Any], config: RunConfig) -> str:
    """Parameters, operations and memory of a run in one line."""
    steps = cost["flops_step"]
    plain = (
        f"; {amount(steps['plain'])} if every row took the derivative"
        if steps["plain"] != steps["split"]
        else ""
    )
    return (
        f"{amount(cost['params'])} parameters, {amount(cost['flops_forward'])} operations per image and evaluation, "
        f"{amount(steps['split'])} operations per step (batch {config.batch_size}{plain}), "
        f"{amount(steps['split'] * config.steps)} for the {config.steps:,} steps; {amount(cost['bytes'])} bytes of "
        "state"
    )
