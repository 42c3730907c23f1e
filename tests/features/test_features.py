"""Feature nets: their weights are the ones the cards speak of, and their scores tell real images from others."""

import hashlib
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toylab import features
from toylab.data.images import Images, digits_images, fashion_images
from toylab.features import Yardstick, image_scores, inception, load, score_line
from toylab.features.classifiers import (
    FOLDER,
    SPECS,
    ClassifierSpec,
    SmallFeatureNet,
    load_weights,
    with_unit_features,
    write_weights,
)

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_feature_nets.py"
TINY = ClassifierSpec(size=8, widths=(2,), pooled=(True,), num_features=3)


@pytest.fixture(scope="module")
def digits():
    return digits_images()


@pytest.fixture(scope="module")
def yardstick(digits):
    return Yardstick(load("fdd-v1"), digits.pixels)


@pytest.fixture(scope="module")
def floor(yardstick):
    """At the largest n that the digits admit."""
    return yardstick.floor(1797)


def held_out_digits(digits):
    """The digits that the classifier was not trained on."""
    rows = np.random.default_rng(0).permutation(len(digits.labels))[1347:]
    return Images(digits.pixels[rows], digits.labels[rows])


def test_the_digit_net_is_as_accurate_as_its_card_says(digits):
    net, test = load("fdd-v1"), held_out_digits(digits)
    found = net(test.pixels)
    assert found.values.shape == (450, net.dim) == (450, 64)
    assert np.mean(np.argmax(found.logits, axis=1) == test.labels) == net.accuracy > 0.97
    assert net.num_test == 450
    assert 0.9 < np.mean(found.values**2) < 1.1


def test_the_fashion_net_is_as_accurate_as_its_card_says():
    try:
        test = fashion_images("test")
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    net = load("ffd-v1")
    found = net(test.pixels)
    assert found.values.shape == (10_000, net.dim) == (10_000, 128)
    right = np.argmax(found.logits, axis=1) == test.labels
    assert np.mean(right) == pytest.approx(net.accuracy, abs=2e-4)  # one or two images may sit on the fence
    assert net.accuracy > 0.9
    assert net.num_test == 10_000
    padded = np.pad(test.pixels[:3], ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=-1)
    np.testing.assert_array_equal(net(padded).values, net(test.pixels[:3]).values)


@pytest.mark.parametrize(("name", "spec"), SPECS.items())
def test_committed_weights_are_small_and_their_cards_complete(name, spec):
    _, card = load_weights(name, spec)
    path = FOLDER / f"{name}.npz"
    assert path.stat().st_size < 1e6
    assert card.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card.command == f"python scripts/make_feature_nets.py {name}"
    assert 3e4 < card.num_params < 2e5


