"""Feature nets and what is measured with them: Frechet and kernel distances of images, label accuracy.

A number is called FID only where the features are Inception's; those of the in-repo classifiers are FDD and FFD, which
rank models of this lab and are comparable with nothing else.
"""

from toylab.features.base import AbstractFeatureNet, feature_nets, load
from toylab.features.frechet import Gaussian, fit_gaussian, frechet_distance, read_gaussian
from toylab.features.kernel import kernel_distance
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
