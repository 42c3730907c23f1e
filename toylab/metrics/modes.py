"""Metrics of samples against the known modes of a mixture: how evenly they are hit, and how many are reached."""

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree
from scipy.stats import chi2

from toylab.metrics.base import ModesLike, metrics


@metrics.register("mode_balance", needs_modes=True)
def mode_balance(
    samples: Float[np.ndarray, "n dim"], reference: Float[np.ndarray, "m dim"], modes: ModesLike
) -> float:
    r"""Total variation between the shares of samples by nearest centre and the true weights: 0 is best.

        1/2 sum_k | #{i : c_k is nearest to x_i} / n - w_k |

    Every sample counts, however far from its centre (``mode_coverage`` considers the distance). If modes overlap, the
    cells of the centres do not hold exactly w_k of the data: compare with the floor. ``reference`` is not used.
    """
    weights = np.asarray(modes.weights)
    _, nearest = KDTree(modes.centres).query(samples)
    shares = np.bincount(nearest, minlength=len(weights)) / len(samples)
    return float(0.5 * np.abs(shares - weights).sum())


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        raise ValueError(f"share must be in (0, 1], got {share}")


@metrics.register("mode_coverage", higher_is_better=True, needs_modes=True, check=_check_share)
def mode_coverage(
    samples: Float[np.ndarray, "n dim"],
    reference: Float[np.ndarray, "m dim"],
    modes: ModesLike,
    *,
    share: float = 0.1,
) -> float:
    r"""Share of modes that receive at least a tenth of their fair mass of samples: 1 is best.

    A sample belongs to mode k if c_k is its nearest centre and it lies within s_k sqrt(q_d) of it, where q_d is the
    0.997 quantile of chi^2 with d = dim degrees of freedom (3 standard deviations in one dimension). Mode k is covered
    if at least max(1, share * w_k * n) samples belong to it. ``reference`` is not used.

    Args:
        samples: points (n, dim).
        reference: not used.
        modes: the modes of the dataset.
        share: share of the fair mass w_k n, in (0, 1].
    """
    distance, nearest = (np.asarray(a) for a in KDTree(modes.centres).query(samples))
    radius = np.asarray(modes.stds) * np.sqrt(chi2.ppf(0.997, samples.shape[1]))
    counts = np.bincount(nearest[distance <= radius[nearest]], minlength=len(radius))
    wanted = np.maximum(1, share * np.asarray(modes.weights) * len(samples))
    # A tolerance of 1e-9: 20 samples of a wanted 20 are enough, even if the product was rounded up.
    return float(np.mean(counts >= wanted * (1 - 1e-9)))