@pytest.mark.slow
def test_one_command_makes_a_net_as_good(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "fdd-v1", "--out", str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=SCRIPT.parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    _, card = load_weights("fdd-v1", SPECS["fdd-v1"], tmp_path)
    assert card.accuracy > 0.97  # not the very bytes: another processor rounds differently


def test_features_are_scaled_to_one_and_labels_stay(digits):
    net = SPECS["fdd-v1"].build(jax.random.key(0))
    run = eqx.filter_jit(lambda net, pixels: jax.vmap(net)(pixels))
    before = run(net, digits.pixels[:50])
    after = run(with_unit_features(net, float(jnp.mean(before[0] ** 2))), digits.pixels[:50])
    assert float(jnp.mean(after[0] ** 2)) == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(after[1], before[1], atol=1e-5)


# Damage.


@pytest.fixture
def stored(tmp_path):
    """The folder of a tiny net's two files."""
    facts = {"accuracy": 0.5, "num_test": 2, "command": "none", "made_with": {}}
    write_weights("tiny", TINY.build(jax.random.key(1)), facts, tmp_path)
    return tmp_path


def resign(folder):
    """Make the card agree with whatever the npz has become."""
    card = json.loads((folder / "tiny.json").read_text())
    card["sha256"] = hashlib.sha256((folder / "tiny.npz").read_bytes()).hexdigest()
    (folder / "tiny.json").write_text(json.dumps(card))


def flip(folder):
    content = bytearray((folder / "tiny.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "tiny.npz").write_bytes(content)


def other_shape(folder):
    write_weights(
        "tiny", ClassifierSpec(8, (2,), (True,), 4).build(jax.random.key(1)),
        {"accuracy": 0.5, "num_test": 2, "command": "none", "made_with": {}}, folder,
    )  # fmt: skip


def pickled(folder):
    arrays = dict(np.load(folder / "tiny.npz"))
    arrays["head.bias"] = np.array([{}] * 10)
    np.savez(folder / "tiny.npz", **arrays)
    resign(folder)


def without_one(folder):
    arrays = dict(np.load(folder / "tiny.npz"))
    del arrays["head.bias"]
    np.savez(folder / "tiny.npz", **arrays)
    resign(folder)


def infinite(folder):
    arrays = dict(np.load(folder / "tiny.npz"))
    arrays["head.bias"][0] = np.inf
    np.savez(folder / "tiny.npz", **arrays)
    resign(folder)


DAMAGES = {
    "damaged, its SHA-256 is": flip,
    r"'hidden.weight' has shape \(4, 32\), not \(3, 32\)": other_shape,
    "'head.bias' has dtype object": pickled,
    "has no array 'head.bias'": without_one,
    "'head.bias' has values that are NaN or infinite": infinite,
    "no such file": lambda folder: (folder / "tiny.npz").unlink(),
    "unexpected keyword argument 'more'": lambda folder: (folder / "tiny.json").write_text('{"more": 1}'),
    "tiny.npz: ": lambda folder: (folder / "tiny.json").write_text("["),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_damaged_weights_are_refused_in_one_line(stored, message):
    SmallFeatureNet("tiny", "FDD", TINY, stored)
    DAMAGES[message](stored)
    with pytest.raises(ValueError, match=message) as error:
        SmallFeatureNet("tiny", "FDD", TINY, stored)
    assert "\n" not in str(error.value)
    assert "python scripts/make_feature_nets.py tiny" in str(error.value)


def test_weights_that_are_too_large_are_not_written(tmp_path):
    big = ClassifierSpec(size=64, widths=(16,), pooled=(True,), num_features=64)
    with pytest.raises(ValueError, match="weights in the package at most 1048576"):
        write_weights("big", big.build(jax.random.key(0)), {}, tmp_path)
    assert not list(tmp_path.iterdir())


# Names and images.


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("fid", "unknown feature net 'fid'; choices: fdd-v1, ffd-v1, inception"),
        ("fdd-v1:here.npz", "--features fdd-v1:here.npz: write fdd-v1$"),
        ("inception", "--features inception: write inception:PATH"),
        ("inception:", "--features inception:: write inception:PATH"),
    ],
)
def test_names_of_nets_are_checked(spec, message):
    with pytest.raises(ValueError, match=message):
        load(spec)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 8, 8)), r"\(n, height, width, channels\), got \(2, 8, 8\)"),
        (np.zeros((0, 8, 8, 1)), r"got \(0, 8, 8, 1\)"),
        (np.full((2, 8, 8, 1), np.nan), "2 of 2 images have values that are NaN"),
        (np.array([["a"]]), "must be real numbers"),
        (np.zeros((2, 9, 9, 1)), r"fdd-v1 takes images of shape \(8, 8, 1\).*got \(9, 9, 1\)"),
        (np.zeros((2, 8, 8, 3)), r"got \(8, 8, 3\)"),
        (np.zeros((2, 7, 7, 1)), r"got \(7, 7, 1\)"),
    ],
)
def test_bad_images_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        load("fdd-v1")(images)


def test_values_beyond_the_range_are_cut_off_as_on_a_screen(digits):
    net = load("fdd-v1")
    loud = digits.pixels[:5] * 3
    np.testing.assert_array_equal(net(loud).values, net(np.clip(loud, -1, 1)).values)


