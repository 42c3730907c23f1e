"""Coefficient rules: beta as a function of training progress and of the times. One file each."""

from toylab.coefficients.base import AbstractCoefficient, coefficients

__all__ = ["AbstractCoefficient", "coefficients"]
