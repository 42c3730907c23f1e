"""Theorem check: the measured best coefficient against the formulas."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from toylab.diagnostics.algebra import error_terms
from toylab.diagnostics.landscape import measured_residuals
from toylab.diagnostics.local import is_function_of_place, over_pairs, plain_experiment, stacked
from toylab.diagnostics.published import PublishedFormulas, published_formulas
from toylab.diagnostics.quadratic import Quadratic, quadratic
from toylab.training import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BETAS = (0.0, 1.0, 2.0)
_TO_COEFFICIENTS = np.linalg.inv(np.vander(_BETAS, increasing=True)).T


class OptimalCoefficient(NamedTuple):
    """What `optimal_coefficient` found.

    Args:
        measured: the parabola through the measured noise at beta 0, 1 and 2; drawn v', no covariance.
        exact: the quadratic from Sigma, A and b, on other pairs.
        published: the paper's formulas, on the pairs of ``exact``.
        z: difference of the two minimisers over its standard error.
    """

    measured: Quadratic
    exact: Quadratic
    published: PublishedFormulas
    z: float

    def figure(self) -> "Figure":
        """Both curves and the minimisers."""
        from toylab.diagnostics.figures import optimum_figure

        return optimum_figure(self)


def optimal_coefficient(run: Run, num_points: int = 32_768, seed: int = 0) -> OptimalCoefficient:
    """The measured argmin of the residual's noise against its exact formula and the published ones.

    Noise is quadratic in beta, so three measured betas give its argmin. The two sides share no pair.

    Args:
        run: of method `meanflow` with the conditional target.
        num_points: pairs of either side.
        seed: of the pairs.

    Raises:
        ValueError: another method or target, or too few points.

    Source: Lu and Wang 2026 (lu2026variance), theorem on the optimal coefficient.
    """
    experiment, exact = plain_experiment(run.experiment), is_function_of_place(run.experiment)
    program = measured_residuals(_BETAS)
    drawn = stacked(over_pairs(program, experiment, run.state, num_points, seed))
    other = stacked(over_pairs(program, experiment, run.state, num_points, seed + 1))["local"]
    errors = np.sum((drawn["residuals"] - drawn["local"].residual[:, None]) ** 2, axis=-1)
    measured, formula = quadratic(errors @ _TO_COEFFICIENTS), quadratic(error_terms(other, exact))
    spread = np.hypot(measured.minimiser_stderr, formula.minimiser_stderr)
    z = float((measured.minimiser - formula.minimiser) / spread) if spread > 0 else np.nan
    return OptimalCoefficient(measured, formula, published_formulas(other), z)
