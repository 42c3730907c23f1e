r"""The separation law: how far apart two modes must lie for beta to matter, by training and in closed form.

Closed form: the modes lie at -+m on the first axis, with standard deviation s; a = 1 - t, S_t = a^2 s^2 + t^2. The
coordinates do not mix: the second is Gaussian, the first has velocity c x - (t / S_t) m tanh(a m x / S_t) with
c = (t - a s^2) / S_t. What has no closed form is a quadrature in one dimension.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy.special import log_ndtr, logsumexp

from toylab.config import RunConfig
from toylab.data import datasets
from toylab.metrics.statistics import NO_INTERVAL, paired, relative_gain
from toylab.metrics.wasserstein import SlicedReference
from toylab.plots.figures import DATA, MARKERS, SERIES, panel_grid
from toylab.training import Run, train_many
from toylab.types import MIN_TIME

SEEDS_SAMPLES = (11, 12)
_PROJECTIONS = 200


@dataclass(frozen=True)
class SeparationLaw:
    """What `separation_law` found.

    Args:
        table: a row per separation and std. Exact: log_max_expansion, log of the largest |rho|; log_variance_ratio, of
            the noise at beta 0 over beta 1 on the exact solution; log_law, separation^2 / (8 std^2) + log std. With
            training: sw1_0 and sw1_1 (means over seeds), gain (their mean relative difference, positive where beta = 1
            is better, from log ratios) with its 95% t interval gain_low, gain_high over paired seeds, floor, seeds
            (that finished at both beta) and diverged (runs).
        runs: a row per run, empty without training.
        settings: of the training.
    """

    table: pd.DataFrame
    runs: pd.DataFrame
    settings: dict

    def figure(self) -> Figure:
        """Phase diagram: variance ratio on the exact solution, and the gain of beta = 1 where it was trained."""
        return separation_figure(self.table)


def separation_law(
    separations: Sequence[float] = (2, 4, 6, 8, 10),
    stds: Sequence[float] = (0.1, 0.2, 0.3, 0.5),
    steps: int = 0,
    seeds: Sequence[int] = (0, 1, 2),
    batch_size: int = 32,
    num_samples: int = 16_384,
) -> SeparationLaw:
    r"""Expansion, variance ratio and, with training, the gain of beta = 1, on `two_gaussians`.

    On the separatrix the map from noise to data expands by exactly std * exp(separation^2 / (8 std^2)), and vanilla
    MeanFlow multiplies its noise by that. Points so close to it that they see this are never drawn when modes are far:
    a net trained on samples has a finite part of it, and the gain says what is left.

    Args:
        separations: distances of the modes, positive.
        stds: standard deviations of the modes, in [0.05, 2].
        steps: of training per run; 0 trains nothing.
        seeds: of the runs; both beta share each seed.
        batch_size: of the runs.
        num_samples: behind each score.

    Raises:
        ValueError: a number out of range, or no separation, std or seed.
    """
    if not separations or not all(0 < each <= 100 for each in separations):
        raise ValueError(f"separations must lie in (0, 100], got {list(separations)}")
    if not stds or not all(0.05 <= each <= 2 for each in stds):
        raise ValueError(f"stds must lie in [0.05, 2], got {list(stds)}")
    if steps and not seeds:
        raise ValueError("training needs at least one seed, got none")
    cells = list(itertools.product(map(float, separations), map(float, stds)))
    rows = [
        {
            "separation": separation,
            "std": std,
            "log_max_expansion": log_max_expansion(separation, std),
            "log_law": float(log_separatrix_expansion(separation, std, 0.0, 1.0)),
            "log_variance_ratio": log_variance_ratio(separation, std),
        }
        for separation, std in cells
    ]
    table = pd.DataFrame(rows)
    if not steps:
        return SeparationLaw(table, pd.DataFrame(), {})
    # SiLU: the committed results were measured with it, and gains depend on it.
    settings = {
        "batch_size": batch_size,
        "steps": steps,
        "proxy": "ema",
        "activation": "silu",
        "eval_samples": 0,
    }
    configs = [
        RunConfig(
            dataset="two_gaussians",
            dataset_options={"separation": separation, "std": std},
            beta=beta,
            seed=seed,
            **settings,
        )
        for (separation, std), seed, beta in itertools.product(cells, seeds, (0.0, 1.0))
    ]
    runs = pd.DataFrame(_scores(train_many(configs), num_samples))
    gains = pd.DataFrame([_gain(runs, *cell) for cell in cells])
    return SeparationLaw(
        pd.concat([table, gains], axis=1),
        runs,
        {**settings, "seeds": list(seeds), "num_samples": num_samples},
    )


def _scores(runs: Sequence[Run], n: int) -> list[dict]:
    """Sliced W1 of every run on the same noise, and the floor of its data."""
    references: dict[tuple[float, float], tuple[SlicedReference, float]] = {}
    rows = []
    for run in runs:
        options = run.config.dataset_options
        cell = (options["separation"], options["std"])
        if cell not in references:
            data = datasets.create("two_gaussians", options)
            reference = SlicedReference(data.sample(n, SEEDS_SAMPLES[0]), _PROJECTIONS)
            references[cell] = reference, reference.distance(data.sample(n, SEEDS_SAMPLES[1]))
        reference, floor = references[cell]
        finished = run.status == "done"
        rows.append(
            {
                "separation": cell[0],
                "std": cell[1],
                "beta": run.config.beta,
                "seed": run.config.seed,
                "status": run.status,
                "sw1": reference.distance(run.sample(n, seed=SEEDS_SAMPLES[0])) if finished else np.nan,
                "floor": floor,
            }
        )
    return rows


def _gain(runs: pd.DataFrame, separation: float, std: float) -> dict:
    """1 - sw1(beta 1) / sw1(beta 0) in one cell: the t interval of paired log ratios, turned back."""
    cell = [row for row in runs.to_dict("records") if (row["separation"], row["std"]) == (separation, std)]
    zero, one = (
        {row["seed"]: row["sw1"] for row in cell if row["beta"] == beta and row["status"] == "done"}
        for beta in (0.0, 1.0)
    )
    pairs = paired(one, zero)
    mean_one, mean_zero = np.mean(pairs, axis=0) if pairs else (np.nan, np.nan)
    gain = relative_gain(one, zero, of_logs=True) or NO_INTERVAL
    return {
        "sw1_0": float(mean_zero),
        "sw1_1": float(mean_one),
        "gain": gain.mean,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "floor": cell[0]["floor"],
        "seeds": len(pairs),
        "diverged": sum(row["status"] != "done" for row in cell),
    }


_TIMES = 48
_PLACES = 600

Values = np.ndarray | np.floating


def log_separatrix_expansion(separation: float, std: float, r, t) -> Values:
    r"""log of d phi_{t->r} / dx at x = 0, half way between the modes.

    There v = 0 at every time, so that the variational equation integrates in closed form:

        rho = (sigma(r) / sigma(t)) exp[(m^2 / 2) (1 / (s^2 + q_r^2) - 1 / (s^2 + q_t^2))],   q = t / (1 - t),

    in particular s exp(m^2 / (2 s^2)) = s exp(separation^2 / (8 s^2)) from noise (t = 1) to data (r = 0).
    """
    return _potential(separation / 2, std, r) - _potential(separation / 2, std, t)


def log_max_expansion(separation: float, std: float) -> float:
    """log of the largest |rho| over all 0 <= r <= t <= 1, reached on the separatrix."""
    times = np.linspace(0, 1, 2001)
    potential = _potential(separation / 2, std, times)
    # The best partner of every t is the highest potential at an earlier time.
    return float(np.max(np.maximum.accumulate(potential) - potential))


def log_variance_ratio(separation: float, std: float) -> float:
    r"""log of E Tr(rho Sigma rho^T) / E Tr Sigma: noise at beta = 0 over noise at beta = 1, on the exact solution.

    Over x_t ~ p_t and sorted uniform times in [1e-4, 1 - 1e-4]. Along the first axis the map keeps mass,
    rho = p_t(x) / p_r(y) with y = phi(x), so that

        E[rho^2 Sigma] = int p_t(x(y))^2 / p_r(y) Sigma(x(y), t) dy,

    which is summed in logarithms: between far modes it is carried by points that no sample will ever hold.
    """
    m, s = separation / 2, std
    # Close to data and to noise the times are dense: there the map is steepest.
    grid = 1 / (1 + np.exp(-np.linspace(np.log(MIN_TIME), -np.log(MIN_TIME), _TIMES)))
    weights = np.gradient(grid)
    columns = [_Column(m, s, time) for time in grid]
    noisy, plain = [], []
    for j, at_t in enumerate(columns):
        log_trace = np.logaddexp(at_t.log_mean_sigma(), np.log(s**2 / at_t.variance))
        for i, at_r in enumerate(columns[: j + 1]):
            # The diagonal is half a cell of the triangle r < t.
            log_weight = np.log(weights[i] * weights[j] * (0.5 if i == j else 1.0))
            second = np.log(at_r.variance * s**2 / at_t.variance**2)
            noisy.append(log_weight + np.logaddexp(_log_amplified(at_r, at_t), second))
            plain.append(log_weight + log_trace)
    return float(logsumexp(noisy) - logsumexp(plain))


class _Column:
    """The first coordinate at one time, on the positive half axis."""

    def __init__(self, m: float, s: float, time: float):
        self.m, self.s, self.time = m, s, time
        self.variance = (1 - time) ** 2 * s**2 + time**2
        self.sigma, self.centre = self.variance**0.5, (1 - time) * m
        # The ridge between far modes has width variance / centre: log-spaced places resolve it.
        inner = self.sigma * np.geomspace(1e-5, 1, _PLACES // 2)
        outer = np.linspace(self.sigma, self.centre + 9 * self.sigma, _PLACES)
        self.places = np.concatenate([inner, outer[1:]])
        self.ranks = self.rank(self.places)

    def rank(self, x: np.ndarray) -> np.ndarray:
        """log of the mass between 0 and x over the mass beyond x: precise at both ends."""
        near, far = (x - self.centre) / self.sigma, -(x + self.centre) / self.sigma
        inside = log_ndtr(near) + np.log(-np.expm1(np.minimum(log_ndtr(far) - log_ndtr(near), -1e-300)))
        beyond = np.logaddexp(log_ndtr(-near), log_ndtr(far))
        return inside - beyond

    def place(self, rank: np.ndarray) -> np.ndarray:
        """The inverse of ``rank``."""
        return np.exp(np.interp(rank, self.ranks, np.log(self.places)))

    def log_density(self, x: np.ndarray) -> np.ndarray:
        left, right = -((x + self.centre) ** 2), -((x - self.centre) ** 2)
        both = np.logaddexp(left / (2 * self.variance), right / (2 * self.variance))
        return both - np.log(2 * self.sigma * np.sqrt(2 * np.pi))

    def log_sigma(self, x: np.ndarray) -> np.ndarray:
        """log Cov[v_cond | x]: within the modes, and between them."""
        argument = np.abs(self.centre * x / self.variance)
        log_sech_squared = 2 * (np.log(2) - argument - np.log1p(np.exp(-2 * argument)))
        between = 2 * np.log(max(self.m, 1e-300) * self.time / self.variance) + log_sech_squared
        return np.logaddexp(np.log(self.s**2 / self.variance), between)

    def log_mean_sigma(self) -> float:
        """log E Cov[v_cond | x]."""
        return _log_integral(self.places, self.log_density(self.places) + self.log_sigma(self.places))


def _log_amplified(at_r: _Column, at_t: _Column) -> float:
    """log E[rho^2 Sigma] of the first coordinate."""
    y = at_r.places
    x = at_t.place(at_r.ranks)
    return _log_integral(y, 2 * at_t.log_density(x) - at_r.log_density(y) + at_t.log_sigma(x))


def _log_integral(places: np.ndarray, log_values: np.ndarray) -> float:
    """log of the integral over the whole axis of an even function, by the trapezoidal rule."""
    steps = np.diff(places, prepend=0.0)
    edges = np.concatenate([log_values[:1], log_values])
    return float(np.log(2) + logsumexp(np.logaddexp(edges[:-1], edges[1:]) - np.log(2) + np.log(steps)))


def _potential(m: float, s: float, time) -> Values:
    time = np.asarray(time, np.float64)
    a = 1 - time
    variance = a**2 * s**2 + time**2
    # 1 / (s^2 + q^2) = a^2 / S_t needs no division by a.
    return 0.5 * np.log(variance) + 0.5 * m**2 * a**2 / variance


def separation_figure(table: pd.DataFrame) -> Figure:
    """The exact variance ratio over separation and std; with training also the gain, and gain against the ratio."""
    trained = "gain" in table
    figure, panels = panel_grid(3 if trained else 1)
    exact = table.pivot(index="std", columns="separation", values="log_variance_ratio") / np.log(10)
    _heat(
        panels[0],
        exact,
        "exact solution: log10 of noise\nat beta 0 over beta 1",
        "YlOrRd",
        Normalize(0, 20),
        "{:.1f}",
    )
    if trained:
        gain = 100 * table.pivot(index="std", columns="separation", values="gain")
        _heat(panels[1], gain, "SW1 gain of beta 1 over 0, %", "RdBu", Normalize(-100, 100), "{:.0f}")
        _gain_panel(panels[2], table)
    return figure


def _heat(panel: Axes, values: pd.DataFrame, title: str, colours: str, norm: Normalize, form: str) -> None:
    panel.imshow(values.to_numpy(), origin="lower", aspect="auto", cmap=colours, norm=norm)
    panel.set_xticks(range(values.shape[1]), [f"{each:g}" for each in values.columns])
    panel.set_yticks(range(values.shape[0]), [f"{each:g}" for each in values.index])
    panel.set(title=title, xlabel="separation", ylabel="std")
    for (row, column), value in np.ndenumerate(values.to_numpy()):
        dark = abs(norm(value) - 0.5) > 0.35 and not (colours == "YlOrRd" and norm(value) < 0.5)
        panel.text(
            column, row, form.format(value), ha="center", va="center", fontsize="small",
            color="white" if dark else "black",
        )  # fmt: skip


def _gain_panel(panel: Axes, table: pd.DataFrame) -> None:
    """Gain with its interval against separation, a series per std; series stand a little apart."""
    stds = sorted(set(table["std"]))
    for index, std in enumerate(stds):
        rows = table[table["std"] == std]
        columns = ("separation", "gain", "gain_low", "gain_high")
        place, gain, low, high = (np.asarray(rows[column], float) for column in columns)
        spread = np.nan_to_num(100 * np.stack([gain - low, high - gain]))
        panel.errorbar(
            place + 0.15 * (index - (len(stds) - 1) / 2), 100 * gain, np.clip(spread, 0, None),
            fmt=MARKERS[index % len(MARKERS)], ms=4, lw=1, color=SERIES[index % len(SERIES)], label=f"std {std:g}",
        )  # fmt: skip
    panel.axhline(0, color=DATA, lw=1, ls="--")
    panel.set(title="gain and 95% interval", xlabel="separation", ylabel="gain, %", ylim=(-120, 105))
    panel.legend(fontsize="x-small", frameon=False)
