"""How fast an ensemble trains on the devices at hand, data drawing and optimiser included."""

import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from toylab.config import RunConfig
from toylab.devices.sharding import AskedLayout
from toylab.training.ensemble import Ensemble
from toylab.training.experiment import build_experiment

WARM_UP = 2
"""Steps before the clock starts: they compile the program."""


class Diverged(ValueError):
    """A lane that stands still, since it diverged: nothing to time."""


class Speed(NamedTuple):
    """What was timed.

    Args:
        steps_per_second: of the whole ensemble, all lanes side by side; median over the stretches.
        all_steps_per_second: of each stretch.
        compile_seconds: until the warm-up was done, compilation included.
        loss: mean over lanes and steps.
        peak_bytes: most that the fullest device ever held in this process; None where it does not say.
    """

    steps_per_second: float
    all_steps_per_second: tuple[float, ...]
    compile_seconds: float
    loss: float
    peak_bytes: int | None


def ensemble_speed(
    configs: Sequence[RunConfig], steps: int, repeats: int, layout: AskedLayout | None = None
) -> Speed:
    """Train ``configs`` as lanes of one ensemble, for ``repeats`` stretches of ``steps`` each, and time them.

    Args:
        configs: of one structure; stand-ins for data will do.
        steps: of each stretch.
        repeats: stretches.
        layout: of a single lane over several devices, as `train` has it; by default it is on one.

    Raises:
        Diverged: a lane that diverged, a ValueError.
        ValueError: a bad setting.
    """
    total = WARM_UP + repeats * steps
    # A run that is over would stand still, and that is fast.
    ensemble = Ensemble(
        [build_experiment(config.replace(steps=max(config.steps, total))) for config in configs],
        layout=layout,
    )
    start = time.perf_counter()
    ensemble.advance(WARM_UP)
    compile_seconds = time.perf_counter() - start
    speeds = []
    for _ in range(repeats):
        start = time.perf_counter()
        ensemble.advance(steps)  # waits for the devices
        speeds.append(steps / (time.perf_counter() - start))
    for config, step in zip(configs, ensemble.diverged_at(), strict=True):
        if step >= 0:
            raise Diverged(
                f"diverged at step {step} with learning_rate={config.learning_rate:g}: nothing to time"
            )
    losses = [float(window.loss) / total for window in ensemble.take_window()]
    return Speed(
        statistics.median(speeds), tuple(speeds), compile_seconds, float(np.mean(losses)), _peak_bytes()
    )


def _peak_bytes() -> int | None:
    peaks = [(device.memory_stats() or {}).get("peak_bytes_in_use") for device in jax.local_devices()]
    known = [peak for peak in peaks if peak is not None]
    return max(known) if known else None
