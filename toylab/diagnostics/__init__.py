"""Diagnostics: what the theory talks about, measured on a run."""

from toylab.diagnostics.amplification import Amplification, variance_amplification
from toylab.diagnostics.asymmetry import Asymmetry, target_tangent_asymmetry
from toylab.diagnostics.by_time import loss_by_time
from toylab.diagnostics.gradient_variance import gradient_variance
from toylab.diagnostics.landscape import Landscape, beta_landscape
from toylab.diagnostics.loss_parts import (
    LossParts,
    LossTrace,
    loss_decomposition,
    state_parts,
    trace_decomposition,
)
from toylab.diagnostics.maps import Maps, maps
from toylab.diagnostics.matrix import MatrixCoefficient, matrix_coefficient
from toylab.diagnostics.optimum import OptimalCoefficient, optimal_coefficient
from toylab.diagnostics.probes import Probes, probe
from toylab.diagnostics.semi_gradient import SemiGradientGap, semi_gradient_gap
from toylab.diagnostics.separation import SeparationLaw, separation_law

__all__ = [
    "Amplification",
    "Asymmetry",
    "Landscape",
    "LossParts",
    "LossTrace",
    "Maps",
    "MatrixCoefficient",
    "OptimalCoefficient",
    "Probes",
    "SemiGradientGap",
    "SeparationLaw",
    "beta_landscape",
    "gradient_variance",
    "loss_by_time",
    "loss_decomposition",
    "maps",
    "matrix_coefficient",
    "optimal_coefficient",
    "probe",
    "semi_gradient_gap",
    "separation_law",
    "state_parts",
    "target_tangent_asymmetry",
    "trace_decomposition",
    "variance_amplification",
]
