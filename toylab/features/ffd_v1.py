"""``ffd-v1``: features of 32x32 clothes."""

from toylab.features.base import feature_nets
from toylab.features.classifier import ClassifierSpec
from toylab.features.small import SmallFeatureNet

NAME = "ffd-v1"
SPEC = ClassifierSpec(size=32, widths=(16, 32, 64), pooled=(True, True, True), num_features=128)


@feature_nets.register(NAME)
def ffd_v1() -> SmallFeatureNet:
    """128 features of 28x28 or 32x32 clothes: the Frechet fashion distance, FFD."""
    return SmallFeatureNet(NAME, "FFD", SPEC)
