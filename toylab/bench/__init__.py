"""Benchmarks: speed of training relative to a plain training loop and to the peak of the hardware, in one process."""

from toylab.bench.benchmark import run_benchmark

__all__ = ["run_benchmark"]
