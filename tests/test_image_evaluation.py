"""Scores of a run on images: from a folder to a line, and what is refused."""

import json

import numpy as np
import pytest

import toylab as tl
from toylab.features import fit_gaussian, load
from toylab.plots.images import tiled, to_bytes
from toylab.ui.pages.images import grids
from toylab.ui.runs import files
from toylab.ui.runs.export import zip_folder

NANO = {"size": "nano", "patch": 4}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Four steps of a net of digits: its samples are noise."""
    config = tl.RunConfig(
        dataset="digits", net="dit", net_options=NANO, beta=0.0, steps=4, batch_size=16, eval_samples=0
    )
    return tl.train(config, path=tmp_path_factory.mktemp("images") / "run", progress=False)


def test_a_run_is_scored_in_lines_that_say_all(run, call):
    code, out, err = call("evaluate", run.path, "--features", "fdd-v1", "--n", 200)
    assert code == 0, err
    lines = out.splitlines()
    assert [line.split(" = ")[0] for line in lines] == [
        f"{name}[fdd-v1, n=200]" for name in ("FDD", "kernel_distance", "label_accuracy")
    ]
    assert all("real images" in line for line in lines)
    code, out, _ = call("evaluate", run.path, "--features", "fdd-v1", "--n", 200, "--json")
    scores = json.loads(out)
    assert scores["FDD"]["value"] > 10 * scores["FDD"]["floor"]["value"]  # it has learnt nothing
    assert scores["label_accuracy"]["value"] < 0.3


def test_known_statistics_serve_as_reference(run, call, tmp_path):
    real = fit_gaussian(load("fdd-v1")(run.dataset.sample(1000).reshape(-1, 8, 8, 1)).values)
    np.savez(tmp_path / "ref.npz", mu=real.mean, sigma=real.covariance)
    words = ("evaluate", run.path, "--features", "fdd-v1", "--n", 100)
    code, out, err = call(*words, "--reference", tmp_path / "ref.npz")
    assert code == 0, err
    assert "real images not measured" in out
    code, _, err = call(*words, "--reference", tmp_path / "none.npz")
    assert (code, "no such file" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--features", "fid"], "unknown feature net 'fid'; choices: fdd-v1, ffd-v1, inception"),
        (["--features", "ffd-v1"], "ffd-v1 takes images of shape (32, 32, 1)"),
        (["--features", "inception"], "write inception:PATH"),
        (["--guidance", "2"], "--reference and --guidance require --features"),
    ],
)
def test_mistakes_are_one_line(run, call, words, message):
    code, out, err = call("evaluate", run.path, *words, "--n", 50)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_points_have_no_features(trained_folder, call):
    code, _, err = call("evaluate", trained_folder, "--features", "fdd-v1")
    assert code == 2
    assert "has no images" in err


def test_the_page_of_images_draws_and_scores_a_zip(run, monkeypatch):
    """From the zip of a folder: the saved samples are those that the page would draw."""
    entry = files.read_zip(zip_folder(run.path), "images")
    assert entry.run is not None
    assert (entry.note, entry.origin, entry.run.path) == ("", "imported", None)
    np.testing.assert_array_equal(entry.images.grids[1], grids.draw(run, 1))
    monkeypatch.setattr(grids, "NUM_SCORED", 200)
    monkeypatch.setattr(grids, "NUM_KEYS", 1)
    monkeypatch.setattr(grids, "count", lambda config: {"flops_forward": 1e9})
    found = grids.numbers(entry.run, 1)["FDD"]
    assert (found.n, found.num_keys, found.floor_n) == (200, 1, 200)
    assert found.value > 10 * found.floor  # it has learnt nothing
    monkeypatch.setattr(grids, "MAX_OPERATIONS", 1.9e11)  # 200 samples take 2e11
    with pytest.raises(ValueError, match="`toylab evaluate` scores it"):
        grids.numbers(entry.run, 1)


def test_a_plot_is_samples_beside_data_of_the_same_classes(run):
    figure = run.plot()
    samples, data = (panel.images[0].get_array() for panel in figure.axes[:2])
    np.testing.assert_array_equal(samples, tiled(to_bytes(run.sample(80).reshape(-1, 8, 8, 1)), 10))
    assert data.shape == samples.shape
    # The data's first row is read as 0, 1, ..., 9: every column is a class.
    pixels = np.asarray(data).reshape(8, 33, 10, 33)[:, :32:4, :, :32:4].swapaxes(1, 2).reshape(-1, 8, 8, 1)
    read = np.argmax(load("fdd-v1")(pixels / np.float32(127.5) - 1).logits, axis=1)
    assert np.mean(read == np.arange(80) % 10) > 0.9
    assert "Samples beside data" in run._repr_html_()
    assert "<td" in run._repr_html_().split("Net</th>")[1][:5]


def test_pixels_that_are_not_finite_are_counted(run):
    state = run.state._replace(params_ema=np.full_like(run.state.params_ema, np.nan))
    lost = tl.Run(run.config, state, run.history)
    assert lost.plot().axes[0].get_title() == "samples, 1 evaluation each (80 of 80 not finite)"
