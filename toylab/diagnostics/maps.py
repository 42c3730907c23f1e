"""Where in the plane the flow map expands, and where a coefficient helps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from toylab.data import AbstractDataset, datasets
from toylab.data.oracle import Oracle
from toylab.devices.parallel import compiled
from toylab.diagnostics.local import is_function_of_place, meanflow_of, plain_experiment, trained_net
from toylab.diagnostics.quadratic import top_share
from toylab.nets import flat_net
from toylab.plots.figures import PANEL
from toylab.proxies import Context
from toylab.training import Run
from toylab.training.experiment import Experiment
from toylab.training.state import TrainState

QUANTILES = (0.5, 0.9, 0.99, 0.999)
FAINT = 1e-3
"""Points whose density lies below this share of the largest one are masked."""
_DENSITY_POINTS = 4096
Field = Float[np.ndarray, "times rows columns"]


@dataclass(frozen=True)
class Maps:
    r"""Fields on a grid of the plane, one layer per t.

    Args:
        axis: coordinates of the grid, both ways; ``field[k, i, j]`` stands at (axis[j], axis[i]) and t[k].
        t: later times.
        r: earlier time.
        beta: coefficient of ``noise``.
        expansion: spectral norm of rho = I - A, the Jacobian of the flow map from t to r.
        noise: Tr(N Sigma N^T), N = (I - A) + beta A.
        bias: |b| of the proxy; 0 for a dataset, whose proxy is the exact velocity.
        best_beta: -Tr((I - A) Sigma A^T) / (Tr(A Sigma A^T) + |A b|^2), where beta matters at all.
        density: p_t, estimated with the exact noise kernel around 4096 data points.
        jacobian: A = (t - r) d_x u.
        covariance: Sigma.
        title: of what.

    At a point on a separatrix the flow map has no Jacobian that a number can hold: the fields are nan there.
    """

    axis: Float[np.ndarray, " columns"]
    t: tuple[float, ...]
    r: float
    beta: float
    expansion: Field
    noise: Field
    bias: Field
    best_beta: Field
    density: Field
    jacobian: Float[np.ndarray, "times rows columns 2 2"]
    covariance: Float[np.ndarray, "times rows columns 2 2"]
    title: str

    def with_beta(self, beta: float) -> "Maps":
        """The same with the noise of another coefficient: nothing else depends on it, and nothing is solved again.

        Raises:
            ValueError: ``beta`` is not finite.
        """
        return replace(self, beta=_finite(beta), noise=_noise(self.jacobian, self.covariance, beta))

    @property
    def mask(self) -> np.ndarray:
        """True where a point is too unlikely to matter."""
        return self.density < FAINT * self.density.max(axis=(1, 2), keepdims=True)

    def quantiles(self) -> pd.DataFrame:
        """Quantiles of |rho| and of the best beta under p_t, mean noise, and the share that its top 1% carry.

        The grid stands for p_t: a ridge narrower than its spacing is missed, and `beta_landscape` draws points.
        """
        rows = []
        for k, t in enumerate(self.t):
            weights, noise = self.density[k].ravel(), self.noise[k].ravel()
            known = np.isfinite(noise)
            share = weights[known] / weights[known].sum()
            row = {"t": t, "noise": float(share @ noise[known]), "top_1%": top_share(noise[known], share)}
            for name in ("expansion", "best_beta"):
                found = _weighted_quantiles(getattr(self, name)[k].ravel(), weights)
                row |= {f"{name}_{level:g}": value for level, value in zip(QUANTILES, found, strict=True)}
            rows.append(row)
        return pd.DataFrame(rows).set_index("t")

    def figure(self) -> Figure:
        """A row per field and a column per t; one colour scale per row."""
        return maps_figure(self)


def maps(
    source: Run | AbstractDataset | str,
    r: float = 0.0,
    t: float | Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    beta: float = 1.0,
    resolution: int = 48,
    extent: float | None = None,
) -> Maps:
    r"""|rho|, noise, bias and the locally best beta over the plane.

    Args:
        source: a run (its trained net, A = (t - r) d_x u, and its proxy), or a dataset or its name (the exact flow
            map, A = I - rho, and the exact velocity as proxy).
        r: earlier time, in [0, t).
        t: later time or times, each in [0.02, 1].
        beta: coefficient, any finite real.
        resolution: grid points along each axis, in [2, 512].
        extent: the grid covers [-extent, extent]^2; by default data and noise.

    Raises:
        ValueError: a number out of range, data that are not in the plane, or a proxy that looks at its own pair.
    """
    times = tuple(float(each) for each in (t if isinstance(t, Sequence) else (t,)))
    if not times or not all(0.02 <= each <= 1 and 0 <= r < each for each in times):
        raise ValueError(f"times must satisfy 0 <= r < t and 0.02 <= t <= 1, got r = {r} and t = {times}")
    if not 2 <= resolution <= 512:
        raise ValueError(f"resolution must lie in [2, 512], got {resolution}")
    beta = _finite(beta)
    if extent is not None and not 0 < extent < 1e6:
        raise ValueError(f"extent must be positive, got {extent}")
    dataset = source.dataset if isinstance(source, Run) else source
    dataset = datasets.create(dataset, {}) if isinstance(dataset, str) else dataset
    if dataset.dim != 2:
        raise ValueError(f"maps need points in the plane, got dimension {dataset.dim}")
    if isinstance(source, Run) and not is_function_of_place(source.experiment):
        raise ValueError(f"maps need a proxy of x_t alone, got {source.config.proxy!r}")
    data = dataset.sample(_DENSITY_POINTS, seed=0).astype(np.float64)
    half = float(extent or max(3.0, 1.05 * np.quantile(np.abs(data), 0.999)))
    axis = np.linspace(-half, half, resolution)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    layers = []
    for each in times:
        if isinstance(source, Run):
            a, sigma, b = _of_run(source, points, r, each)
        else:
            a, sigma, b = _of_dataset(dataset, points, r, each)
        layers.append((*_fields(a, sigma, b, beta), _density(points, data, each), a, sigma))
    shape = (len(times), resolution, resolution)
    stacked = [np.stack(field) for field in zip(*layers, strict=True)]
    fields = [field.reshape(shape + field.shape[2:]) for field in stacked]
    title = repr(source) if isinstance(source, Run) else f"exact solution of {type(dataset).__name__}"
    if isinstance(source, str):
        title = f"exact solution of {source}"
    expansion, noise, bias, best_beta, density, jacobian, covariance = fields
    return Maps(
        axis,
        times,
        float(r),
        beta,
        expansion,
        noise,
        bias,
        best_beta,
        density,
        jacobian=jacobian,
        covariance=covariance,
        title=title,
    )


def _of_dataset(dataset: AbstractDataset, points, r: float, t: float):
    oracle = Oracle(dataset)
    x = points.astype(np.float32)
    rho = np.asarray(oracle.flow_map_jacobian(x, t, r), np.float64)
    sigma = np.asarray(oracle.velocity_covariance(x, t), np.float64)
    return np.eye(2) - rho, sigma, np.zeros_like(points)


def _of_run(run: Run, points, r: float, t: float):
    found = compiled(_net_terms)(
        plain_experiment(run.experiment), run.state, points.astype(np.float32), np.float32(r), np.float32(t)
    )
    return tuple(np.asarray(each, np.float64) for each in found)


def _net_terms(experiment: Experiment, state: TrainState, points: Array, r: Array, t: Array):
    net = trained_net(experiment, state)
    net_ema = flat_net(experiment.net).bind(jnp.asarray(state.params_ema))
    context, tangent = Context(net, net_ema, experiment.dataset), meanflow_of(experiment).tangent

    def one(x):
        v, sigma = experiment.dataset.velocity_moments(x, t)
        a = (t - r) * jax.jacfwd(lambda x: net(x, r, t))(x)
        return a, sigma, tangent(x, t, x, x, context) - v

    return jax.vmap(one)(points)


def _fields(a, sigma, b, beta: float) -> tuple[np.ndarray, ...]:
    """|rho|, noise, |b| and best beta of each point."""
    # Far expansions overflow to inf and nan: no number, at any coefficient.
    known = np.all(np.isfinite(a), axis=(1, 2))
    a = np.where(known[:, None, None], a, np.nan)
    rho, noise = np.eye(2) - a, _noise(a, sigma, beta)
    cross = np.einsum("nij,njk,nik->n", rho, sigma, a)
    square = np.einsum("nij,njk,nik->n", a, sigma, a) + np.sum(np.einsum("nij,nj->ni", a, b) ** 2, axis=1)
    best = np.where(square > 0, -cross / np.where(square > 0, square, 1), np.nan)
    expansion = np.full(len(a), np.nan)
    expansion[known] = np.linalg.norm(rho[known], ord=2, axis=(1, 2))
    return expansion, noise, np.linalg.norm(b, axis=1), best


def _noise(a, sigma, beta: float) -> np.ndarray:
    """Tr(N Sigma N^T) with N = (I - A) + beta A."""
    factor = np.eye(2) - a + beta * a
    return np.einsum("...ij,...jk,...ik->...", factor, sigma, factor)


def _finite(beta: float) -> float:
    if not np.isfinite(beta):
        raise ValueError(f"beta must be finite, got {beta}")
    return float(beta)


def _density(points, data, t: float) -> np.ndarray:
    """p_t at the points: the mean over data of N(x; (1 - t) x0, t^2 I)."""
    centres = (1 - t) * data
    squares = np.sum(points**2, axis=1)[:, None] + np.sum(centres**2, axis=1) - 2 * points @ centres.T
    return np.exp(-np.maximum(squares, 0) / (2 * t**2)).mean(axis=1) / (2 * np.pi * t**2)


def _weighted_quantiles(values: np.ndarray, weights: np.ndarray) -> list[float]:
    known = np.isfinite(values)
    values, weights = values[known], weights[known]
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    if not len(values) or not cumulative[-1] > 0:
        return [float("nan")] * len(QUANTILES)
    places = np.searchsorted(cumulative, np.array(QUANTILES) * cumulative[-1])
    return [float(value) for value in values[order][np.minimum(places, len(values) - 1)]]


BEST_BETAS = (-1.0, 3.0)
"""Colours of the best beta end here: 1 in the middle."""


def maps_figure(found: Maps) -> Figure:
    """A row per field, a column per t; one colour scale per row, white where the density is faint."""
    mask = found.mask
    rows = {
        "expansion": ("|rho|", "RdBu_r", _around_one(found.expansion[~mask & np.isfinite(found.expansion)])),
        "noise": (f"Tr(N Sigma N^T), beta {found.beta:g}", "viridis", _log_norm(found.noise[~mask])),
        "best_beta": ("locally best beta", "PuOr", Normalize(*BEST_BETAS)),
    }
    if np.any(found.bias > 0):
        rows["bias"] = ("|b|", "magma", Normalize(0, float(np.quantile(found.bias[~mask], 0.99)) or 1.0))
    columns = len(found.t)
    figure = Figure(
        figsize=(0.75 * PANEL * columns + 0.8, 0.75 * PANEL * len(rows)), layout="constrained", dpi=100
    )
    panels = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    for row, (name, (title, colours, norm)) in enumerate(rows.items()):
        field = np.ma.array(getattr(found, name), mask=mask | ~np.isfinite(getattr(found, name)))
        for column, t in enumerate(found.t):
            panel = panels[row, column]
            panel.pcolormesh(found.axis, found.axis, field[column], cmap=colours, norm=norm, rasterized=True)
            panel.set_aspect("equal")
            if row == 0:
                panel.set_title(f"t = {t:g}, r = {found.r:g}", fontsize="small")
        figure.colorbar(
            ScalarMappable(norm, colours), ax=list(panels[row]), label=title, extend="both", shrink=0.9
        )
    figure.suptitle(found.title, fontsize="small")
    return figure


def _around_one(values: np.ndarray) -> LogNorm:
    """Logarithmic, with 1 in the middle: white neither expands nor contracts."""
    reach = float(np.exp(np.max(np.abs(np.log(np.clip(values, 1e-2, 1e2)))))) if values.size else 10.0
    return LogNorm(1 / max(reach, 1.1), max(reach, 1.1))


def _log_norm(values: np.ndarray) -> LogNorm:
    positive = values[values > 0]
    if not positive.size:
        return LogNorm(1e-3, 1.0)
    low, high = np.quantile(positive, [0.01, 0.99])
    return LogNorm(max(low, 1e-12), max(high, 1.01 * low, 1e-11))
