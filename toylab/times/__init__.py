"""Distributions of the pair of times (r, t), r <= t."""

from toylab.times.base import AbstractTimeSampler, limit_gap, time_samplers

__all__ = ["AbstractTimeSampler", "limit_gap", "time_samplers"]
