"""What the page of images shows of a run: pictures, scores and cost, whether its parameters are here or not."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from toylab.config import RunConfig
from toylab.ui import ASSETS
from toylab.ui.pages.compare.comparing import Entry

EVALUATIONS = (1, 2, 4)
"""Network evaluations per image that the page offers."""
DISTANCES = ("FDD", "FFD")
"""Frechet distances of the in-repo feature nets; a run has one of them."""

Bytes = UInt8[np.ndarray, "n height width shown"]


class Number(NamedTuple):
    """A score with what is needed to read it: `features.ImageScore`, flat.

    Args:
        features: id of the feature net.
        value: mean over keys.
        stderr: of that mean over keys; NaN for one.
        n: images per key.
        num_keys: independent sets of noise.
        floor: what real images get; NaN where nobody measured it.
        floor_stderr: of the floor.
        floor_n: real images behind it.
    """

    features: str
    value: float
    stderr: float
    n: int
    num_keys: int
    floor: float
    floor_stderr: float
    floor_n: int

    @classmethod
    def of(cls, score: Mapping[str, Any]) -> "Number":
        """From the JSON of an `features.ImageScore`."""
        floor = score["floor"] or {"value": None, "stderr": None, "n": 0}
        return cls(
            features=score["features"],
            value=_float(score["value"]),
            stderr=_float(score["stderr"]),
            n=score["n"],
            num_keys=score["num_keys"],
            floor=_float(floor["value"]),
            floor_stderr=_float(floor["stderr"]),
            floor_n=floor["n"],
        )


@dataclass(frozen=True)
class ImageEntry(Entry):
    """A run on images.

    Attributes:
        grids: network evaluations -> samples from the usual noise that came with it, all classes in turn.
        real: real images that came with it, likewise.
        scores: network evaluations -> name -> score that came with it.
        cost: of `cost`, if it came with it.
        classes: of the data, 0 where nobody tells them.
        note: why nothing can be drawn anew, where it cannot.
    """

    grids: Mapping[int, Bytes] = field(default_factory=dict)
    real: Bytes | None = None
    scores: Mapping[int, Mapping[str, Number]] = field(default_factory=dict)
    cost: Mapping[str, Any] | None = None
    classes: int = 0
    note: str = ""


@cache
def packaged() -> tuple[ImageEntry, ...]:
    """The runs that come with the app (scripts/make_image_assets.py), by beta and seed."""
    content = json.loads((ASSETS / "first_images.json").read_text())
    with np.load(ASSETS / "first_images.npz") as file:
        real, samples = file["real"], file["samples"]
    return tuple(
        _packaged(index, run, content, real, grids)
        for index, (run, grids) in enumerate(zip(content["runs"], samples, strict=True))
    )


def _packaged(
    index: int,
    run: Mapping[str, Any],
    content: Mapping[str, Any],
    real: Bytes,
    grids: UInt8[np.ndarray, "evaluations n height width shown"],
) -> ImageEntry:
    config = RunConfig.from_dict({**content["settings"], "beta": run["beta"], "seed": run["seed"]})
    return ImageEntry(
        id=f"packaged{index}",
        label=name_of(config),
        config=config,
        status="done",
        step=config.steps,
        changes=(),
        history=pd.DataFrame(run["history"]).set_index("step"),
        origin="packaged",
        grids=dict(zip(EVALUATIONS, grids, strict=True)),
        real=real,
        scores={
            nfe: {name: Number.of(score) for name, score in scores.items()}
            for nfe, scores in zip(EVALUATIONS, run["scores"], strict=True)
        },
        cost=content["cost"],
        classes=content["classes"],
    )


def name_of(config: RunConfig) -> str:
    """Settings in one line, those that tell most runs on images apart."""
    what = config.method[:40] if config.method != "meanflow" else f"β = {config.beta:g}"
    if config.method == "meanflow" and config.coefficient != "constant":
        what = f"β {config.coefficient}"
    net = " ".join(str(value) for value in (config.net, config.net_options.get("size", "")) if value)
    return f"{config.dataset}, {what}, {net}, seed {config.seed}"[:100]


def distance_of(scores: Mapping[str, Number]) -> str:
    """The name of the Frechet distance among ``scores``; nothing where there is none."""
    return next((name for name in DISTANCES if name in scores), "")


def siblings(entry: ImageEntry, entries: Sequence[ImageEntry]) -> list[ImageEntry]:
    """Of ``entries`` those that differ from ``entry`` in the seed alone, itself included; unchanged and finished.

    How often a run was measured on the way is none of its settings.
    """
    same = _arm(entry.config)
    return [
        other
        for other in entries
        if other.status == "done" and not other.changes and _arm(other.config) == same
    ]


def _arm(config: RunConfig) -> RunConfig:
    return config.replace(seed=0, log_every=0, eval_samples=0)


def _float(value: float | None) -> float:
    return float("nan") if value is None else float(value)
