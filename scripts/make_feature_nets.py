"""Train the classifiers whose features FDD and FFD use, and write their weights and cards into the package.

    python scripts/make_feature_nets.py fdd-v1     # digits
    python scripts/make_feature_nets.py ffd-v1     # fashion: needs the Debian package dataset-fashion-mnist

All seeds are fixed: the same machine and package versions give the same bytes.
"""

import argparse
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from toylab.data.images import Images, digits_images, fashion_images
from toylab.features.classifiers import (
    FDD,
    FFD,
    FOLDER,
    SPECS,
    Classifier,
    ClassifierSpec,
    with_unit_features,
    write_weights,
)
from toylab.storage.provenance import environment

LEARNING_RATE, WEIGHT_DECAY, WARMUP_SHARE = 2e-3, 1e-2, 0.1
CHUNK = 500
"""Images per forward pass."""


class Recipe(NamedTuple):
    """Training settings of one classifier; ``flips`` enables random horizontal flips."""

    spec: ClassifierSpec
    batch_size: int
    epochs: int
    flips: bool


RECIPES = {
    FDD: Recipe(SPECS[FDD], batch_size=64, epochs=40, flips=False),
    FFD: Recipe(SPECS[FFD], batch_size=128, epochs=12, flips=True),
}


def main() -> None:
    """Train, measure the accuracy on held-out images, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the two files")
    chosen = parser.parse_args()
    recipe = RECIPES[chosen.name]
    train, test = splits(chosen.name)
    started = time.monotonic()
    net = fit(recipe, train)
    _, logits = outputs(net, test.pixels)
    facts = {
        "accuracy": float(np.mean(np.argmax(logits, axis=1) == test.labels)),
        "num_test": len(test.labels),
        "command": f"python scripts/make_feature_nets.py {chosen.name}",
        "made_with": environment(),
    }
    card = write_weights(chosen.name, net, facts, chosen.out)
    print(
        f"{chosen.name}: {card.num_params} parameters, {card.accuracy:.4f} of {card.num_test} held-out images "
        f"classified correctly, {time.monotonic() - started:.0f} s"
    )


def splits(name: str) -> tuple[Images, Images]:
    """Training and test images: 1,347 and 450 of digits, 60,000 and 10,000 of fashion."""
    if name == FDD:
        digits = digits_images()
        order = np.random.default_rng(0).permutation(len(digits.labels))
        first, second = order[:1347], order[1347:]
        return Images(digits.pixels[first], digits.labels[first]), Images(
            digits.pixels[second], digits.labels[second]
        )
    return tuple(with_margin(fashion_images(part)) for part in ("train", "test"))


def with_margin(images: Images) -> Images:
    """28x28 images padded to 32x32."""
    return Images(np.pad(images.pixels, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=-1), images.labels)


def fit(recipe: Recipe, images: Images) -> Classifier:
    """The trained classifier, its features scaled to a mean square of one on ``images``."""
    params, static = eqx.partition(recipe.spec.build(jax.random.key(0)), eqx.is_array)
    num_steps = recipe.epochs * (len(images.labels) // recipe.batch_size)
    schedule = optax.warmup_cosine_decay_schedule(0, LEARNING_RATE, int(WARMUP_SHARE * num_steps), num_steps)
    optimiser = optax.adamw(schedule, weight_decay=WEIGHT_DECAY)
    opt_state = optimiser.init(params)

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params, opt_state, pixels, labels):
        gradients = jax.grad(cross_entropy)(params, static, pixels, labels)
        updates, opt_state = optimiser.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    random = np.random.default_rng(1)
    for _ in range(recipe.epochs):
        for rows in batches(random, len(images.labels), recipe.batch_size):
            pixels = images.pixels[rows]
            if recipe.flips:
                mirrored = random.random(len(rows)) < 0.5
                pixels = np.where(mirrored[:, None, None, None], pixels[:, :, ::-1], pixels)
            params, opt_state = step(params, opt_state, pixels, images.labels[rows])
    net = eqx.combine(params, static)
    features, _ = outputs(net, images.pixels)
    return with_unit_features(net, float(np.mean(np.square(features, dtype=np.float64))))


def batches(random: np.random.Generator, num_images: int, batch_size: int) -> Iterator[np.ndarray]:
    """Batches of row indices of one epoch in random order; an incomplete last batch is dropped."""
    order = random.permutation(num_images)
    for start in range(0, num_images - batch_size + 1, batch_size):
        yield order[start : start + batch_size]


def cross_entropy(params, static, pixels, labels):
    """Mean cross entropy of a batch."""
    _, logits = jax.vmap(eqx.combine(params, static))(pixels)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def outputs(net: Classifier, pixels) -> tuple[np.ndarray, np.ndarray]:
    """Features and logits of all images."""
    parts = [forward(net, pixels[start : start + CHUNK]) for start in range(0, len(pixels), CHUNK)]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


@eqx.filter_jit
def forward(net: Classifier, pixels):
    """Features and logits of some images."""
    return jax.vmap(net)(pixels)


if __name__ == "__main__":
    main()
