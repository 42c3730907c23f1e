"""The effect that the lab exists for: on separated modes the tangent coefficient decides.

Setting (preset `separated`): two Gaussians at (-4, 0) and (4, 0), std 0.2; net 3 x 128, batch 32, 15,000 steps, Adam
3e-3 with cosine decay, EMA 0.999, gaps up to 1, a quarter of the rows with r = t; same seed, same data and noise for
both coefficients. Score: sliced W1 of 32,768 one-step samples to as many data points, 500 directions, mean of 2 keys.

The published figure, 54% better on swiss_roll, is another setting (200k steps, gaps up to 0.5): the claims page says
what holds there. This test guards the mechanism, in the regime where theory says that it must show.
"""

import numpy as np
import pytest

import toylab as tl

pytestmark = pytest.mark.slow

SEEDS = (0, 1, 2)
CLAIM = 0.54


@pytest.fixture(scope="module")
def scores() -> dict[float, list[float]]:
    grid = [(beta, seed) for beta in (0.0, 1.0) for seed in SEEDS]
    configs = [
        tl.RunConfig(
            **{**tl.preset("separated"), "beta": beta, "proxy": "ema", "seed": seed, "eval_samples": 0}
        )
        for beta, seed in grid
    ]
    found: dict[float, list[float]] = {0.0: [], 1.0: []}
    for (beta, seed), run in zip(grid, tl.train_many(configs, progress=False), strict=True):
        score = tl.evaluate(run, ["sliced_w1"], n=32_768, num_keys=2)["sliced_w1"]
        print(
            f"beta={beta:g} seed={seed}: SW1 {score.value:.4f} +- {score.stderr:.4f}, floor {score.floor:.4f}"
        )
        assert score.floor < 0.03
        found[beta].append(score.value)
    return found


def test_beta_one_is_54_percent_better_on_every_seed(scores):
    improvement = 1 - np.array(scores[1.0]) / np.array(scores[0.0])
    print("improvement per seed:", np.round(improvement, 3).tolist())
    assert np.all(improvement >= CLAIM)


def test_both_coefficients_learn_something(scores):
    """The comparison is between trained nets: both far below the 2.6 of an untrained one."""
    assert max(scores[0.0]) < 1.3
    assert max(scores[1.0]) < 0.2
