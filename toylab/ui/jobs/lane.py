"""Lane of a live view: one of the runs that are trained side by side."""

from collections.abc import Sequence
from typing import NamedTuple

from toylab.config import RunConfig

MAX_LANES = 4
"""As many as a viewer can follow, and as there are colours that colour-blind readers can distinguish."""


class Lane(NamedTuple):
    """A run's config and its label."""

    label: str
    config: RunConfig


def with_baseline(config: RunConfig) -> tuple[Lane, Lane]:
    """The lab's two lanes: ``config``, and the same with beta = 0 (same seed, so same noise and data)."""
    return Lane("chosen", config), Lane("baseline", config.replace(beta=0.0))


def check_lanes(lanes: Sequence[Lane]) -> None:
    """Raise ValueError unless the lanes can be shown together: one dataset, one schedule, distinct labels."""
    if not 1 <= len(lanes) <= MAX_LANES:
        raise ValueError(f"a live view has 1 to {MAX_LANES} lanes, got {len(lanes)}")
    labels = [lane.label for lane in lanes]
    if len(set(labels)) < len(labels):
        raise ValueError(f"lanes need distinct labels, got {', '.join(labels)}")
    first = lanes[0].config
    for name in ("dataset", "dataset_options", "steps", "log_every", "eval_samples"):
        for lane in lanes[1:]:
            value, expected = getattr(lane.config, name), getattr(first, name)
            if value != expected:
                raise ValueError(f"lanes of a live view must share {name}, got {expected!r} and {value!r}")
