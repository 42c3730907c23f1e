"""Baseline: a plain training loop, one jitted call per step, every row through the JVP.

The loop is `examples/meanflow_in_100_lines.py`; it shares no code with the engine on purpose. Run as
``python -m toylab.bench.plain`` this prints its steps per second, in a process of its own, so that none of the engine's
settings helps or hinders it.
"""

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

NAME = "meanflow_in_100_lines"


def loop_path() -> Path:
    """Path of the example that is timed.

    A wheel carries the checkout's file as ``toylab/bench/entry`` (pyproject.toml): the loop exists once.

    Raises:
        FileNotFoundError: the file is in neither place.
    """
    package = Path(__file__).parents[1]
    places = [package / "bench" / "entry" / f"{NAME}.py", package.parent / "examples" / f"{NAME}.py"]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"{NAME}.py is missing from {places[0].parent} and {places[1].parent}; install toylab again"
    )


def load_loop() -> ModuleType:
    """The example as a module: it is no part of the package, so it is imported by its path."""
    spec = importlib.util.spec_from_file_location(NAME, loop_path())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def steps_per_second(seconds: float) -> float:
    """Steps per second over about ``seconds``, after compilation and a warm-up of 200 steps."""
    state, step = load_loop().make_training(beta=0.5, batch_size=256, steps=200_000, seed=0)
    for _ in range(200):
        *state, loss = step(*state)
    loss.block_until_ready()
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(50):
            *state, loss = step(*state)
        loss.block_until_ready()
        done += 50
    return done / (time.perf_counter() - start)


if __name__ == "__main__":
    print(steps_per_second(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0))
