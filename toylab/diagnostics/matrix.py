r"""The best coefficient and the best matrix in its place, for nets of any size: products with vectors, no Jacobian.

With a matrix B for beta the residual is R(B) = r_theta + J v' + A B w, where J = A - I, A = (t - r) d_x u, v' is the
noise of v_cond and w = v_hat - v_cond. For B = sum_k b_k P_k its noise and bias,

    f(b) = E|J v' + sum_k b_k A P_k w|^2,

is a quadratic in b whose terms are means of products of vectors of single pairs: K + 2 tangents of the net each.
"""

from typing import NamedTuple

import jax
import numpy as np
import pandas as pd
from jaxtyping import Float

from toylab.data import AbstractDataset
from toylab.devices.parallel import single_precision
from toylab.diagnostics.local import (
    Reference,
    check_reference,
    is_function_of_place,
    meanflow_of,
    over_pairs,
    reference_velocity,
    seen_velocity,
    stacked,
    trained_net,
)
from toylab.methods import Example
from toylab.options import whole
from toylab.training import Run
from toylab.training.experiment import Experiment
from toylab.training.objective import Batch, context_of, guided_pair
from toylab.training.state import TrainState
from toylab.types import AnyArray, Point

CHUNK = 256
"""Pairs per call: few, since every one of them takes several tangents of the net."""
AT_ONCE = 8
"""Pairs whose exact velocity is found together: of images each of them looks at the whole set."""
GROUPS = 4
"""Groups of principal directions, where nothing else is asked for."""
NUM_SAMPLES = 8192
"""Data points whose principal directions are taken."""
MAX_FULL = 4
"""Dimensions in which every entry of the matrix is free."""
MAX_VALUES = 2**28
"""Numbers in a basis: a gigabyte."""


class Products(NamedTuple):
    """Of one pair, or of many along a leading axis; e = v_cond - v of the velocity that is taken for the true one."""

    square: Float[AnyArray, "*n"]
    """|J e|^2."""
    cross: Float[AnyArray, "*n k"]
    """(J e) . (A P_k w)."""
    gram: Float[AnyArray, "*n k k"]
    """(A P_k w) . (A P_l w)."""
    noise: Float[AnyArray, "*n"]
    """-(A e) . (A w)."""


class MatrixCoefficient(NamedTuple):
    """What `matrix_coefficient` found.

    Args:
        scalar: the number that minimises noise and bias.
        scalar_stderr: its standard error.
        scalar_without_bias: E Tr(J Sigma A^T) / E Tr(A Sigma A^T), the published matrix form less its bias term; NaN
            for a proxy that looks at the example's own pair, whose error is no bias.
        scalar_without_bias_stderr: its standard error.
        parts: b_k of the best matrix.
        parts_stderr: their standard errors.
        halves: b_k fitted to either half of the pairs, which share none.
        basis: P_k; they add up to the identity, or are its entries.
        noise: rows zero, scalar and matrix: ``noise``, f / dim of what was fitted to the other half of the pairs, so
            that a fit gains nothing by its freedom; ``cut``, the share of the noise at zero that it saves; and their
            standard errors.
        velocity: what was taken for the true velocity.
        n: pairs.
    """

    scalar: float
    scalar_stderr: float
    scalar_without_bias: float
    scalar_without_bias_stderr: float
    parts: Float[np.ndarray, " k"]
    parts_stderr: Float[np.ndarray, " k"]
    halves: Float[np.ndarray, "2 k"]
    basis: Float[np.ndarray, "k dim dim"]
    noise: pd.DataFrame
    velocity: str
    n: int

    @property
    def matrix(self) -> Float[np.ndarray, "dim dim"]:
        """B = sum_k b_k P_k."""
        return np.tensordot(self.parts, self.basis, axes=1)

    def __str__(self) -> str:
        cut = self.noise["cut"]
        return "\n".join(
            [
                f"Best coefficient over {self.n} pairs (velocity: {self.velocity})",
                f"one number              {self.scalar:.3f} +- {1.96 * self.scalar_stderr:.3f}, "
                f"without the bias term {self.scalar_without_bias:.3f} "
                f"+- {1.96 * self.scalar_without_bias_stderr:.3f}",
                f"parts of a matrix       {', '.join(f'{part:.3f}' for part in self.parts)}",
                f"noise less than at 0 by {cut['scalar']:.1%} and {cut['matrix']:.1%}, on pairs that were not fitted",
            ]
        )


