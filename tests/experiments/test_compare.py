"""Budgets in network evaluations, and comparisons under one protocol."""

import itertools
import json
import math
from functools import partial

import jax.numpy as jnp
import pytest
from tiny import UNMEASURED

import toylab as tl
from toylab.cli import main
from toylab.experiments.compare import BASELINE, budget_of, contestants, plan, steps_in_seconds, tabulate
from toylab.experiments.results import Result
from toylab.experiments.sweep import SCORES
from toylab.metrics.score import Score
from toylab.training.cost import matmul_flops, network_evaluations, steps_within

TINY = UNMEASURED.replace(steps=40)


def test_matrix_products_are_counted_through_scans_and_conditions():
    import jax

    a, b = jnp.zeros((3, 5)), jnp.zeros((5, 7))

    def once(a, b):
        return a @ b

    def four_times(a, b):
        return jax.lax.scan(lambda carry, _: (carry + a @ b, None), jnp.zeros((3, 7)), None, length=4)[0]

    def either(a, b):
        return jax.lax.cond(a.sum() > 0, lambda: a @ b, lambda: jnp.zeros((3, 7)))

    def dead(a, b):
        a @ b
        return a

    product = 2 * 3 * 5 * 7
    counts = [matmul_flops(fn, a, b) for fn in (once, four_times, either, dead)]
    assert counts == [product, 4 * product, product, 0]


def test_evaluations_are_forwards_tangents_and_backwards():
    """Forward 1, tangent 1, proxy 1, backward 2 less the first layer's gradient in its input."""
    sizes = [2 + 2 * 8, 16, 16, 2]
    products = [a * b for a, b in itertools.pairwise(sizes)]
    first_layer = products[0] / sum(products)
    flow_matching = 3 - first_layer
    config = TINY.replace(p_equal=0.0)
    assert network_evaluations(TINY.replace(p_equal=1.0)).per_example == pytest.approx(flow_matching)
    assert network_evaluations(config.replace(proxy="conditional")).per_example == pytest.approx(
        flow_matching + 1
    )
    assert network_evaluations(config).per_example == pytest.approx(flow_matching + 2)
    half = network_evaluations(config.replace(p_equal=0.5))
    assert half.per_example == pytest.approx(flow_matching + 1)
    assert half.total == pytest.approx(half.per_example * 32 * 40)


def test_a_budget_buys_fewer_steps_of_a_dearer_method():
    budget = budget_of(TINY)
    cheap, dear = TINY.replace(proxy="conditional", beta=0.0), TINY.replace(proxy="ema")
    assert steps_within(cheap, budget) == 40
    ratio = network_evaluations(cheap).per_example / network_evaluations(dear).per_example
    assert steps_within(dear, budget) == math.floor(40 * ratio)
    with pytest.raises(ValueError, match="does not pay"):
        steps_within(dear, 10.0)


def test_contestants_are_named_changes_of_settings():
    entrants = contestants(["flow_matching"], ["constant"], ["oracle"])
    assert [entrant.name for entrant in entrants] == [
        BASELINE,
        "flow_matching",
        "rule constant",
        "proxy oracle",
    ]
    assert entrants[3].settings["target"] == "oracle"
    for bad in (
        {"method_names": ["meanflw"]},
        {"rules": ["x"]},
        {"proxy_names": ["x"]},
        {"protocol": "fair"},
    ):
        with pytest.raises(ValueError, match="choices"):
            contestants(**bad)


def test_a_run_with_live_changes_counts_like_any_other(tmp_path, monkeypatch):
    planned = plan(TINY, contestants(), ["two_moons"], [0, 1], lambda config: config.steps)
    score = Score(0.5, 0.01, 256, 0.1, 2, 1)

    def read(folder, name):
        seed = planned[[cell.name for _, cell in planned].index(folder.name)][1].config.seed
        status = "changed" if seed else "done"
        return Result(TINY.replace(seed=seed), status, score, {"grad_variance": math.nan}, name)

    monkeypatch.setattr("toylab.experiments.compare.read_result", read)
    (row,) = tabulate(planned, tmp_path).to_dict("records")
    assert (row["seeds"], row["missing"], row["diverged"]) == (2, 0, 0)


