"""Speed, measured as ratios within one run: the engine against the loop that people write, and against the hardware."""

from toylab.bench.benchmark import run_benchmark

__all__ = ["run_benchmark"]
