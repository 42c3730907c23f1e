"""Speed targets for one H100, set in advance from an estimate; they are not results.

A step of DiT-B/4 with guidance and beta = 0 takes 6.03 forward passes of 11.18 Gflop an example where every row takes
the Jacobian-vector product, 4.54 where rows with r = t stand apart. The goals add the time of the matrix products at
798 Tflop/s, the most that large bfloat16 products reached elsewhere, to that of 230 to 320 MB of unfused elementwise
traffic an example at 3 TB/s.
"""

from typing import NamedTuple

H100 = "NVIDIA H100 80GB HBM3"
PEAKS = {H100: 989e12, "NVIDIA H200": 989e12}
"""Device -> peak bfloat16 operations per second by its data sheet, without sparsity."""
LEAST_RATIO = 1.2
"""Least ratio of the speed of the split step to that of the plain one."""
MOST_BYTES = {256: 30e9}
"""Batch size -> most bytes of memory of the split step."""


class Target(NamedTuple):
    """Target in examples per second: the least that passes, and the range of the estimate."""

    least: float
    goal: tuple[float, float]


DIT_B4 = {"plain": Target(4_000, (5_200, 6_200)), "split": Target(5_200, (6_900, 8_300))}
TARGETS = {"fashion32-dit-B4": DIT_B4, "imagenet-latent-dit-B4": DIT_B4}
"""Config -> step -> target on one H100."""
BATCH_SIZES = {"fashion32-dit-B4": (256, 1024), "imagenet-latent-dit-B4": (256, 1024)}
"""Config -> default batch sizes to time; other configs are timed at their own batch size."""
