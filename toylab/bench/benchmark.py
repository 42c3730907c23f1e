"""All measurements of one benchmark, interleaved so that a drift of the machine affects all of them alike."""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from toylab.bench.engine import LaneTimer, paper_config
from toylab.storage.provenance import environment
from toylab.training.cost import cost

LANES = (1, 2, 4, 8)


def run_benchmark(
    lanes: Sequence[int] = LANES, num_rounds: int = 3, seconds: float = 3.0, startup: bool = True
) -> dict[str, Any]:
    """Measure the plain loop and the engine in turn, ``num_rounds`` times, and report medians.

    Args:
        lanes: numbers of lanes.
        num_rounds: rounds of [plain, 1 lane, 2 lanes, ...].
        seconds: length of each measurement.
        startup: also measure the time to the first step, with an empty and a filled compilation cache.

    Returns:
        a JSON-able dict: ``plain_steps_per_second``; ``matmul_gflops``, the best float32 product of 2048 x 2048
        matrices on all cores; ``flops_per_step``, operations of one step as XLA counts them; per number of lanes
        ``run_steps_per_second`` (training steps summed over lanes), ``ratio`` to the plain loop (median over rounds
        of ratios within a round) and ``fraction_of_peak``; ``ratio``, the best of those; compile times; peak memory.
    """
    timers = [LaneTimer(count) for count in lanes]
    flops = cost(paper_config())["flops_step"]["split"]
    peak, plain = 0.0, []
    speeds: dict[int, list[float]] = {count: [] for count in lanes}
    for _ in range(num_rounds):
        peak = max(peak, _matmul_gflops())
        plain.append(_plain_steps_per_second(seconds))
        for timer in timers:
            speeds[timer.num_lanes].append(timer.run_steps_per_second(seconds))
    rows = []
    for count in lanes:
        speed = statistics.median(speeds[count])
        ratios = [fast / slow for fast, slow in zip(speeds[count], plain, strict=True)]
        rows.append(
            {
                "lanes": count,
                "run_steps_per_second": speed,
                "ratio": statistics.median(ratios),
                "ratio_range": [min(ratios), max(ratios)],
                "fraction_of_peak": speed * flops / (peak * 1e9),
            }
        )
    facts = environment()
    return {
        "plain_steps_per_second": statistics.median(plain),
        "matmul_gflops": peak,
        "flops_per_step": flops,
        "lanes": rows,
        "ratio": max(row["ratio"] for row in rows),
        **(_startup_seconds() if startup else {}),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "num_rounds": num_rounds,
        "device": f"{len(jax.local_devices())} x {jax.local_devices()[0].device_kind}, {facts['platform']}",
        "versions": facts["versions"],
    }


def _matmul_gflops(size: int = 2048, repeats: int = 8) -> float:
    """Best of ``repeats`` float32 matrix products on all cores."""
    product = jax.jit(jnp.matmul)
    matrix = jax.block_until_ready(jnp.ones((size, size), jnp.float32))
    jax.block_until_ready(product(matrix, matrix))
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(product(matrix, matrix))
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def _plain_steps_per_second(seconds: float) -> float:
    """The plain loop, ``examples/meanflow_in_100_lines.py``, in a process with JAX's own settings."""
    ours = {"XLA_FLAGS", "JAX_NUM_CPU_DEVICES", "JAX_COMPILATION_CACHE_DIR"}
    env = {name: value for name, value in os.environ.items() if name not in ours}
    return float(_python("toylab.bench.plain", str(seconds), env=env))


def _startup_seconds() -> dict[str, float]:
    """Seconds from the first training call to the end of the first step, without and with a filled cache."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "TOYLAB_CACHE_DIR": folder}
        cold, warm = (float(_python("toylab.bench.startup", env=env)) for _ in range(2))
    return {"compile_seconds_cold": cold, "compile_seconds_warm": warm}


def _python(module: str, *arguments: str, env: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], env=dict(env), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout.strip().splitlines()[-1]
