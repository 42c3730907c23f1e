"""What every contestant costs in network evaluations: counted by a script, since tracing them all takes seconds."""

import json
from collections.abc import Collection
from functools import cache

from toylab.config import RunConfig, preset
from toylab.ui.widgets.thumbnails import ASSETS

BASELINE = "vanilla"


def base() -> RunConfig:
    """The settings under which costs are counted: those of the comparison in results/methods."""
    return RunConfig(**{**preset("one_step"), "steps": 20_000})


def count(only: Collection[str] = ()) -> dict[str, float]:
    """Network evaluations per example and step of contestants, by default all, counted off the traced programs.

    Two stages, and the pairs made between them, are spread over all steps.
    """
    from toylab.experiments.compare import contestants
    from toylab.training.cost import network_evaluations
    from toylab.training.experiment import without_unused_settings

    found = {}
    for entrant in contestants(["all"], ["all"], ["all"]):
        if only and entrant.name not in only:
            continue
        config = without_unused_settings(base().replace(**entrant.settings))
        total = network_evaluations(config).total
        found[entrant.name] = round(total / (config.steps * config.batch_size), 4)
    return found


@cache
def packaged() -> dict[str, float]:
    """The counts that came with the package."""
    return json.loads((ASSETS / "costs.json").read_text())


def relative(contestant: str) -> float | None:
    """Evaluations per example and step, vanilla MeanFlow as 1; None for one added since the script ran."""
    known = packaged()
    return known[contestant] / known[BASELINE] if contestant in known else None
