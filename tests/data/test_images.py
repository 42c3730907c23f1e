"""Sets of images: what they hold, the order they are drawn in, and pictures of them."""

import gzip
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from toylab.data import Place, create_dataset, dataset
from toylab.data.images import digits_images, fashion, fashion_images
from toylab.data.images.order import permuted, shuffled_rows
from toylab.options import truth
from toylab.plots.images import class_order, columns_of, grid_png, tiled

HAS_FASHION = (fashion.FOLDER / "train-images-idx3-ubyte.gz").is_file()


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    images = digits_images()
    assert images.pixels.shape == (1797, 8, 8, 1)
    assert images.pixels.dtype == np.float32
    np.testing.assert_allclose(images.pixels.reshape(-1, 64), values / 8 - 1)
    np.testing.assert_array_equal(images.labels, labels)


def test_a_set_of_images_is_its_empirical_distribution():
    digits = dataset("digits")
    pixels = digits_images().pixels.reshape(-1, 64).astype(np.float64)
    assert digits.shape == (64, (8, 8, 1), 10)
    mean, covariance = digits.moments()
    np.testing.assert_allclose(mean, pixels.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(pixels.T, bias=True), atol=1e-6)
    assert digits.zero_loss() == pytest.approx(64 + np.mean(np.sum(pixels**2, axis=1)))
    drawn = {row.tobytes() for row in digits.sample(500)}
    assert drawn <= {row.tobytes() for row in pixels.astype(np.float32)}


@pytest.mark.slow
def test_labels_go_with_their_images():
    points, labels = dataset("digits").draw_labelled(jax.random.key(0), 200)
    images = digits_images()
    found = {
        image.tobytes(): label
        for image, label in zip(images.pixels.reshape(-1, 64), images.labels, strict=True)
    }
    assert [found[np.asarray(point).tobytes()] for point in points] == list(labels)
    assert dataset("digits", labels=False).draw_labelled(jax.random.key(0), 200)[1] is None
    assert dataset("two_moons").draw_labelled(jax.random.key(0), 3)[1] is None


def test_the_velocity_of_unlabelled_images_is_that_of_their_posterior(x64):
    digits = dataset("digits", labels=False)
    pixels = digits_images().pixels.reshape(-1, 64).astype(np.float64)
    t, rng = 0.6, np.random.default_rng(0)
    x = (1 - t) * pixels[7] + t * rng.normal(size=64)
    log_weights = -np.sum((x - (1 - t) * pixels) ** 2, axis=1) / (2 * t**2)
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    velocities = (x - pixels) / t
    v, covariance = digits.velocity_moments(jnp.asarray(x), jnp.asarray(t))
    np.testing.assert_allclose(v, weights @ velocities, rtol=1e-5, atol=1e-7)
    expected = np.cov(velocities.T, aweights=weights, ddof=0)
    np.testing.assert_allclose(covariance, expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="labels=false"):
        dataset("digits").velocity_moments(jnp.asarray(x), jnp.asarray(t))


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1797])
def test_every_epoch_is_a_permutation_of_its_own(size):
    index = jnp.arange(size, dtype=jnp.uint32)
    orders = [
        np.asarray(jax.vmap(lambda i: permuted(jax.random.key(seed), i, size))(index))  # noqa: B023
        for seed in range(3)
    ]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(size))
    if size > 2:
        assert not np.array_equal(orders[0], orders[1])


def test_the_order_looks_random():
    """Where row 0 goes, over 4000 keys, and whether neighbours stay neighbours: as for random permutations of 10."""
    keys = jax.random.split(jax.random.key(3), 4000)
    first, second = (
        np.asarray(jax.vmap(lambda key: permuted(key, jnp.uint32(i), 10))(keys)).astype(int)  # noqa: B023
        for i in (0, 1)
    )
    counts = np.bincount(first, minlength=10)
    assert np.sum((counts - 400) ** 2 / 400) < 30  # chi squared, 9 degrees of freedom: 1 in 2000 above
    steps = np.bincount((second - first) % 10, minlength=10)
    assert steps[0] == 0
    assert np.sum((steps[1:] - 4000 / 9) ** 2 / (4000 / 9)) < 30