# Scores.


def test_noise_is_told_from_digits_and_more_of_it_is_worse(yardstick, digits, floor):
    random = np.random.default_rng(0)
    noise = random.normal(size=digits.pixels.shape)
    numbers = [yardstick.measure(digits.pixels + s * noise, digits.labels) for s in (0.1, 0.3, 1.0)]
    for name in ("FDD", "kernel_distance"):
        values = [each[name] for each in numbers]
        assert values == sorted(values)
    pure = yardstick.measure(noise, digits.labels)
    assert pure["FDD"] > 50 * floor["FDD"].value
    assert pure["kernel_distance"] > 50 * floor["kernel_distance"].stderr
    assert pure["label_accuracy"] < 0.2 < 0.97 < floor["label_accuracy"].value


def test_a_lost_class_is_seen_where_accuracy_does_not_see_it(yardstick, digits, floor):
    kept = digits.labels != 3
    numbers = yardstick.measure(digits.pixels[kept], digits.labels[kept])
    assert numbers["label_accuracy"] > 0.99
    assert numbers["FDD"] > 3 * floor["FDD"].value


def test_floors_are_of_real_images_and_fall_with_n(yardstick, floor):
    floors = [yardstick.floor(100), yardstick.floor(300), floor]
    values = [each["FDD"].value for each in floors]
    assert values[0] > values[1] > values[2] > 0
    for each in floors:
        assert abs(each["kernel_distance"].value) < 5 * each["kernel_distance"].stderr
    assert [each["FDD"].n for each in floors] == [100, 300, 898]  # half of the reference is what there is
    assert yardstick.floor(100) == floors[0] != yardstick.floor(100, seed=1)


def test_scores_carry_n_net_floor_and_spread(yardstick, digits):
    parts = [(digits.pixels[i::3], digits.labels[i::3]) for i in range(3)]
    scores = image_scores(yardstick, parts)
    assert list(scores) == ["FDD", "kernel_distance", "label_accuracy"]
    values = [yardstick.measure(*part)["FDD"] for part in parts]
    score = scores["FDD"]
    assert score.value == pytest.approx(np.mean(values))
    assert score.stderr == pytest.approx(np.std(values, ddof=1) / math.sqrt(3))
    assert (score.n, score.num_keys, score.features, score.floor.n) == (599, 3, "fdd-v1", 599)
    assert score_line("FDD", score).startswith("FDD[fdd-v1, n=599] = ")
    assert "(n=599)" in score_line("FDD", score)
    assert json.loads(json.dumps(score.to_json(), allow_nan=False))["floor"]["n"] == 599
    single = image_scores(yardstick, [(digits.pixels[:50], None)])
    assert "label_accuracy" not in single
    assert single["FDD"].to_json()["stderr"] is None


def test_statistics_in_the_place_of_images_give_the_same_distance(yardstick, digits):
    known = features.fit_gaussian(yardstick.net(digits.pixels).values)
    bare = Yardstick(yardstick.net, known)
    noisy = digits.pixels + 0.3
    scores = image_scores(bare, [(noisy, None)])
    assert list(scores) == ["FDD"]
    assert scores["FDD"].floor is None
    assert scores["FDD"].value == yardstick.measure(noisy)["FDD"]
    assert "real images not measured" in score_line("FDD", scores["FDD"])
    with pytest.raises(ValueError, match="fdd-v1 has 64 features, the reference 2"):
        Yardstick(yardstick.net, features.Gaussian(np.zeros(2), np.eye(2)))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2], r"labels must be 4 whole numbers"),
        ([0.0, 1.0, 2.0, 3.0], "whole numbers, got float64"),
        ([0, 1, 2, 10], r"labels must lie in \[0, 9\], got 0 to 10"),
        ([-1, 1, 2, 3], r"got -1 to 3"),
    ],
)
def test_bad_labels_are_refused(yardstick, digits, labels, message):
    with pytest.raises(ValueError, match=message):
        yardstick.measure(digits.pixels[:4], np.array(labels))


