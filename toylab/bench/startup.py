"""Time to the first training step of a fresh process; run as ``python -m toylab.bench.startup``."""

import time

from toylab.bench.engine import paper_config
from toylab.devices.parallel import enable_compilation_cache
from toylab.training.ensemble import Ensemble
from toylab.training.experiment import build_experiment


def first_step_seconds() -> float:
    """Seconds to build an ensemble of one, compile it (or load it from the cache) and take one step."""
    enable_compilation_cache()
    start = time.perf_counter()
    Ensemble([build_experiment(paper_config())]).advance(1)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(first_step_seconds())