def test_a_stream_visits_every_row_once_an_epoch_whatever_the_batch():
    def rows(batch, steps):
        places = [Place(jax.random.key(5), jnp.asarray(step)) for step in range(steps)]
        return np.concatenate([shuffled_rows(place, batch, 60) for place in places])

    stream = rows(12, 10)
    for epoch in (stream[:60], stream[60:]):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(60))
    assert not np.array_equal(stream[:60], stream[60:])
    np.testing.assert_array_equal(stream, rows(40, 3))  # batches over the edge of an epoch included


@pytest.mark.skipif(not HAS_FASHION, reason=f"Fashion-MNIST is not installed ({fashion.INSTALL})")
def test_fashion_as_it_was_published():
    images = fashion_images("test")
    assert images.pixels.shape == (10_000, 28, 28, 1)
    np.testing.assert_array_equal(np.bincount(images.labels), [1000] * 10)
    assert 0.28 < (images.pixels.mean() + 1) / 2 < 0.30  # 0.2860 to 0.2868 in all literature on it
    framed = dataset("fashion", part="test")
    assert framed.shape == (1024, (32, 32, 1), 10)
    points, _ = framed.draw_labelled(jax.random.key(0), 5)
    square = np.asarray(points).reshape(5, 32, 32)
    assert np.all(square[:, [0, 1, 30, 31]] == -1)
    assert np.all(square[:, :, [0, 1, 30, 31]] == -1)


def test_fashion_that_is_missing_or_damaged_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TOYLAB_FASHION", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="apt-get install dataset-fashion-mnist"):
        fashion_images()
    with gzip.open(tmp_path / "t10k-images-idx3-ubyte.gz", "wb") as stream:
        stream.write(bytes(16 + 10_000 * 784))
    with pytest.raises(ValueError, match=r"t10k-images.* is not Fashion-MNIST"):
        fashion_images("test")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("digit", {}, "unknown dataset 'digit'; choices: .*two_spirals, digits, fashion"),
        ("digits", {"side": 8}, "unknown option 'side' of image set 'digits'; choices: labels"),
        ("fashion", {"part": "dev"}, "unknown part 'dev' of fashion; choices: train, test, all"),
        ("fashion", {"side": 30}, "side must be 28 or 32, got 30"),
    ],
)
def test_bad_options_are_named(name, options, said):
    with pytest.raises(ValueError, match=said):
        create_dataset(name, options)


def test_whether_labels_are_told_is_true_or_false():
    with pytest.raises(ValueError, match="labels must be true or false, got 1"):
        truth("labels", 1)


def test_a_grid_has_a_class_per_column():
    labels = np.array([2, 0, 1, 1, 0, 2, 0, 2])
    order = class_order(labels, 3, rows=3)
    np.testing.assert_array_equal(order, [1, 2, 0, 4, 3, 5])  # class 1 is there twice: two rows
    np.testing.assert_array_equal(class_order(labels, 3, rows=1), [1, 2, 0])
    assert [columns_of(count) for count in (0, 1, 2, 12, 13, 1000)] == [10, 10, 2, 12, 10, 10]


def test_a_grid_of_images():
    images = np.linspace(-1.2, 1.2, 3 * 4 * 4).reshape(3, 4, 4, 1)
    picture = np.asarray(Image.open(io.BytesIO(grid_png(images, columns=2))))
    assert picture.shape == (2 * 33, 2 * 33)  # 4 pixels, eight times as large, and a line
    assert picture[0, 0] == 0
    assert picture[64, 31] == 255  # cut off at 1
    assert picture[32, 0] == picture[65, 65] == 128
    colours = tiled(np.zeros((1, 64, 64, 3), np.uint8), 1)
    assert colours.shape == (65, 65, 3)
    with pytest.raises(ValueError, match="NaN"):
        grid_png(np.full((1, 2, 2, 1), np.nan))
