"""Feature nets and the scores computed with them: Frechet and kernel distances of images, label accuracy.

A distance is called FID only if the features are Inception's. Those of the in-repo classifiers are FDD and FFD: they
rank models of this lab and cannot be compared with published numbers.
"""

from toylab.features.base import AbstractFeatureNet, feature_nets, load
from toylab.features.distances import (
    Gaussian,
    fit_gaussian,
    frechet_distance,
    kernel_distance,
    read_gaussian,
)
from toylab.features.scores import ImageScore, Yardstick, image_scores, score_line

__all__ = [
    "AbstractFeatureNet",
    "Gaussian",
    "ImageScore",
    "Yardstick",
    "feature_nets",
    "fit_gaussian",
    "frechet_distance",
    "image_scores",
    "kernel_distance",
    "load",
    "read_gaussian",
    "score_line",
]
