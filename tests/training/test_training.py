"""Training: what must not change a result (lanes, devices, stretches, precision), and what must."""

from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from tiny import TINY, UNMEASURED, params_of

import toylab as tl
from toylab.devices import parallel
from toylab.storage.run_folder import read_run
from toylab.training import Trainer
from toylab.training.ensemble import Ensemble
from toylab.training.experiment import build_experiment
from toylab.training.trainer import SEED_NOISE


def test_lanes_equal_runs_one_by_one():
    configs = [TINY.replace(beta=beta, seed=seed) for beta, seed in [(0.0, 0), (1.0, 0), (0.5, 3)]]
    together = tl.train_many(configs, progress=False)
    for config, run in zip(configs, together, strict=True):
        alone = tl.train(config, progress=False)
        np.testing.assert_array_equal(params_of(alone), params_of(run))
        pd.testing.assert_frame_equal(alone.history, run.history)
    assert not np.array_equal(params_of(together[0]), params_of(together[1]))


def test_results_do_not_depend_on_the_length_of_stretches():
    experiment = build_experiment(TINY)
    whole, pieces = Ensemble([experiment]), Ensemble([experiment])
    whole.advance(40)
    for steps in (1, 7, 12, 20):
        pieces.advance(steps)
    np.testing.assert_array_equal(whole.states()[0].params, pieces.states()[0].params)
    pieces.advance(1)
    assert not np.array_equal(whole.states()[0].params, pieces.states()[0].params)


def test_results_do_not_depend_on_the_number_of_devices(monkeypatch):
    if len(jax.local_devices()) < 2:
        pytest.skip("needs two devices")
    experiments = [build_experiment(TINY.replace(beta=beta)) for beta in (0.0, 0.5, 1.0)]
    spread = Ensemble(experiments)
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    single = Ensemble(experiments)
    assert len(spread._lanes._devices) == 2
    assert len(single._lanes._devices) == 1
    for ensemble in (spread, single):
        ensemble.advance(25)
    for one, other in zip(spread.states(), single.states(), strict=True):
        np.testing.assert_array_equal(one.params, other.params)


def test_nothing_is_fetched_from_the_devices_between_rows_of_the_history(monkeypatch):
    fetched, get = [], parallel.SeparateLanes.get
    monkeypatch.setattr(
        parallel.SeparateLanes, "get", lambda lanes, placed: fetched.append(placed) or get(lanes, placed)
    )
    trainer = Trainer([UNMEASURED])
    for _ in range(3):
        trainer.advance(6)
    assert not fetched
    trainer.advance(6)  # to step 20, where a row is recorded
    assert trainer.step == UNMEASURED.log_every
    assert fetched


@pytest.mark.slow
@pytest.mark.parametrize("num_lanes", [2, 3])
def test_batched_lanes_agree_with_separate_lanes(monkeypatch, num_lanes):
    """Accelerators batch the lanes of a device: the same numbers up to rounding."""
    experiments = [build_experiment(TINY.replace(beta=beta)) for beta in (0.0, 0.5, 1.0)[:num_lanes]]
    separate = Ensemble(experiments)
    monkeypatch.setattr(parallel, "SeparateLanes", parallel.BatchedLanes)
    batched = Ensemble(experiments)
    assert isinstance(batched._lanes, parallel.BatchedLanes)
    for ensemble in (separate, batched):
        ensemble.advance(10)
    for one, other in zip(separate.states(), batched.states(), strict=True):
        np.testing.assert_allclose(one.params, other.params, rtol=2e-3, atol=2e-5)
    np.testing.assert_allclose(separate.sample(8), batched.sample(8), rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(separate.gradient_variance(), batched.gradient_variance(), rtol=1e-2)


@pytest.mark.usefixtures("keep_programs")
def test_beta_learning_rate_and_seed_share_one_program(caplog):
    trainer = Trainer([TINY])
    trainer.advance(5)
    with jax.log_compiles(True):
        trainer.set(0, beta=1.5, learning_rate=1e-4)
        trainer.advance(5)
        Trainer([TINY.replace(beta=-0.3, seed=9, learning_rate=1e-2, ema_decay=0.9)]).advance(5)
        assert not [record for record in caplog.records if "train_lane" in record.getMessage()]
        assert not [record for record in caplog.records if "XLA compilation" in record.getMessage()]
        caplog.clear()
        Trainer([TINY.replace(width=17)]).advance(5)
        assert [record for record in caplog.records if "XLA compilation" in record.getMessage()]


def test_live_beta_acts_from_the_next_step_on():
    changed, fixed = Trainer([TINY.replace(beta=0.0)]), Trainer([TINY.replace(beta=0.0)])
    for trainer in (changed, fixed):
        trainer.advance(20)
    np.testing.assert_array_equal(changed.ensemble.states()[0].params, fixed.ensemble.states()[0].params)
    changed.set(0, beta=1.0)
    for trainer in (changed, fixed):
        trainer.advance(20)
    assert not np.array_equal(changed.ensemble.states()[0].params, fixed.ensemble.states()[0].params)
    assert changed.history(0)["beta"].tolist() == [0.0, 1.0]


def test_a_diverging_lane_stops_alone_and_keeps_its_last_finite_state(tmp_path):
    wild_sgd = UNMEASURED.replace(optimizer="sgd", learning_rate=10.0, lr_schedule="constant", seed=1)
    with pytest.warns(RuntimeWarning, match=r"diverged at step \d+"):
        run = tl.train(wild_sgd, progress=False)
    assert run.status == "diverged"
    assert run.diverged_at is not None
    assert run.step == run.diverged_at < wild_sgd.steps
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(run.state))
    run.save(tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, tl.load(tmp_path / "run").state, run.state)
    # Of one structure with the wild one, or they would not be neighbours.
    lanes = [wild_sgd.replace(beta=1.0, learning_rate=1e-3, seed=0), wild_sgd]
    with pytest.warns(RuntimeWarning, match="diverged"):
        good, bad = tl.train_many(lanes, progress=False)
    assert bad.diverged_at == run.diverged_at
    assert good.status == "done"
    np.testing.assert_array_equal(params_of(good), params_of(tl.train(lanes[0], progress=False)))


