"""Latents that a user brings: what is written is read, what is not of the format is named, what is missing refused."""

import jax
import numpy as np
import pytest

import toylab as tl
from toylab.data.images.latents import LATENT_SCALE, latents, write_latents


@pytest.fixture
def folder(tmp_path):
    """Seven latents of 4 x 4 pixels in two shards: means row * 100 + channel * 10 + pixel / 16, stds 1e-3."""
    rows, channels, pixels = np.arange(7.0), np.arange(4.0), np.arange(16.0) / 16
    means = rows[:, None, None] * 100 + channels[:, None] * 10 + pixels
    moments = np.concatenate([means, np.full_like(means, 1e-3)], axis=1).reshape(7, 8, 4, 4)
    assert write_latents(tmp_path / "shards", [moments[:4], moments[4:]], np.arange(7) % 3) == 7
    return tmp_path / "shards"


def test_what_is_written_is_drawn(folder):
    data = latents(str(folder), num_classes=3)
    assert data.shape == (64, (4, 4, 4), 3)
    points, labels = data.draw_labelled(jax.random.key(0), 50)
    values = np.asarray(points).reshape(50, 16, 4) / LATENT_SCALE
    rows = np.round(values[:, 0, 0] / 100).astype(int)
    np.testing.assert_array_equal(labels, rows % 3)
    assert set(rows) == set(range(7))
    means = rows[:, None, None] * 100 + np.arange(4) * 10 + (np.arange(16) / 16)[:, None]
    np.testing.assert_allclose(values, means, atol=0.3)  # float16 at 600: steps of one half
    again, _ = data.draw_labelled(jax.random.key(1), 50)
    assert data.zero_loss() == pytest.approx(64 + np.mean(np.sum(np.r_[points, again] ** 2, axis=1)), rel=0.2)


def test_the_noise_of_a_latent_is_its_own_std(tmp_path):
    moments = np.concatenate([np.zeros((1, 4, 8, 8)), np.full((1, 4, 8, 8), 2.0)], axis=1)
    write_latents(tmp_path, [moments], np.zeros(1, int))
    points = latents(str(tmp_path), labels=False).draw(jax.random.key(0), 200)
    assert np.std(np.asarray(points)) == pytest.approx(2 * LATENT_SCALE, rel=0.02)


def test_a_folder_of_another_format_is_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"needs latents-\*\.npy and labels\.npy"):
        latents(str(tmp_path))
    with pytest.raises(ValueError, match=r"labels must lie in \[0, 1\]"):
        latents(str(folder), num_classes=2)
    np.save(folder / "labels.npy", np.zeros(6, int))
    with pytest.raises(ValueError, match="must be 7 whole numbers"):
        latents(str(folder), num_classes=4)
    np.save(folder / "latents-00000.npy", np.zeros((4, 4, 4, 8), np.float32))
    with pytest.raises(ValueError, match=r"latents-00000.npy: must be float16 .* is float32 \(4, 4, 4, 8\)"):
        latents(str(folder), num_classes=5)
    (folder / "latents-00000.npy").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a NumPy array"):
        latents(str(folder), num_classes=6)
    with pytest.raises(ValueError, match="need as many labels"):
        write_latents(tmp_path / "other", [np.zeros((2, 8, 4, 4))], np.zeros(3, int))
    with pytest.raises(ValueError, match="float16 cannot hold"):
        write_latents(tmp_path / "other", [np.full((2, 8, 4, 4), 1e6)], np.zeros(2, int))


def test_a_stand_in_can_be_measured_but_not_trained_on():
    assert latents().shape == (4096, (32, 32, 4), 1000)
    config = tl.RunConfig(
        dataset="latents", net="dit", net_options={"size": "nano", "patch": 16}, batch_size=2
    )
    with pytest.raises(ValueError, match=r"'latents' is a stand-in here.*\(folder,"):
        tl.train(config)
