"""Theorem check: the measured best coefficient against the formulas."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from toylab.diagnostics.landscape import PublishedFormulas, measured_residuals, published_formulas
from toylab.diagnostics.local import is_function_of_place, over_pairs, plain_experiment, stacked
from toylab.diagnostics.quadratic import Quadratic, error_terms, quadratic
from toylab.plots.figures import BASELINE, CHOSEN, panel_grid
from toylab.training import Run

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

    def figure(self) -> Figure:
        """Both curves and the minimisers."""
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


def optimum_figure(found: OptimalCoefficient) -> Figure:
    """Measured parabola and exact quadratic with their minimisers."""
    figure, (panel,) = panel_grid(1)
    betas = np.linspace(-0.5, 2.5, 200)
    for curve, colour, name in (
        (found.measured, BASELINE, "measured"),
        (found.exact, CHOSEN, "exact"),
    ):
        label = f"{name} {curve.minimiser:.3f} +- {1.96 * curve.minimiser_stderr:.3f}"
        panel.plot(betas, curve(betas), color=colour, lw=1.2, label=label)
        panel.axvline(curve.minimiser, color=colour, lw=1, ls="--")
    panel.set(title="noise of the residual", xlabel="beta")
    panel.legend(fontsize="x-small", frameon=False)
    return figure