def test_samples_must_be_of_one_size(yardstick, digits):
    with pytest.raises(ValueError, match=r"got sizes \[4, 5\]"):
        image_scores(yardstick, [(digits.pixels[:4], None), (digits.pixels[:5], None)])
    with pytest.raises(ValueError, match="got sizes none"):
        image_scores(yardstick, [])
    with pytest.raises(ValueError, match="at least 4 images, got 3"):
        Yardstick(yardstick.net, digits.pixels[:3])


# Inception.


@pytest.fixture(scope="module")
def foreign_weights(tmp_path_factory):
    """Random weights by a rule that another library was given too; their file."""
    random, arrays = np.random.default_rng(0), {}
    shapes = inception.layout()
    for name in sorted(key.removesuffix(".conv.weight") for key in shapes if key.endswith(".conv.weight")):
        shape = shapes[f"{name}.conv.weight"]
        spread = np.float32(np.sqrt(2 / np.prod(shape[1:])))
        arrays[f"{name}.conv.weight"] = random.standard_normal(shape, dtype=np.float32) * spread
        shift, mean, variance = (random.random(shape[0], dtype=np.float32) for _ in range(3))
        arrays |= {f"{name}.bn.bias": shift, f"{name}.bn.running_mean": mean}
        arrays |= {f"{name}.bn.running_var": variance + 1, f"{name}.bn.weight": np.ones_like(shift)}
    path = tmp_path_factory.mktemp("inception") / "weights.npz"
    np.savez(path, **arrays)
    return path, random.random((1, 299, 299, 3), dtype=np.float32) * 2 - 1


def test_inception_is_that_of_another_library(foreign_weights, monkeypatch):
    path, images = foreign_weights
    plain = inception._block_8
    # Keras averages in the last block too, where the network of FID takes the maximum.
    monkeypatch.setattr(
        inception, "_block_8", lambda conv, name, x, pool: plain(conv, name, x, inception._average_pool)
    )
    net = load(f"inception:{path}")
    values = net(images).values[0]
    # Keras 3.15.1, applications.InceptionV3 without its head, the same weights and image, on a CPU.
    np.testing.assert_allclose(values.mean(), 0.39135408, rtol=1e-5)
    np.testing.assert_allclose(values.std(), 0.49727276, rtol=1e-5)
    expected = [1.49877012, 0.03624642, 0.76148224, 0.11826910, 0.42267793]
    np.testing.assert_allclose(values[[0, 500, 1000, 1500, 2047]], expected, rtol=1e-4)
    assert (net.distance, net.dim, net(images).logits) == ("FID", 2048, None)


def test_pools_leave_the_margin_out():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    means = inception._average_pool(x)[0, :, :, 0]
    assert float(means[0, 0]) == np.mean([0, 1, 4, 5])
    assert float(means[1, 1]) == 5.0
    largest = inception._max_pool(-1 - x, stride=1, padding="SAME")[0, :, :, 0]
    assert float(largest[3, 3]) == -11.0


def test_other_files_are_no_inception(tmp_path):
    shapes = inception.layout()
    assert len(shapes) == 5 * 94
    assert sum(math.prod(shape) for shape in shapes.values()) == 21_820_000
    path = tmp_path / "weights.npz"
    shutil.copy(FOLDER / "fdd-v1.npz", path)
    for change, message in (
        (lambda: None, "has no array 'Conv2d_1a_3x3.bn.bias', one of the 470"),
        (lambda: path.write_bytes(b"PK\x03\x04 no archive"), "not a zip file"),
    ):
        change()
        with pytest.raises(ValueError, match=message) as error:
            load(f"inception:{path}")
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError):
        load(f"inception:{tmp_path / 'none.npz'}")
    with pytest.raises(ValueError, match="1 or 3 channels, got 2"):
        inception.InceptionNet.prepare(
            object.__new__(inception.InceptionNet), np.zeros((1, 8, 8, 2), np.float32)
        )
