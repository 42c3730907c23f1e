"""``fdd-v1``: features of 8x8 digits."""

from toylab.features.base import feature_nets
from toylab.features.classifier import ClassifierSpec
from toylab.features.small import SmallFeatureNet

NAME = "fdd-v1"
SPEC = ClassifierSpec(size=8, widths=(16, 32), pooled=(False, True), num_features=64)


@feature_nets.register(NAME)
def fdd_v1() -> SmallFeatureNet:
    """64 features of 8x8 digits: the Frechet digit distance, FDD."""
    return SmallFeatureNet(NAME, "FDD", SPEC)
