"""Training speed of an ensemble on the available devices, data drawing and optimiser included."""

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
    """Raised when a lane diverged during timing: a diverged lane does no work."""


class Speed(NamedTuple):
    """Result of `ensemble_speed`.

    Args:
        steps_per_second: of the whole ensemble, all lanes side by side; median over the stretches.
        all_steps_per_second: of each stretch.
        compile_seconds: until the warm-up was done, compilation included.
        loss: mean over lanes and steps.
        peak_bytes: largest memory use of any device since this process began; None where a device does not report it.
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
        configs: settings of one structure; stand-in data are allowed.
        steps: steps of each stretch.
        repeats: number of stretches.
        layout: layout of a single lane over several devices, as in `train`; by default it is on one.

    Raises:
        Diverged: a lane that diverged, a ValueError.
        ValueError: a bad setting.
    """
    total = WARM_UP + repeats * steps
    # More steps than are timed: a run that has ended does no work, and would look fast.
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
                f"diverged at step {step} with learning_rate={config.learning_rate:g}, so that its speed cannot be "
                f"measured: lower the learning rate"
            )
    losses = [float(window.loss) / total for window in ensemble.take_window()]
    return Speed(
        statistics.median(speeds), tuple(speeds), compile_seconds, float(np.mean(losses)), _peak_bytes()
    )


def _peak_bytes() -> int | None:
    peaks = [(device.memory_stats() or {}).get("peak_bytes_in_use") for device in jax.local_devices()]
    known = [peak for peak in peaks if peak is not None]
    return max(known) if known else None
