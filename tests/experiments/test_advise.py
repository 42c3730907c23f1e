"""Advice must follow what was measured: other numbers, other advice."""

import json
import math

import pandas as pd
import pytest
from tiny import UNMEASURED

import toylab as tl
from toylab.cli import main
from toylab.experiments.advise import advise, decide

TINY = UNMEASURED.replace(dataset="two_moons", steps=40)


@pytest.fixture(scope="module")
def trained():
    return tl.train(TINY.replace(beta=1.0), progress=False)


def untrained(**changes) -> tl.Run:
    config = TINY.replace(**changes)
    trainer = tl.training.Trainer([config])
    return tl.Run(config, trainer.ensemble.states()[0], trainer.history(0))


def quality(**gains) -> pd.DataFrame:
    """Rows of a sweep: beta0=None for the baseline, beta1=(gain, half width of its interval)."""
    rows = []
    for name, gain in gains.items():
        mean, half = gain or (0.0, 0.0)
        row = {
            "beta": float(name.removeprefix("beta")),
            "sw1": 0.1 * (1 - mean),
            "floor": 0.01,
            "n": 64,
            "seeds": 3,
        }
        rows.append({**row, "diverged": 0, "gain": mean, "gain_low": mean - half, "gain_high": mean + half})
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("table", "beta", "sureness"),
    [
        (quality(beta0=None, beta1=(0.5, 0.1)), 1.0, "sure"),
        (quality(beta0=None, beta1=(0.2, 0.18)), 1.0, "fairly sure"),
        (quality(beta0=None, beta1=(0.2, 0.4)), 1.0, "not sure"),
        (quality(beta0=None, beta1=(0.02, 0.4)), 0.0, "not sure"),
        (quality(beta0=None, beta1=(-0.5, 0.1)), 0.0, "fairly sure"),
        (quality(beta0=None, beta1=(0.3, 0.1), beta2=(0.6, 0.1)), 2.0, "sure"),
    ],
)
def test_advice_follows_the_sweep(table, beta, sureness):
    found, how_sure, reasons = decide(table)
    assert (found, how_sure) == (beta, sureness)
    assert "n 64" in reasons[0]
    assert "floor 0.0100" in reasons[0]


def test_a_beta_that_diverged_is_never_advised():
    table = quality(beta0=None, beta1=(0.5, 0.1))
    table.loc[1, "diverged"] = 1
    assert decide(table)[0] == 0.0
    table["diverged"] = 1
    with pytest.raises(ValueError, match="diverged"):
        decide(table)
    only_one = quality(beta0=None, beta1=(math.nan, 0.0)).assign(
        diverged=[3, 0], seeds=[0, 3], sw1=[math.nan, 0.1]
    )
    assert decide(only_one)[:2] == (1.0, "fairly sure")


@pytest.mark.slow
@pytest.mark.parametrize("probes", [False, True])
def test_advice_on_a_run_names_what_it_measured(trained, probes):
    advice = advise(trained, steps=20, seeds=[0, 1], probes=probes, n=256, progress=False)
    assert advice.measured.route == ("probes" if probes else "exact")
    assert set(advice.quality["beta"]) >= {0.0, 0.5, 1.0}
    assert advice.beta in set(advice.quality["beta"])
    assert "What would change this" in str(advice)
    assert 0 < advice.measured.predicted_cut < 1


@pytest.mark.slow
def test_probes_agree_with_the_exact_landscape():
    run = tl.train(TINY.replace(beta=1.0, steps=300), progress=False)
    exact = tl.diagnostics.beta_landscape(run, num_points=8192, gradient_points=256, betas=(0.0, 1.0))
    probed = tl.diagnostics.probe(run, num_points=8192)
    assert probed.noise == pytest.approx(exact.sigma2, rel=0.1)
    assert probed.kappa == pytest.approx(exact.kappa, rel=0.1)
    # The curvature is the same; the slope differs by what the net has not learned yet.
    assert probed.loss.coefficients[2] == pytest.approx(exact.coefficients[2], rel=0.05)


@pytest.mark.slow
def test_command_on_a_dataset(capsys):
    words = "advise two_moons --steps 20 --batch-size 32 --width 16 --depth 2 --embed-dim 8 --eval-samples 0"
    words += " --beta 1 --pilot-steps 20 --seeds 0:2 --score-n 256 --json"
    code = main(words.split())
    assert code == 0
    content = json.loads(capsys.readouterr().out)
    assert {"beta", "sureness", "measured", "quality", "reasons", "would_change", "pilot"} == set(content)


def test_bad_questions_get_one_line(capsys, tmp_path):
    with pytest.raises(ValueError, match="flow_matching"):
        advise(untrained(method="flow_matching"))
    with pytest.raises(ValueError, match="two seeds"):
        advise(untrained(), seeds=[0])
    for words in (["advise", "moons"], ["advise", str(tmp_path)], ["advise", "two_moons", "--score-n", "0"]):
        assert main(words) == 2
        assert capsys.readouterr().err.count("\n") == 1
