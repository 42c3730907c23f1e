"""Coefficient rules: beta as a function of progress, times, memory and the point x_t."""

from toylab.coefficients.base import AbstractCoefficient, Memory, Observations, Situation, coefficients

__all__ = ["AbstractCoefficient", "Memory", "Observations", "Situation", "coefficients"]