@pytest.mark.slow
def test_training_is_in_float32_whatever_the_caller_computes_in(tmp_path):
    config = TINY.replace(steps=40, coefficient="linear")
    plain = tl.train(config, progress=False)
    with jax.enable_x64(True):
        run = tl.train(config, path=tmp_path / "run", progress=False)
        samples = run.sample(64, nfe=2, seed=3)
        loaded = tl.load(tmp_path / "run")
        variance = tl.diagnostics.gradient_variance(loaded, num_batches=4)
        data = run.dataset.sample(32, seed=1)
        trainer = Trainer([config])
        trainer.set(0, beta=0.1)
    jax.tree.map(
        lambda one, other: np.testing.assert_array_equal(one, other, strict=True), run.state, plain.state
    )
    pd.testing.assert_frame_equal(run.history, plain.history)
    np.testing.assert_array_equal(samples, plain.sample(64, nfe=2, seed=3), strict=True)
    np.testing.assert_array_equal(loaded.sample(64, nfe=2, seed=3), samples)
    pd.testing.assert_frame_equal(variance, tl.diagnostics.gradient_variance(plain, num_batches=4))
    np.testing.assert_array_equal(data, plain.dataset.sample(32, seed=1), strict=True)


@pytest.mark.slow
def test_flow_matching_is_scored_by_its_ode_solver(tmp_path):
    config = TINY.replace(method="flow_matching")
    run = tl.train(config, path=tmp_path / "run", progress=False)
    folder = read_run(tmp_path / "run")
    assert folder.header.nfe == 32
    np.testing.assert_array_equal(folder.generated, run.sample(4096, nfe=32, seed=0))
    reference = Trainer([config]).reference(0)
    expected = reference.distance(run.sample(64, nfe=32, seed=SEED_NOISE))
    assert run.history["sw1"].iloc[-1] == pytest.approx(expected, rel=1e-5)
    score = tl.evaluate(run, ["sliced_w1"], n=128)["sliced_w1"]
    assert score == tl.evaluate(run, ["sliced_w1"], n=128, nfe=32)["sliced_w1"]
    assert score.nfe == 32


@pytest.mark.parametrize("coefficient", tl.available("coefficients"))
def test_every_rule_trains(coefficient):
    run = tl.train(UNMEASURED.replace(coefficient=coefficient, steps=20), progress=False)
    assert run.status == "done"
    assert np.all(np.isfinite(run.history["loss"]))
    assert run.sample(16).shape == (16, 2)


@pytest.mark.parametrize("proxy", tl.available("proxies"))
def test_every_proxy_trains_as_tangent_and_as_target(proxy):
    run = tl.train(UNMEASURED.replace(proxy=proxy, target=proxy, steps=20, anchor_weight=0.5), progress=False)
    assert np.all(np.isfinite(run.history["loss"]))


def test_annealed_beta_is_recorded_as_it_acts():
    options = {"end": 0.0, "until": 0.5}
    config = UNMEASURED.replace(coefficient="linear", beta=1.0, coefficient_options=options)
    history = tl.train(config, progress=False).history
    np.testing.assert_allclose(history["beta"], [1 - (1 / 3) / 0.5, 0.0, 0.0], atol=1e-6)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="memory maps are limited on Linux alone")
@pytest.mark.slow
def test_programs_are_forgotten_before_memory_maps_run_out(monkeypatch):
    def num_maps():
        return len(Path("/proc/self/maps").read_text().splitlines())

    trainer = Trainer([TINY])
    trainer.advance(20)
    parallel.make_room()
    before = num_maps()
    monkeypatch.setattr(parallel, "MAP_SHARE", 0.0)
    parallel.make_room()
    assert num_maps() < before - 100
    other = tl.train(TINY, progress=False)
    trainer.advance(TINY.steps)
    trainer.advance(TINY.steps)
    np.testing.assert_array_equal(trainer.ensemble.states()[0].params, other.state.params)
