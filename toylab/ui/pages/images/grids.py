"""Grids of images: what the worker computes of runs on images, and the panels that show it."""

import json
from collections.abc import Mapping
from concurrent.futures import Future
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from toylab.config import RunConfig
from toylab.experiments.results import arm_label
from toylab.plots.images import GRID_ROWS, bytes_png, columns_of, to_bytes
from toylab.ui.pages.images import texts
from toylab.ui.runs.entry import Bytes, Entry, Number, Numbers
from toylab.ui.text import plain
from toylab.ui.widgets.work import Task, result

if TYPE_CHECKING:  # both take a second to import: not before the first page is drawn
    from toylab.features import ImageScore
    from toylab.training import Run

SEED = 0
"""Seed of the noise, the same for every run: image k of every grid starts from the same noise and class."""
NUM_SCORED, NUM_KEYS = 1797, 3
"""Images behind a score, as many as there are digits, and independent sets of them."""
MAX_OPERATIONS = 1e13
"""Operations of a score that the app spends: about two minutes of one core."""


def tasks(runs: Mapping[str, Entry], nfe: int) -> list[Task]:
    """Grids first, then costs and scores, of the runs whose parameters are here and that came without them."""
    live = [(entry, entry.run) for entry in runs.values() if entry.run is not None]
    drawn = [
        Task(f"image-draw-{entry.id}-{nfe}", _key(entry), partial(draw, run, nfe))
        for entry, run in live
        if nfe not in entry.images.grids
    ]
    counted = [Task(f"image-cost-{entry.id}", _key(entry), partial(count, entry.config)) for entry, _ in live]
    scored = [
        Task(f"image-score-{entry.id}-{nfe}", _key(entry), partial(numbers, run, nfe))
        for entry, run in live
        if entry.scored
    ]
    return [*drawn, *counted, *scored]


def _key(entry: Entry) -> tuple[str, str, int]:
    """Content of a folder: the same path may be trained into again with other settings."""
    return entry.id, str(entry.config), entry.step


def draw(run: "Run", nfe: int) -> Bytes:
    """The samples of a grid.

    Raises:
        ValueError: pixels that are NaN.
    """
    shape = run.dataset.shape
    assert shape.image is not None
    points = run.sample(GRID_ROWS * columns_of(shape.num_classes), nfe=nfe, seed=SEED)
    return to_bytes(points.reshape(-1, *shape.image))


def scores(run: "Run", nfe: int) -> "dict[str, ImageScore]":
    """Frechet and kernel distance and label accuracy of a run.

    Raises:
        ValueError: samples that are not finite.
        FileNotFoundError: real images that are not installed.
    """
    from toylab.evaluation import FEATURE_NETS, evaluate_images  # takes a second to import

    net = FEATURE_NETS[run.config.dataset]
    return evaluate_images(run, net, n=NUM_SCORED, num_keys=NUM_KEYS, nfe=nfe, seed=SEED)


def numbers(run: "Run", nfe: int) -> dict[str, Number]:
    """`scores`, as the page keeps them.

    Raises:
        ValueError: likewise, or a net that would occupy the worker for minutes.
        FileNotFoundError: likewise.
    """
    operations = count(run.config)["flops_forward"] * NUM_SCORED * NUM_KEYS * nfe
    if operations > MAX_OPERATIONS:
        raise ValueError(
            f"{NUM_KEYS} times {NUM_SCORED:,} samples take {operations:.1e} operations, the app spends "
            f"{MAX_OPERATIONS:.0e}; `toylab evaluate` scores it"
        )
    return {name: Number.of(score.to_json()) for name, score in scores(run, nfe).items()}


def count(config: RunConfig) -> dict[str, Any]:
    """Parameters, operations and memory of a run, counted from shapes."""
    return _counted(json.dumps(config.to_dict(), sort_keys=True))


@lru_cache(maxsize=16)
def _counted(settings: str) -> dict[str, Any]:
    from toylab.training.cost import cost  # takes a second to import

    return cost(RunConfig.from_dict(json.loads(settings)))


def known_scores(
    runs: Mapping[str, Entry], nfe: int, done: Mapping[str, Future]
) -> tuple[dict[str, Numbers], dict[str, str]]:
    """id -> scores that came with a run or were computed, and id -> why there are none."""
    found: dict[str, Numbers] = {}
    why: dict[str, str] = {}
    for entry in runs.values():
        if nfe in entry.images.scores:
            found[entry.id] = entry.images.scores[nfe]
            continue
        computed, problem = result(done.get(f"image-score-{entry.id}-{nfe}"))
        if computed is None:
            why[entry.id] = entry.unscored or problem or "scoring"
        else:
            found[entry.id] = computed
    return found, why


def known_costs(runs: Mapping[str, Entry], done: Mapping[str, Future]) -> dict[str, str]:
    """letter -> cost of the run, in one line."""
    lines = {}
    for letter, entry in runs.items():
        cost, problem = entry.images.cost, ""
        if cost is None:
            cost, problem = result(done.get(f"image-cost-{entry.id}"))
        if cost is not None:
            lines[letter] = texts.cost_line(cost, entry.config)
        else:
            lines[letter] = plain(problem or entry.note or "counting", 200)
    return lines


def panels(
    runs: Mapping[str, Entry], nfe: int, done: Mapping[str, Future], scores: Mapping[str, Numbers]
) -> None:
    """Real images, and samples of every run beside them."""
    first = next(iter(runs.values()))
    with st.container(key="images_grids", horizontal=True):
        note = texts.floor_note(scores.get(first.id))
        alt = f"Real images of {first.config.dataset}"
        _panel("real", f"**Real images**{note}", first.images.real, first.images.classes, alt)
        for letter, entry in runs.items():
            images, problem = entry.images.grids.get(nfe), ""
            if images is None:
                images, problem = result(done.get(f"image-draw-{entry.id}-{nfe}"))
                if not problem and entry.run is None:
                    problem = (
                        f"No samples in {nfe} evaluations: {entry.note or 'only some come with the app'}"
                    )
            title = f"{plain(arm_label(entry.config))}{texts.score_note(scores.get(entry.id))}"
            alt = f"Samples of run {letter}, {entry.label}, {nfe} network evaluations each"
            _panel(letter, title, images, entry.images.classes, alt, plain(problem, 200))


def _panel(key: str, title: str, images: Bytes | None, classes: int, alt: str, missing: str = "") -> None:
    """A grid of images below its title, or why there is none."""
    with st.container(key=f"images_grid_{key}"):
        st.markdown(title)
        if images is None or not len(images):
            st.caption(missing or "…")
            return
        st.image(bytes_png(images, columns_of(classes)), width="stretch", alt=alt, output_format="PNG")