def matrix_coefficient(
    run: Run,
    reference: Run | None = None,
    *,
    basis: str = "principal",
    num_groups: int | None = None,
    num_points: int = 4096,
    seed: int = 0,
) -> MatrixCoefficient:
    r"""The best scalar and the best matrix coefficient of a run, by products with vectors.

        b* = -M^{-1} c,   c_k = E (J e) . (A P_k w),   M_kl = E (A P_k w) . (A P_l w).

    With the exact velocity (e = v') nothing here is biased. A reference whose error is d = v_ref - v enters c alone, by
    -E (J d) . (A P_k b): a product of two errors, the reference's and the proxy's, which vanishes as far as they are
    independent. What they have in common stays: on finite data both nets smooth, the bias term is underrated, and the
    scalar is too high (1.13 for 0.85 on digits). Without the bias term it is better off, since E Tr(A Sigma A^T) is
    taken as -E (A e) . (A w) and not as E|A e|^2, which has the reference's error squared. ``noise`` at zero has
    |J d|^2 in it.

    Args:
        run: of MeanFlow; pairs are drawn and guided as in its training, without the adaptive weight.
        reference: a run on the same data, trained by flow matching alone and without guidance, from another seed. By
            default the exact velocity of the data, where they have one.
        basis: ``principal``, multiples of the identity on groups of principal directions of the data; ``full``, every
            entry, in at most 4 dimensions.
        num_groups: equal groups of principal directions, the largest variances first; by default 4, or as many as
            there are dimensions if those are fewer.
        num_points: pairs, rounded up to whole chunks of 256.
        seed: of the pairs.

    Raises:
        ValueError: another method or target, a bad basis or count, no velocity to compare with, or a reference that
            knows another one.

    Source: Lu and Wang 2026 (lu2026variance), matrix form of the best coefficient; the estimators are own
        constructions.
    """
    meanflow_of(run.experiment)
    num_points = whole("num_points", num_points, 4, 10_000_000)
    velocity = "exact, of the data"
    if reference is not None:
        check_reference(run, reference)
        velocity = f"a run of {reference.config.method}, seed {reference.config.seed}, step {reference.step}"
    elif run.dataset.shape.num_classes:
        raise ValueError(f"{run.config.dataset} has classes and no one velocity: give a reference run")
    matrices, unit = _basis(run.dataset, basis, num_groups)
    other = None if reference is None else (reference.experiment, reference.state)
    with single_precision():
        shared = (other, np.asarray(matrices, np.float32), np.asarray(unit, np.float32))
        chunks = over_pairs(_products, run.experiment, run.state, num_points, seed, CHUNK, shared)
    return _summary(stacked(chunks), matrices, unit, is_function_of_place(run.experiment), velocity)


def _basis(
    dataset: AbstractDataset, basis: str, num_groups: int | None
) -> tuple[Float[np.ndarray, "k dim dim"], Float[np.ndarray, " k"]]:
    """P_k, and the b that makes them the identity."""
    dim = dataset.dim
    if basis == "full":
        if dim > MAX_FULL:
            raise ValueError(f"the basis full is for at most {MAX_FULL} dimensions, these data have {dim}")
        return np.eye(dim * dim).reshape(dim * dim, dim, dim), np.eye(dim).ravel()
    if basis != "principal":
        raise ValueError(f"unknown basis {basis!r}; choices: full, principal")
    num_groups = min(GROUPS, dim) if num_groups is None else whole("num_groups", num_groups, 1, dim)
    if num_groups * dim**2 > MAX_VALUES:
        raise ValueError(
            f"{num_groups} groups of {dim} dimensions are too many: at most {MAX_VALUES // dim**2}"
        )
    covariance = np.cov(dataset.sample(NUM_SAMPLES), rowvar=False)
    directions = np.linalg.eigh(covariance.reshape(dim, dim))[1][:, ::-1]
    groups = np.array_split(directions, num_groups, axis=1)
    return np.stack([group @ group.T for group in groups]), np.ones(num_groups)


