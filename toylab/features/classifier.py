"""The small convolutional classifier behind the in-repo feature nets."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from toylab.types import AnyArray, PRNGKey

Image = Float[AnyArray, "height width channels"]


@dataclass(frozen=True)
class ClassifierSpec:
    """Sizes of a `Classifier` of square images.

    Args:
        size: height and width of an image.
        widths: output channels of each 3x3 convolution.
        pooled: after which of them height and width are halved.
        num_features: units of the hidden layer, whose outputs are the features.
        channels: of an image.
        num_classes: labels.
    """

    size: int
    widths: tuple[int, ...]
    pooled: tuple[bool, ...]
    num_features: int
    channels: int = 1
    num_classes: int = 10

    def build(self, key: PRNGKey) -> "Classifier":
        """A freshly initialised classifier."""
        return Classifier(self, key)


class Classifier(eqx.Module):
    """Convolutions, each with ReLU and some with a 2x2 maximum, then one hidden layer and a linear head.

    The hidden layer's outputs after ReLU are the features. Their common scale is free, since ReLU commutes with
    positive factors: see `with_unit_features`.
    """

    convolutions: list[eqx.nn.Conv2d]
    hidden: eqx.nn.Linear
    head: eqx.nn.Linear
    spec: ClassifierSpec = eqx.field(static=True)

    def __init__(self, spec: ClassifierSpec, key: PRNGKey):
        keys = jax.random.split(key, len(spec.widths) + 2)
        fans = zip([spec.channels, *spec.widths], spec.widths, keys[2:], strict=False)
        self.convolutions = [eqx.nn.Conv2d(fan_in, out, 3, padding=1, key=each) for fan_in, out, each in fans]
        side = spec.size // 2 ** sum(spec.pooled)
        self.hidden = eqx.nn.Linear(spec.widths[-1] * side * side, spec.num_features, key=keys[0])
        self.head = eqx.nn.Linear(spec.num_features, spec.num_classes, key=keys[1])
        self.spec = spec

    def __call__(self, image: Image) -> tuple[Float[Array, " features"], Float[Array, " classes"]]:
        """Features and logits of one image in [-1, 1]."""
        x = jnp.moveaxis(jnp.asarray(image), -1, 0)
        for convolution, pooled in zip(self.convolutions, self.spec.pooled, strict=True):
            x = jax.nn.relu(convolution(x))
            x = _halved(x) if pooled else x
        features = jax.nn.relu(self.hidden(x.ravel()))
        return features, self.head(features)


def with_unit_features(net: Classifier, mean_square: float) -> Classifier:
    """The same classifier with features divided by the root of ``mean_square``, so that theirs becomes one.

    Distances between features are then of order one for every net, as the polynomial kernel (x.y / dim + 1)^3 expects.
    """
    scale = mean_square**-0.5
    return eqx.tree_at(
        lambda it: (it.hidden.weight, it.hidden.bias, it.head.weight),
        net,
        (net.hidden.weight * scale, net.hidden.bias * scale, net.head.weight / scale),
    )


def _halved(
    x: Float[Array, "channels height width"],
) -> Float[Array, "channels half_height half_width"]:
    channels, height, width = x.shape
    return x.reshape(channels, height // 2, 2, width // 2, 2).max(axis=(2, 4))
