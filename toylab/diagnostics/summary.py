"""A landscape in words."""

from typing import TYPE_CHECKING

import numpy as np

from toylab.diagnostics.quadratic import Z95, Quadratic

if TYPE_CHECKING:
    from toylab.diagnostics.landscape import Landscape

FAR = 4.0
"""Standard errors beyond which two numbers are said to disagree."""


def landscape_text(landscape: "Landscape") -> str:
    """Minimisers with intervals, the published formulas, and where they disagree with the exact minimiser."""
    output, gradient, trace = landscape.output, landscape.gradient, landscape.trace
    published, measured = landscape.published, landscape.measured
    lines = [
        f"Landscape of beta: {landscape.title}",
        _quadratic_line("output space    E|R - r_theta|^2      ", output),
        _quadratic_line("gradient space  E|grad - grad_theta|^2", gradient),
        _quadratic_line("batch gradient  Tr Cov                ", trace),
    ]
    if not landscape.local:
        return "\n".join([*lines, "beta has no effect: the proxy is the conditional velocity itself"])
    local = landscape.local
    lines += [
        f"best beta of single points: median {local['q50']:.2f}, "
        f"90% of them in [{local['q5']:.2f}, {local['q95']:.2f}]; "
        f"{local['below_0']:.0%} below 0, {local['above_1']:.0%} above 1",
        f"paper's inputs: kappa = {published.kappa:.3f} (size {published.kappa_size:.3f}), "
        f"sigma^2 = {published.sigma2:.3f}, E|b|^2 = {published.bias:.4f}",
    ]
    formulas = {
        "scalar formula": published.scalar,
        "scalar formula with |J| for kappa": published.scalar_size,
        "matrix formula at mean matrices": published.matrix,
        "matrix formula, mean over points": published.matrix_mean,
        "matrix formula pooled, no bias term": published.pooled_without_bias,
    }
    # Tail and rounding: no formula is called wrong for less than 0.02.
    tolerance = max(FAR * output.minimiser_stderr, 0.02)
    for name, value in formulas.items():
        distance = value - output.minimiser
        verdict = "agrees" if abs(distance) <= tolerance else f"DISAGREES by {distance:+.2f}"
        ratio = output(value) / output(output.minimiser) if np.isfinite(value) else np.nan
        lines.append(f"  {name:<36} {value:9.3f}  {verdict}; noise there {ratio:.3g} x the least")
    if published.kappa < 0:
        lines.append(
            "  The theorem takes kappa > 0. Here kappa < 0: J = -(flow map's Jacobian) at the exact solution."
        )
    worst = float(np.max(np.abs(measured["residual_z"])))
    exact, low, high = measured[["gradient_exact", "gradient_low", "gradient_high"]].to_numpy().T
    inside = np.sum((exact >= low) & (exact <= high))
    lines.append(
        f"measured at {len(measured)} betas: residuals within {worst:.1f} standard errors of the quadratic, "
        f"{inside} of {len(measured)} gradient traces within their 95% intervals"
    )
    return "\n".join(lines)


def _quadratic_line(name: str, of: Quadratic) -> str:
    c0, c1, c2 = of.coefficients
    if np.isnan(of.minimiser):
        return f"{name} = {c0:.4g} at every beta (n = {of.n})"
    half = Z95 * of.minimiser_stderr
    errors = ", ".join(f"{error:.2g}" for error in of.stderr)
    return (
        f"{name} = {c0:.4g} {c1:+.4g} beta {c2:+.4g} beta^2 (standard errors {errors}), "
        f"least at beta* = {of.minimiser:.3f} +- {half:.3f}; at 0 / 1: {of(0):.4g} / {of(1):.4g}; "
        f"top 1% carry {of.top_share:.0%} at beta 0 (n = {of.n})"
    )
