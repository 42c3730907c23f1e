"""A feature net made of one of the in-repo classifiers."""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from toylab.features.base import AbstractFeatureNet, Images
from toylab.features.classifier import Classifier, ClassifierSpec
from toylab.features.weights import FOLDER, load_weights


class SmallFeatureNet(AbstractFeatureNet):
    """Features and logits of a `Classifier` with committed weights.

    Args:
        name: of the files of weights.
        distance: FDD or FFD.
        spec: of the classifier.
        folder: where the files are.
    """

    def __init__(self, name: str, distance: str, spec: ClassifierSpec, folder: Path = FOLDER):
        self.name, self.distance, self._spec = name, distance, spec
        self.dim = spec.num_features
        self._net, card = load_weights(name, spec, folder)
        self.accuracy, self.num_test = card.accuracy, card.num_test

    def prepare(self, images: Images) -> Images:
        """Images of the net's size; smaller ones get a margin of -1, which is black."""
        size, channels = self._spec.size, self._spec.channels
        height, width = images.shape[1:3]
        margin = size - height
        if height != width or margin < 0 or margin % 2 or margin > size // 4 or images.shape[3] != channels:
            raise ValueError(
                f"{self.name} takes images of shape ({size}, {size}, {channels}), or a little smaller with an even "
                f"margin, got {images.shape[1:]}"
            )
        edge = (margin // 2, margin // 2)
        return np.pad(images, ((0, 0), edge, edge, (0, 0)), constant_values=-1)

    def forward(self, images: Images) -> Any:
        """One compiled pass."""
        return _forward(self._net, images)


@eqx.filter_jit
def _forward(net: Classifier, images: Images) -> Any:
    return jax.vmap(net)(images)
