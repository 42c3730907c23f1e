"""The in-repo feature nets ``fdd-v1`` and ``ffd-v1``: small convolutional classifiers and their committed weights.

Weights are one npz and one JSON card per net, checked by digest. Nothing is unpickled.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.features.base import AbstractFeatureNet, Images, feature_nets
from toylab.storage.atomic import atomic_write_bytes, atomic_write_json
from toylab.storage.untrusted import one_line, read_bytes, read_json, read_layout
from toylab.types import AnyArray, PRNGKey

Image = Float[AnyArray, "height width channels"]

FOLDER = Path(__file__).parent / "weights"
# Limit of a file of weights: they are part of the package.
MAX_BYTES = 2**20


@dataclass(frozen=True)
class ClassifierSpec:
    """Sizes of a `Classifier` of square images.

    Args:
        size: height and width of an image.
        widths: output channels of each 3x3 convolution.
        pooled: for each convolution, whether height and width are halved after it.
        num_features: units of the hidden layer, whose outputs are the features.
        channels: channels of an image.
        num_classes: number of classes.
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

    The features are the outputs of the hidden layer after ReLU. Their common scale is arbitrary, since ReLU commutes
    with positive factors: see `with_unit_features`.
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
    """The same classifier with features divided by sqrt(``mean_square``), so that their mean square is one.

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


class SmallFeatureNet(AbstractFeatureNet):
    """Features and logits of a `Classifier` with committed weights.

    Args:
        name: name of the files of weights.
        distance: FDD or FFD.
        spec: description of the classifier.
        folder: folder of the files.
    """

    def __init__(self, name: str, distance: str, spec: ClassifierSpec, folder: Path = FOLDER):
        self.name, self.distance, self._spec = name, distance, spec
        self.dim = spec.num_features
        self._net, card = load_weights(name, spec, folder)
        self.accuracy, self.num_test = card.accuracy, card.num_test

    def prepare(self, images: Images) -> Images:
        """Images of the net's size; smaller ones get a black margin (-1)."""
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


FDD, FFD = "fdd-v1", "ffd-v1"
SPECS = {
    FDD: ClassifierSpec(size=8, widths=(16, 32), pooled=(False, True), num_features=64),
    FFD: ClassifierSpec(size=32, widths=(16, 32, 64), pooled=(True, True, True), num_features=128),
}


@feature_nets.register(FDD)
def fdd_v1() -> SmallFeatureNet:
    """64 features of 8x8 digits: the Frechet digit distance, FDD."""
    return SmallFeatureNet(FDD, "FDD", SPECS[FDD])


@feature_nets.register(FFD)
def ffd_v1() -> SmallFeatureNet:
    """128 features of 28x28 or 32x32 clothes: the Frechet fashion distance, FFD."""
    return SmallFeatureNet(FFD, "FFD", SPECS[FFD])


class Card(NamedTuple):
    """Facts about a trained classifier, stored beside its weights.

    Args:
        sha256: digest of the npz.
        accuracy: share of held-out images that it classifies correctly.
        num_test: number of held-out images.
        num_params: number of parameters.
        command: command that trained it.
        made_with: machine and versions used.
    """

    sha256: str
    accuracy: float
    num_test: int
    num_params: int
    command: str
    made_with: dict[str, Any]


def load_weights(name: str, spec: ClassifierSpec, folder: Path = FOLDER) -> tuple[Classifier, Card]:
    """The classifier ``name`` and its card.

    Raises:
        ValueError: missing or damaged files, or another digest than the card's; one line that says how to restore them.
    """
    path = folder / f"{name}.npz"
    remedy = f"reinstall toylab, or run: python scripts/make_feature_nets.py {name}"
    try:
        card = Card(**read_json(path.with_suffix(".json"), MAX_BYTES))
        content = read_bytes(path, MAX_BYTES)
        if (found := hashlib.sha256(content).hexdigest()) != card.sha256:
            raise ValueError(f"damaged, its SHA-256 is {found[:12]}..., not {str(card.sha256)[:12]}...")
        shapes, static = eqx.partition(_shapes(spec), lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
        layout = {_name(place): leaf.shape for place, leaf in jax.tree_util.tree_leaves_with_path(shapes)}
        arrays = read_layout(content, layout, max_bytes=MAX_BYTES)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: {one_line(error)}; {remedy}") from None
    filled = jax.tree_util.tree_map_with_path(lambda place, _: jnp.asarray(arrays[_name(place)]), shapes)
    return eqx.combine(filled, static), card


def write_weights(name: str, net: Classifier, facts: dict[str, Any], folder: Path = FOLDER) -> Card:
    """Write the npz of ``net`` and its card; ``facts`` are the fields of `Card` besides digest and size.

    Raises:
        ValueError: more than 1 MB.
    """
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(net, eqx.is_array))
    arrays = {_name(place): np.asarray(leaf, np.float32) for place, leaf in leaves}
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]  # numpy writes no date: equal weights are equal bytes
    content = stream.getvalue()
    if len(content) > MAX_BYTES:
        raise ValueError(f"{name} has {len(content)} bytes, weights in the package at most {MAX_BYTES}")
    num_params = sum(array.size for array in arrays.values())
    card = Card(sha256=hashlib.sha256(content).hexdigest(), num_params=num_params, **facts)
    atomic_write_bytes(folder / f"{name}.npz", content)
    atomic_write_json(folder / f"{name}.json", card._asdict())
    return card


def _shapes(spec: ClassifierSpec) -> Classifier:
    return eqx.filter_eval_shape(spec.build, jax.random.key(0))


def _name(place: tuple) -> str:
    return jax.tree_util.keystr(place, simple=True, separator=".")
