"""The effects that the lab exists for.

On separated modes the tangent coefficient decides. Setting (preset `separated`): two Gaussians at (-4, 0) and (4, 0),
std 0.2; net 3 x 128, SiLU, batch 32, 15,000 steps, Adam 3e-3 with cosine decay, EMA 0.999, gaps up to 1, a quarter of
the rows with r = t; same seed, same data and noise for both coefficients. Score: sliced W1 of 32,768 one-step samples
to as many data points, 500 directions, mean of 2 keys.

On one of the paper's own sets a better proxy does it. Setting (preset `one_step` with every pair ending at the data):
swiss_roll, the same net with GELU, batch 64, the budget of 6,000 steps of vanilla MeanFlow in network evaluations; the
posterior mean over 512 fresh data points as tangent and as target. Score with n = 32,768. Measured over seeds 0 to 4:
gains 61, 62, 62, 60 and 64%, SW1 0.036 to 0.014 in the mean, floor 0.0053. With 10,000 steps and n = 131,072
(results/six_datasets) they are 67, 64, 67, 68 and 71%; with 4,000 steps 35 to 52%.

The published figure, 54% on swiss_roll by the coefficient alone, is another setting (200k steps, gaps up to 0.5): this
file guards mechanisms, each in a regime where it must show.
"""

import numpy as np
import pytest

import toylab as tl
from toylab.training.cost import network_evaluations, steps_within

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fast_programs")]

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


def test_the_posterior_mean_is_54_percent_better_on_swiss_roll_at_equal_cost():
    protocol = {
        **tl.preset("one_step"),
        "time_options": {"share": 1.0},
        "dataset": "swiss_roll",
        "steps": 6_000,
        "eval_samples": 0,
    }
    vanilla = tl.RunConfig(**protocol, beta=0.0, proxy="conditional")
    better = vanilla.replace(beta=1.0, proxy="batch_posterior", target="batch_posterior")
    better = better.replace(steps=steps_within(better, network_evaluations(vanilla).total))
    assert better.steps < vanilla.steps
    scores = []
    for config in (vanilla, better):
        runs = tl.train_many([config.replace(seed=seed) for seed in SEEDS], progress=False)
        found = [tl.evaluate(run, ["sliced_w1"], n=32_768, num_keys=2)["sliced_w1"] for run in runs]
        assert all(score.floor < 0.006 for score in found)
        scores.append(np.array([score.value for score in found]))
    improvement = 1 - scores[1] / scores[0]
    print("vanilla", scores[0].round(4), "posterior", scores[1].round(4), "improvement", improvement.round(3))
    assert scores[0].max() < 0.06  # vanilla is trained too: an untrained net scores about 1
    assert np.all(improvement >= CLAIM)