def _products(
    experiment: Experiment,
    state: TrainState,
    batch: Batch,
    other: Reference | None,
    basis: Float[AnyArray, "k dim dim"],
    unit: Float[AnyArray, " k"],
) -> Products:
    context = context_of(experiment, trained_net(experiment, state), state, batch)
    method = meanflow_of(experiment)

    def velocity(example: Example) -> Point:
        if other is not None:
            return reference_velocity(other, example)
        return experiment.dataset.velocity(example.x_t, example.t)

    def one(drawn: Example, v: Point) -> Products:
        example, own = guided_pair(experiment, drawn, context)
        x_t, r, t = example.x_t, example.r, example.t
        e = example.v_cond - seen_velocity(experiment, drawn, context, v)
        w = method.tangent(x_t, t, example.x0, example.eps, own) - example.v_cond
        push = jax.linearize(lambda x: own.net(x, r, t), x_t)[1]
        slopes = jax.vmap(lambda p: example.gap * push(p @ w))(basis)
        along = example.gap * push(e)  # A e
        start = along - e
        return Products(start @ start, slopes @ start, slopes @ slopes.T, -along @ (unit @ slopes))

    velocities = jax.lax.map(velocity, batch.pairs, batch_size=AT_ONCE)
    return jax.vmap(one)(batch.pairs, velocities)


def _summary(
    rows: Products,
    basis: Float[np.ndarray, "k dim dim"],
    unit: Float[np.ndarray, " k"],
    has_bias: bool,
    velocity: str,
) -> MatrixCoefficient:
    n = len(rows.square)
    if not all(np.all(np.isfinite(each)) for each in rows):
        raise ValueError(f"{n} pairs have products that are not finite (is the net finite?)")
    line = _along(rows, unit)
    (scalar,), (scalar_stderr,) = _fitted(line)
    without = without_stderr = np.nan
    if has_bias:
        (without,), (without_stderr,) = _fitted(line._replace(gram=rows.noise[:, None, None]))
    parts, parts_stderr = _fitted(rows)
    first, second = (Products(*(leaf[start::2] for leaf in rows)) for start in (0, 1))
    halves = np.stack([_fitted(first)[0], _fitted(second)[0]])
    return MatrixCoefficient(
        scalar=float(scalar),
        scalar_stderr=float(scalar_stderr),
        scalar_without_bias=float(without),
        scalar_without_bias_stderr=float(without_stderr),
        parts=parts,
        parts_stderr=parts_stderr,
        halves=halves,
        basis=basis,
        noise=_held_out(first, second, unit, basis.shape[-1]),
        velocity=velocity,
        n=n,
    )


def _along(rows: Products, unit: Float[np.ndarray, " k"]) -> Products:
    """The products for multiples of the identity alone."""
    return rows._replace(cross=rows.cross @ unit[:, None], gram=(unit @ rows.gram @ unit)[:, None, None])


def _fitted(rows: Products) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """-M^{-1} c and its standard errors, by linearisation; NaN where beta has no effect."""
    gram, cross, n = rows.gram.mean(axis=0), rows.cross.mean(axis=0), len(rows.square)
    if not np.any(gram):
        return np.full(len(cross), np.nan), np.full(len(cross), np.nan)
    inverse = np.linalg.pinv(gram, hermitian=True)
    best = -inverse @ cross
    slips = (rows.cross + rows.gram @ best) @ inverse
    return best, slips.std(axis=0, ddof=1) / np.sqrt(n)


def _held_out(first: Products, second: Products, unit: Float[np.ndarray, " k"], dim: int) -> pd.DataFrame:
    """Noise of what is fitted to one half of the pairs, on the other."""
    values = {"zero": [], "scalar": [], "matrix": []}
    for fitted, judged in ((first, second), (second, first)):
        scalar, parts = _fitted(_along(fitted, unit))[0], _fitted(fitted)[0]
        choices = {"zero": 0 * unit, "scalar": scalar * unit, "matrix": parts}
        for name, b in choices.items():
            values[name].append(judged.square + 2 * judged.cross @ b + (judged.gram @ b) @ b)
    each = {name: np.concatenate(halves) / dim for name, halves in values.items()}
    at_zero, n = each["zero"], len(each["zero"])
    table = {}
    for name, noise in each.items():
        kept = noise.mean() / at_zero.mean()
        table[name] = {
            "noise": noise.mean(),
            "noise_stderr": noise.std(ddof=1) / np.sqrt(n),
            "cut": 1 - kept,
            "cut_stderr": (noise - kept * at_zero).std(ddof=1) / np.sqrt(n) / at_zero.mean(),
        }
    return pd.DataFrame.from_dict(table, orient="index")
