"""Advice on beta: measurements on a checkpoint, a small sweep of pilot runs around it, and sentences for the reader.

The coefficient that minimises the variance of gradients need not give the best samples, so both are measured: the first
on the checkpoint, the second by short pilot runs on common random numbers.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import pandas as pd

from toylab.config import RunConfig
from toylab.diagnostics import beta_landscape, gradient_variance, probe
from toylab.diagnostics.quadratic import Z95, Quadratic
from toylab.evaluation import evaluate
from toylab.experiments.results import Result, gain, group
from toylab.metrics.statistics import NO_INTERVAL
from toylab.training import Run, train_many

Sureness = Literal["sure", "fairly sure", "not sure"]

PILOT_STEPS = 3000
# Coefficients that every quality sweep tries besides the one that minimises the variance.
SWEEP_BETAS = (0.0, 0.5, 1.0)
# The minimiser of the variance is clipped to this range before it is tried: training degrades beyond it.
LOW, HIGH = -1.0, 2.0
# A relative gain in sliced W1 below this is not worth a setting.
SMALL_GAIN = 0.05


class Measured(NamedTuple):
    """Measurements on the checkpoint.

    Args:
        route: ``exact`` (velocity and covariance of the dataset) or ``probes`` (random probes, independent proxy).
        noise: E Tr Sigma / dim, the noise of the conditional velocity.
        jacobi: root mean square of the Jacobi factor, E|J z| for unit z.
        bias: E|b|^2 / dim of the tangent's proxy.
        best: beta that is best for the variance.
        best_low: lower end of its 95% interval.
        best_high: upper end.
        predicted_cut: predicted relative reduction of the residual's variance from beta = 0 to ``best``.
        measured_cut: the same, measured on gradients.
        top_share: share of the variance at beta = 0 carried by the largest 1% of rows.
        n: rows.
    """

    route: str
    noise: float
    jacobi: float
    bias: float
    best: float
    best_low: float
    best_high: float
    predicted_cut: float
    measured_cut: float
    top_share: float
    n: int


class Advice(NamedTuple):
    """The coefficient to use, how sure that is, why, and what would change it.

    Args:
        beta: the coefficient to use.
        sureness: how sure.
        measured: measurements on the checkpoint.
        quality: a row per beta of the sweep: mean sw1 with its 95% interval over seeds, floor, n, seeds, diverged, gain
            against beta = 0 (paired by seed) with its interval.
        reasons: sentences.
        would_change: sentences.
        pilot: settings of the pilot runs.
    """

    beta: float
    sureness: Sureness
    measured: Measured
    quality: pd.DataFrame
    reasons: tuple[str, ...]
    would_change: tuple[str, ...]
    pilot: dict[str, Any]

    def __str__(self) -> str:
        lines = [f"Use beta = {self.beta:g} ({self.sureness}).", *(f"- {reason}" for reason in self.reasons)]
        return "\n".join([*lines, "What would change this:", *(f"- {item}" for item in self.would_change)])


def advise(
    run: Run,
    steps: int | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    probes: bool = False,
    n: int = 16_384,
    progress: bool | None = None,
) -> Advice:
    """Measure a checkpoint, try the promising coefficients in short runs, and say which to use.

    Args:
        run: of method `meanflow` with the conditional target.
        steps: of each pilot run; by default 3000, or the run's own if fewer.
        seeds: of the pilot runs, at least two for an interval.
        probes: random probes and an independent proxy even where the exact quantities are at hand.
        n: samples behind each score.
        progress: a progress bar; by default on a terminal.

    Raises:
        ValueError: another method or target, fewer than two seeds, a bad count.
    """
    if len(set(seeds)) < 2:
        raise ValueError(f"advice needs at least two seeds, got {list(seeds)}")
    if run.config.method != "meanflow" or run.config.target != "conditional":
        raise ValueError(
            "advice on beta needs method 'meanflow' with target 'conditional', "
            f"got method {run.config.method!r}, target {run.config.target!r}"
        )
    if run.config.proxy == "conditional":
        raise ValueError(
            "beta has no effect with proxy 'conditional'; choices: batch_posterior, ema, online, oracle"
        )
    measured = measure(run, probes)
    pilot = run.config.replace(
        steps=steps or min(run.config.steps, PILOT_STEPS),
        coefficient="constant",
        coefficient_options={},
        log_every=0,
        eval_samples=0,  # pilots are scored at their end only, so their histories need no scores
    )
    tried = round(min(max(measured.best, LOW), HIGH), 2)
    quality = quality_sweep(pilot, sorted({*SWEEP_BETAS, tried}), seeds, n, progress)
    beta, sureness, why = decide(quality)
    return Advice(
        beta,
        sureness,
        measured,
        quality,
        (*_words(measured, tried), *why),
        _would_change(run.config, pilot),
        pilot.to_dict(),
    )


def measure(run: Run, probes: bool = False) -> Measured:
    """Measurements on the checkpoint that bear on beta."""
    if probes:
        found = probe(run)
        quadratic, noise, bias, route = found.loss, found.noise, found.bias, "probes"
        jacobi = math.sqrt(found.jacobi)
    else:
        landscape = beta_landscape(run, betas=(0.0, 1.0))
        quadratic, noise, route = landscape.output, landscape.sigma2, "exact"
        bias, jacobi = landscape.bias / run.dataset.dim, landscape.published.kappa_size
    best, half = quadratic.minimiser, Z95 * quadratic.minimiser_stderr
    traces = gradient_variance(run, betas=(0.0, min(max(best, LOW), HIGH)), num_batches=64)[
        "trace"
    ].to_numpy()
    return Measured(
        route=route,
        noise=noise,
        jacobi=jacobi,
        bias=bias,
        best=best,
        best_low=best - half,
        best_high=best + half,
        predicted_cut=_cut(quadratic, best),
        measured_cut=1 - float(traces[1]) / float(traces[0]),
        top_share=quadratic.top_share,
        n=quadratic.n,
    )


def quality_sweep(
    pilot: RunConfig, betas: Sequence[float], seeds: Sequence[int], n: int, progress: bool | None
) -> pd.DataFrame:
    """Short runs at each beta and seed, scored by sliced W1, paired by seed against beta = 0."""
    cells = [pilot.replace(beta=beta, seed=seed) for beta in betas for seed in seeds]
    results = []
    for config, run in zip(cells, train_many(cells, progress=progress), strict=True):
        result = Result(config, run.status)
        if run.status == "done":
            result = result._replace(score=evaluate(run, ["sliced_w1"], n=n, num_keys=2)["sliced_w1"])
        results.append(result)
    arms = {arm.key: arm for arm in group(results, lambda result: result.config.beta)}
    # The floor is that of the data at this n, the same for every run.
    floor = next((result.score.floor for result in reversed(results) if result.is_scored), math.nan)
    rows = []
    for beta, arm in arms.items():
        sw1, reduction = arm.interval(), gain(arm, arms[0.0]) or NO_INTERVAL
        row = {"beta": beta, "seeds": sw1.n, "diverged": len(arm.results) - sw1.n, "floor": floor, "n": n}
        row |= {"sw1": sw1.mean, "low": sw1.low, "high": sw1.high}
        rows.append(row | {"gain": reduction.mean, "gain_low": reduction.low, "gain_high": reduction.high})
    return pd.DataFrame(rows)


def decide(quality: pd.DataFrame) -> tuple[float, Sureness, tuple[str, ...]]:
    """The coefficient with the best samples, unless its gain over beta = 0 is small or lies within the noise.

    sure: the 95% interval of the gain lies above 5%. fairly sure: above 0. not sure: it contains 0; then the advice is
    the best mean if its mean gain exceeds 5%, else beta = 0, which is the simplest. A beta of which a run diverged is
    never chosen.

    Raises:
        ValueError: every pilot run diverged.
    """
    rows = [row for row in quality.to_dict("records") if row["seeds"] and not row["diverged"]]
    if not rows:
        raise ValueError("every pilot run diverged: lower the learning rate, or set grad_clip, and ask again")
    best = min(rows, key=lambda row: row["sw1"])
    line = (
        f"In pilot runs beta = {best['beta']:g} gave the best samples: sliced W1 {best['sw1']:.4f} "
        f"(floor {best['floor']:.4f}, n {best['n']}, {best['seeds']} seeds)"
    )
    if best["beta"] == 0.0:
        return 0.0, "fairly sure", (f"{line}; nothing tried was better than plain MeanFlow.",)
    if math.isnan(best["gain"]):
        return best["beta"], "fairly sure", (f"{line}; beta = 0 diverged.",)
    said = (
        f"{best['gain']:.0%} below beta = 0, 95% interval [{best['gain_low']:.0%}, {best['gain_high']:.0%}]"
    )
    if best["gain_low"] > SMALL_GAIN:
        return best["beta"], "sure", (f"{line}, {said}.",)
    if best["gain_low"] > 0:
        return best["beta"], "fairly sure", (f"{line}, {said}.",)
    if best["gain"] > SMALL_GAIN:
        return best["beta"], "not sure", (f"{line}, {said}: the interval contains none.",)
    return 0.0, "not sure", (f"{line}, {said}: no difference worth a setting, so the simplest is advised.",)


def _words(measured: Measured, tried: float) -> tuple[str, ...]:
    how = "the exact velocity" if measured.route == "exact" else "random probes and an independent proxy"
    expands = "amplifies" if measured.jacobi > 1 else "damps"
    return (
        f"Noise of the conditional velocity {measured.noise:.3g} per coordinate; the Jacobi factor {expands} it "
        f"{measured.jacobi:.2f} times (root mean square); bias of the proxy {measured.bias:.3g} "
        f"(measured with {how}, n {measured.n}).",
        f"Best for the variance: beta = {measured.best:.2f}, 95% interval [{measured.best_low:.2f}, "
        f"{measured.best_high:.2f}]: predicted to cut the noise of the residual by {measured.predicted_cut:.0%} "
        f"against beta = 0; at {tried:g} the gradient's variance falls by {measured.measured_cut:.0%} (measured).",
        f"The noisiest 1% of rows carry {measured.top_share:.0%} of that variance at beta = 0.",
    )


def _would_change(config: RunConfig, pilot: RunConfig) -> tuple[str, ...]:
    longer = (
        "" if pilot.steps >= config.steps else f"the pilots ran {pilot.steps} steps, the run {config.steps}: "
    )
    return (
        f"A longer budget: {longer}beta matters less as noise averages out.",
        f"A larger batch (now {config.batch_size}), gradient clipping (now {config.grad_clip:g}) or a smaller "
        "learning rate: each takes noise away and with it the difference between coefficients.",
        "Modes that lie further apart or are sharper: the flow map expands more between them, and beta matters more.",
        f"A better proxy than {config.proxy!r}: with less bias beta can also replace the target.",
    )


def _cut(quadratic: Quadratic, beta: float) -> float:
    return 1 - float(quadratic(beta)) / float(quadratic(0.0))
