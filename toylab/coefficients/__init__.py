"""Coefficient rules: beta as a function of progress, times, memory and place. One file each."""

from toylab.coefficients.base import AbstractCoefficient, Memory, Observations, Situation, coefficients

__all__ = ["AbstractCoefficient", "Memory", "Observations", "Situation", "coefficients"]
