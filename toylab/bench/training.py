"""How fast one config trains on the device at hand."""

import statistics
import time
from typing import Any

import jax
import numpy as np

from toylab.config import RunConfig
from toylab.cost import cost
from toylab.provenance import environment
from toylab.training.ensemble import Ensemble
from toylab.training.experiment import build_experiment

PEAKS = {"NVIDIA H100 80GB HBM3": 989e12, "NVIDIA H200": 989e12}
"""Device -> bfloat16 operations a second by its data sheet, without sparsity."""
WARM_UP = 2
"""Steps before the clock starts: they compile the program."""


def training_speed(config: RunConfig, steps: int = 50, repeats: int = 3) -> dict[str, Any]:
    """Steps and examples a second of ``config``, data drawing and optimiser included.

    Args:
        config: what to train; a stand-in for data will do.
        steps: of each timed stretch.
        repeats: stretches; the median is reported, and all of them.

    Returns:
        steps_per_second, examples_per_second, all_steps_per_second; flops_per_step (those of the step that is run, as
        `toylab inspect` counts them) and flops_per_second; mfu, their share of the data sheet's bfloat16 peak, None
        for a device that is not in ``PEAKS``; peak_bytes of the device, None where it does not say; compile_seconds,
        loss (mean over all steps), device, versions.

    Raises:
        ValueError: a bad setting, or training that diverged.
    """
    ensemble = Ensemble([build_experiment(config)])
    start = time.perf_counter()
    ensemble.advance(WARM_UP)
    compile_seconds = time.perf_counter() - start
    speeds = []
    for _ in range(repeats):
        start = time.perf_counter()
        ensemble.advance(steps)  # waits for the device
        speeds.append(steps / (time.perf_counter() - start))
    if (step := ensemble.diverged_at()[0]) >= 0:
        raise ValueError(
            f"diverged at step {step} with learning_rate={config.learning_rate:g}: nothing to time"
        )
    device, speed = jax.local_devices()[0], statistics.median(speeds)
    flops, peak = cost(config)["flops_step"]["split"], PEAKS.get(device.device_kind)
    stats = device.memory_stats() or {}
    return {
        "steps_per_second": speed,
        "examples_per_second": speed * config.batch_size,
        "all_steps_per_second": speeds,
        "flops_per_step": flops,
        "flops_per_second": speed * flops,
        "mfu": speed * flops / peak if peak else None,
        "peak_bytes": stats.get("peak_bytes_in_use"),
        "compile_seconds": compile_seconds,
        "loss": float(np.mean(ensemble.take_window()[0].loss)) / (WARM_UP + repeats * steps),
        "device": device.device_kind,
        "versions": environment()["versions"],
    }