@pytest.mark.slow
def test_the_table_follows_the_scores(tmp_path):
    out = tmp_path / "runs"
    words = (
        "compare --methods none --rules constant --seed 0:2 --dataset two_moons --steps 20 --batch-size 32"
    )
    words += " --width 16 --depth 2 --embed-dim 8 --eval-samples 0 --score-n 256 --json"
    code = main([*words.split(), "--out", str(out)])
    assert code == 0
    content = json.loads((out / "compare.json").read_text())
    table = content["table"]
    assert {row["dataset"] for row in table} == {"two_moons"}
    assert (out / "compare.png").stat().st_size > 1000
    assert all(row["seeds"] == 2 and row["missing"] == 0 and row["seconds"] > 0 for row in table)
    vanilla = next(row for row in table if row["contestant"] == BASELINE)
    assert vanilla["gain"] == 0.0
    assert all(row["evaluations"] <= content["budget"] * (1 + 1e-9) for row in table)

    # Halve the scores of the rule: its gain against vanilla must follow; drop a run: it must be missing.
    base = tl.RunConfig(steps=20, batch_size=32, width=16, depth=2, embed_dim=8, eval_samples=0)
    steps_of = partial(steps_within, budget=content["budget"])
    planned = plan(base, contestants(rules=["constant"]), ["two_moons"], [0, 1], steps_of)
    for name, cell in planned:
        path = out / cell.name / SCORES
        scores = json.loads(path.read_text())
        scores["sliced_w1"]["value"] = 0.2 if name == BASELINE else 0.05 + 0.02 * cell.config.seed
        path.write_text(json.dumps(scores))
    changed = tabulate(planned, out).set_index("contestant")
    assert changed.loc["rule constant", "gain"] == pytest.approx(1 - 0.06 / 0.2)
    assert changed.loc["rule constant", "gain_low"] < 0.7 < changed.loc["rule constant", "gain_high"]
    assert changed.loc["rule constant", "gain_over_floor"] > changed.loc["rule constant", "gain"]

    # A baseline as good as data has nothing above the floor to take a share of.
    path = out / next(cell for name, cell in planned if name == BASELINE).name / SCORES
    scores = json.loads(path.read_text())
    scores["sliced_w1"]["floor"] = 0.2
    path.write_text(json.dumps(scores))
    at_floor = tabulate(planned, out).set_index("contestant")
    assert math.isnan(at_floor.loc["rule constant", "gain_over_floor"])
    assert at_floor.loc["rule constant", "gain"] == changed.loc["rule constant", "gain"]
    (out / planned[-1][1].name / SCORES).unlink()
    assert tabulate(planned, out).set_index("contestant").loc["rule constant", "missing"] == 1


def test_bad_input_is_one_line(capsys, tmp_path):
    for words, said in (
        (["--methods", "meanflw"], "choices"),
        (["--budget", "nan"], "budget"),
        (["--budget", "3"], "does not pay"),
        (["--seconds", "inf"], "seconds"),
        (["--seconds", "1", "--budget", "9"], "exclude"),
        (["--seeds", "a"], "whole number"),
        (["--dataset", "moons"], "choices"),
    ):
        assert main(["compare", "--out", str(tmp_path / "x"), *words]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") <= 2
        assert "Traceback" not in err


def test_a_budget_in_seconds_buys_steps_by_their_time(monkeypatch):
    monkeypatch.setattr(
        "toylab.experiments.compare.step_seconds", lambda config: 0.01 if config.proxy == "ema" else 0.004
    )
    steps_of = partial(steps_in_seconds, seconds=0.2)
    planned = plan(TINY, contestants(rules=["constant"]), ["two_moons"], [0], steps_of)
    assert [(name, cell.config.steps) for name, cell in planned] == [(BASELINE, 50), ("rule constant", 20)]
    with pytest.raises(ValueError, match="do not pay"):
        steps_in_seconds(TINY, 0.001)
