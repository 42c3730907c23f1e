"""From the command line to digits that one can read: the packaged config, whole."""

import json

import numpy as np
import pytest
from PIL import Image

import toylab as tl
from toylab import features
from toylab.data.images import digits_images

N = 1797


@pytest.mark.slow
@pytest.mark.usefixtures("fast_programs")
def test_digits_by_a_transformer_in_one_step(call, tmp_path):
    """Thresholds from three seeds (see the head of the config): the worst had 4.9% of the distance, and 93%."""
    code, out, _ = call("train", "digits-dit-tiny", "--out", tmp_path / "run", "--json")
    assert code == 0
    assert json.loads(out)["status"] == "done"
    run = tl.load(tmp_path / "run")
    yardstick = features.Yardstick(features.load("fdd-v1"), digits_images().pixels)
    labels = (np.arange(N) % 10).astype(np.int32)

    def measure(points):
        return yardstick.measure(points.reshape(N, 8, 8, 1), labels)

    trained = measure(run.sample(N, seed=1))
    # An untrained net says zero, and its sample is the noise that it was given.
    untrained = measure(np.random.default_rng(0).normal(size=(N, 64)).astype(np.float32))
    print(f"FDD[fdd-v1, n={N}] {trained}, untrained {untrained}, floor {yardstick.floor(N)['FDD']}")
    assert trained["FDD"] < 0.1 * untrained["FDD"]
    assert trained["label_accuracy"] > 0.85

    code, _, said = call(
        "sample", tmp_path / "run", "--n", 20, "--guidance", 1.5, "--out", tmp_path / "grid.png"
    )
    assert code == 0, said
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (5 * 33, 4 * 33)
