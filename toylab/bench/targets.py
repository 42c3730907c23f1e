"""What an H100 is to reach, thought out before any was at hand: aims, never results.

A step of DiT-B/4 with guidance and beta = 0 takes 6.03 forward passes of 11.18 Gflop an example where every row takes
the Jacobian-vector product, 4.54 where rows with r = t stand apart. The goals add the time of the matrix products at
798 Tflop/s, the most that large bfloat16 products reached elsewhere, to that of 230 to 320 MB of unfused elementwise
traffic an example at 3 TB/s.
"""

from typing import NamedTuple

H100 = "NVIDIA H100 80GB HBM3"
PEAKS = {H100: 989e12, "NVIDIA H200": 989e12}
"""Device -> bfloat16 operations a second by its data sheet, without sparsity."""
LEAST_RATIO = 1.2
"""Speed of the split step over that of the plain one."""
MOST_BYTES = {256: 30e9}
"""Batch size -> memory of the split step that should be enough."""


class Target(NamedTuple):
    """Examples a second: what is the least, and the range that the estimate gives."""

    least: float
    goal: tuple[float, float]


DIT_B4 = {"plain": Target(4_000, (5_200, 6_200)), "split": Target(5_200, (6_900, 8_300))}
TARGETS = {"fashion32-dit-B4": DIT_B4, "imagenet-latent-dit-B4": DIT_B4}
"""Config -> step -> target on one H100."""
BATCH_SIZES = {"fashion32-dit-B4": (256, 1024), "imagenet-latent-dit-B4": (256, 1024)}
"""Config -> batch sizes that are timed where nobody asks for others; else its own."""
