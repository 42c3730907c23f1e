"""Scores of a run on images: from a folder to a line, and what is refused."""

import json

import numpy as np
import pytest

import toylab as tl
from toylab.features import fit_gaussian, load

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
        (["--guidance", "2"], "--reference and --guidance go with --features"),
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
