"""Scores of a run: what they are made of, and what they refuse."""

import numpy as np
import pytest

import toylab as tl
from toylab.evaluation import key_seeds
from toylab.metrics import sliced_wasserstein

TINY = tl.RunConfig(steps=20, batch_size=16, width=8, depth=1, embed_dim=4, eval_samples=0)


@pytest.fixture(scope="module")
def run():
    return tl.train(TINY, progress=False)


def test_a_score_is_the_metric_of_samples_and_fresh_data(run):
    score = tl.evaluate(run, ["sliced_w1"], n=100, num_keys=3, seed=5)["sliced_w1"]
    values = []
    for key in range(3):
        noise, data, directions = key_seeds(5, key)
        x, y = run.sample(100, seed=noise), run.dataset.sample(100, seed=data)
        values.append(sliced_wasserstein(x, y, seed=directions))
    assert score.value == pytest.approx(np.mean(values))
    assert score.stderr == pytest.approx(np.std(values, ddof=1) / np.sqrt(3))
    assert (score.n, score.num_keys, score.nfe) == (100, 3, 1)


def test_no_two_evaluations_share_a_seed_but_by_asking_for_it():
    seeds = [tuple(key_seeds(seed, key)) for seed in range(20) for key in range(20)]
    assert len({number for triple in seeds for number in triple}) == 3 * len(seeds)
    assert key_seeds(3, 1) == key_seeds(3, 1)
    assert all(0 <= number < 2**31 for triple in seeds for number in triple)


@pytest.mark.parametrize("options", [{"n": 0}, {"n": -5}, {"num_keys": 0}, {"n": 16, "nfe": 0}])
def test_bad_counts_are_refused(run, options):
    with pytest.raises(ValueError, match=r"at least 1|must be a whole number in"):
        tl.evaluate(run, ["sliced_w1"], **options)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e20])
def test_survivors_are_not_scored(run, monkeypatch, bad):
    sample = tl.Run.sample

    def with_one_lost(self, *arguments, **options):
        points = sample(self, *arguments, **options).copy()
        points[0, 0] = bad
        return points

    monkeypatch.setattr(tl.Run, "sample", with_one_lost)
    score = tl.evaluate(run, ["sliced_w1"], n=64)["sliced_w1"]
    assert np.isnan(score.value)
    assert score.floor > 0
    assert score.to_json()["value"] is None
