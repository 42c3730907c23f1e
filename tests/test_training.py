"""Training: what must not change a result (lanes, devices, stretches, resuming), and what must."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
import scipy.stats

import toylab as tl
from toylab import parallel
from toylab.runs import read_run
from toylab.training import Trainer
from toylab.training.ensemble import Ensemble
from toylab.training.experiment import build_experiment
from toylab.training.objective import draw_batch, loss_and_gradient, replica_gradients
from toylab.training.state import init_state, lane_keys
from toylab.training.step import BLOWN_UP, train_step
from toylab.training.trainer import SEED_NOISE

TINY = tl.RunConfig(steps=60, batch_size=32, width=16, depth=2, embed_dim=8, log_every=20, eval_samples=64)


def params_of(run: tl.Run) -> np.ndarray:
    return np.asarray(run.state.params)


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


def test_equal_rows_take_no_derivative_and_no_proxy():
    """Work, counted by the compiler: more rows with r = t cost less, down to plain flow matching."""

    def flops(p_equal, method="meanflow"):
        experiment = build_experiment(TINY.replace(p_equal=p_equal, batch_size=64, method=method, width=64))
        state = jax.eval_shape(init_state, experiment)

        def gradient(experiment, state, key):
            return loss_and_gradient(experiment, state, draw_batch(experiment, key))

        lowered = jax.jit(gradient).lower(experiment, state, jax.random.key(0))
        return lowered.compile().cost_analysis()["flops"]

    all_equal, half, none = flops(1.0), flops(0.5), flops(0.0)
    assert all_equal == pytest.approx(flops(0.3, "flow_matching"), rel=0.02)
    # Forward, backward, tangent and proxy against forward and backward: 5/3 of the work.
    assert 1.45 < none / all_equal < 1.9
    assert half == pytest.approx((all_equal + none) / 2, rel=0.05)


def test_split_batch_gradient_equals_that_of_treating_every_row_as_a_pair():
    experiment = build_experiment(TINY)
    params = init_state(experiment).params + 0.1
    state = init_state(experiment)._replace(params=params, params_ema=params)
    batch = draw_batch(experiment, jax.random.key(1))
    rows = jax.tree.map(lambda a, b: np.concatenate([a, b]), batch.equal, batch.pairs)
    whole = build_experiment(TINY.replace(p_equal=0.0))
    merged = batch._replace(pairs=rows, equal=jax.tree.map(lambda leaf: leaf[:0], rows))
    _, split = loss_and_gradient(experiment, state, batch)
    _, plain = loss_and_gradient(whole, state, merged)
    np.testing.assert_allclose(split, plain, rtol=1e-4, atol=1e-6)


def test_a_diverging_lane_stops_alone_and_keeps_its_last_finite_state(tmp_path):
    healthy = TINY.replace(beta=1.0)
    wild_sgd = TINY.replace(optimizer="sgd", learning_rate=10.0, lr_schedule="constant", seed=1)
    with pytest.warns(RuntimeWarning, match=r"diverged at step \d+"):
        run = tl.train(wild_sgd, progress=False)
    assert run.status == "diverged"
    assert run.diverged_at is not None
    assert run.step == run.diverged_at < wild_sgd.steps
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(run.state))
    run.save(tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, tl.load(tmp_path / "run").state, run.state)
    lanes = [healthy.replace(optimizer="sgd", learning_rate=1e-3), wild_sgd]
    with pytest.warns(RuntimeWarning, match="diverged"):
        good, bad = tl.train_many(lanes, progress=False)
    assert bad.diverged_at == run.diverged_at
    assert good.status == "done"
    np.testing.assert_array_equal(params_of(good), params_of(tl.train(lanes[0], progress=False)))


def test_a_non_finite_gradient_changes_nothing_but_the_mark():
    experiment = build_experiment(TINY)
    state = init_state(experiment)
    broken = state._replace(params=state.params.at[0].set(np.nan))
    after = train_step(experiment, broken, jax.random.key(0))
    assert int(after.diverged_at) == 0
    np.testing.assert_array_equal(after.params, broken.params)
    assert int(after.step) == int(broken.step)


@pytest.mark.parametrize(
    ("value", "finite"), [(np.nan, False), (np.inf, False), (-np.inf, False), (3e38, True)]
)
def test_finiteness_is_read_off_the_bits(value, finite):
    assert bool(parallel.is_finite(np.asarray([value], np.float32))) is finite


def test_resume_is_bit_identical(tmp_path):
    config = TINY.replace(beta=0.7)
    whole = tl.train(config, progress=False)
    trainer = Trainer([config])
    while trainer.step < 33:  # in the middle of a logging interval
        trainer.advance(33 - trainer.step)
    half = tl.Run(config, trainer.ensemble.states()[0], trainer.history(0))
    half.save(tmp_path / "half")
    loaded = tl.load(tmp_path / "half")
    assert loaded.status == "unfinished"
    resumed = tl.train(config, resume=loaded, progress=False)
    np.testing.assert_array_equal(params_of(resumed), params_of(whole))
    pd.testing.assert_frame_equal(resumed.history, whole.history)
    with pytest.raises(ValueError, match="other settings"):
        tl.train(config.replace(beta=0.1), resume=loaded, progress=False)


def test_changes_are_saved_and_replayed_on_resuming(tmp_path):
    config = TINY.replace(beta=0.0)

    def steer(trainer):
        trainer.advance(20)
        trainer.set(0, beta=0.5)
        trainer.set(0, beta=1.0)  # at the same step: the last one acts
        trainer.set(0, learning_rate=config.learning_rate)  # no change

    whole, half = Trainer([config]), Trainer([config])
    for trainer in (whole, half):
        steer(trainer)
    while not whole.done:
        whole.advance(20)
    half.advance(13)
    run = tl.Run(config, half.ensemble.states()[0], half.history(0), changes=half.changes[0])
    run.save(tmp_path / "half")
    written = json.loads((tmp_path / "half" / "config.json").read_text())
    assert written["settings"]["beta"] == 0.0
    assert written["changes"] == [[20, "beta", 1.0]]
    loaded = tl.load(tmp_path / "half")
    assert loaded.config == config
    assert loaded.changes == ((20, "beta", 1.0),)
    assert float(loaded.experiment.coefficient.beta) == 1.0
    resumed = tl.train(config, resume=loaded, progress=False)
    assert resumed.changes == loaded.changes
    assert resumed.history["beta"].tolist() == [0.0, 1.0, 1.0]
    np.testing.assert_array_equal(params_of(resumed), np.asarray(whole.ensemble.states()[0].params))


def test_a_change_taken_back_is_none_and_a_bad_one_is_refused():
    trainer = Trainer([TINY])
    trainer.advance(20)
    trainer.set(0, beta=1.0)
    trainer.set(0, beta=TINY.beta)
    assert trainer.changes == [()]
    for changes in ({"beta": 1e9}, {"width": 32}):
        with pytest.raises(ValueError, match="beta"):
            trainer.set(0, **changes)
    assert trainer.current(0) == TINY


def test_advancing_after_the_end_records_nothing():
    trainer = Trainer([TINY])
    while not trainer.done:
        trainer.advance(100)
    before = trainer.history(0)
    assert trainer.advance(5) == 0
    pd.testing.assert_frame_equal(trainer.history(0), before)


@pytest.mark.parametrize("name", ["two_moons", "checkerboard", "two_gaussians"])
def test_the_zero_nets_loss_is_its_expectation(name):
    experiment = build_experiment(TINY.replace(dataset=name, batch_size=4096, p_equal=0.0))
    pairs = draw_batch(experiment, jax.random.key(0)).pairs
    losses = np.sum(np.asarray(pairs.eps - pairs.x0) ** 2, axis=1)
    stderr = np.std(losses) / np.sqrt(len(losses))
    assert abs(losses.mean() - experiment.zero_loss) < 4 * stderr


@pytest.mark.parametrize(("factor", "diverged"), [(0.5, False), (2.0, True)])
def test_a_loss_far_above_that_of_the_zero_net_is_divergence(factor, diverged):
    experiment = build_experiment(TINY.replace(p_equal=1.0))
    state = init_state(experiment)
    # A net that says a constant c has the loss zero_loss + |c|^2 (data and noise are centred).
    size = np.sqrt(factor * BLOWN_UP * experiment.zero_loss / 2)
    params = state.params.at[-2:].set(size)
    after = train_step(experiment, state._replace(params=params), jax.random.key(0))
    assert (int(after.diverged_at) == 0) is diverged
    assert np.array_equal(after.params, params) is diverged


@pytest.mark.parametrize("status", ["done", "diverged"])
@pytest.mark.parametrize("lost", [7, 4096])
def test_samples_that_are_not_finite_are_counted_not_hidden(tmp_path, monkeypatch, status, lost):
    trained = tl.train(TINY, progress=False)
    state = trained.state
    if status == "diverged":
        state = state._replace(diverged_at=np.asarray(5, np.int32))
    run = tl.Run(TINY, state, trained.history)
    points = trained.sample(4096).copy()
    points[:lost] = np.inf
    monkeypatch.setattr(tl.Run, "sample", lambda *_, **__: points)
    folder = read_run(run.save(tmp_path / "run"))
    assert (folder.header.status, folder.header.nonfinite) == (status, lost)
    assert len(folder.generated) == (4096 - lost if status == "diverged" else 0)
    assert tl.load(tmp_path / "run").status == status


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


def test_methods_without_pairs_train_on_single_times():
    """Flow matching on uniform times: the larger of two draws would be biased towards noise."""
    batch = draw_batch(
        build_experiment(TINY.replace(method="flow_matching", batch_size=4096)), jax.random.key(0)
    )
    assert batch.pairs.t.size == 0
    assert scipy.stats.kstest(np.asarray(batch.equal.t), "uniform").pvalue > 1e-3
    np.testing.assert_array_equal(batch.equal.r, batch.equal.t)


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


def test_save_and_load_round_trip(tmp_path):
    run = tl.train(TINY, path=tmp_path / "run", progress=False)
    loaded = tl.load(tmp_path / "run")
    assert loaded.config == run.config
    pd.testing.assert_frame_equal(loaded.history, run.history)
    np.testing.assert_array_equal(loaded.sample(128, nfe=2, seed=4), run.sample(128, nfe=2, seed=4))
    jax.tree.map(np.testing.assert_array_equal, loaded.state, run.state)
    for file in (tmp_path / "run" / "checkpoint").rglob("*"):
        if file.is_file():
            file.write_bytes(b"x")
    with pytest.raises(ValueError, match="checkpoint"):
        tl.load(tmp_path / "run")


def test_lanes_of_one_seed_share_data_noise_and_times():
    first, second = (build_experiment(TINY.replace(beta=beta)) for beta in (0.0, 1.0))
    jax.tree.map(
        np.testing.assert_array_equal,
        draw_batch(first, lane_keys(first)[1]),
        draw_batch(second, lane_keys(second)[1]),
    )
    other = build_experiment(TINY.replace(seed=1))
    assert not np.array_equal(
        draw_batch(first, lane_keys(first)[1]).pairs.x0, draw_batch(other, lane_keys(other)[1]).pairs.x0
    )


@pytest.mark.parametrize("max_gap", [1.0, 0.5, 0.1])
def test_times_are_ordered_and_gaps_limited(max_gap):
    experiment = build_experiment(TINY.replace(max_gap=max_gap, batch_size=512, p_equal=0.25))
    batch = draw_batch(experiment, jax.random.key(2))
    assert batch.equal.t.shape == (128,)
    np.testing.assert_array_equal(batch.equal.r, batch.equal.t)
    gap = np.asarray(batch.pairs.t - batch.pairs.r)
    assert np.all(gap >= 0)
    assert np.all(gap <= max_gap + 1e-6)
    assert gap.max() > 0.8 * max_gap


def test_cosine_schedule_and_clipping():
    trainer = Trainer([TINY.replace(learning_rate=1e-2)])
    while not trainer.done:
        trainer.advance(100)
    rates = trainer.history(0)["learning_rate"].to_numpy()
    expected = 1e-2 * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * np.array([1 / 3, 2 / 3, 1.0]))))
    np.testing.assert_allclose(rates, expected, rtol=1e-5)
    # Without momentum yet, the first step of SGD is the clipped gradient itself.
    experiment = build_experiment(
        TINY.replace(optimizer="sgd", learning_rate=1.0, lr_schedule="constant", grad_clip=0.1)
    )
    state = init_state(experiment)
    after = train_step(experiment, state, jax.random.key(0))
    assert float(np.linalg.norm(after.params - state.params)) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize("coefficient", tl.available("coefficients"))
def test_every_rule_trains(coefficient):
    run = tl.train(TINY.replace(coefficient=coefficient, steps=20), progress=False)
    assert run.status == "done"
    assert np.all(np.isfinite(run.history["loss"]))
    assert run.sample(16).shape == (16, 2)


@pytest.mark.parametrize("proxy", tl.available("proxies"))
def test_every_proxy_trains_as_tangent_and_as_target(proxy):
    run = tl.train(TINY.replace(proxy=proxy, target=proxy, steps=20, anchor_weight=0.5), progress=False)
    assert np.all(np.isfinite(run.history["loss"]))


def test_annealed_beta_is_recorded_as_it_acts():
    config = TINY.replace(coefficient="linear", beta=1.0, coefficient_options={"end": 0.0, "until": 0.5})
    history = tl.train(config, progress=False).history
    np.testing.assert_allclose(history["beta"], [1 - (1 / 3) / 0.5, 0.0, 0.0], atol=1e-6)


def test_gradient_variance_equals_its_definition():
    experiment = build_experiment(TINY)
    run = tl.train(TINY, progress=False)
    table = tl.diagnostics.gradient_variance(run, betas=[0, 0.5], num_batches=24)
    keys = jax.random.split(jax.random.fold_in(lane_keys(experiment)[2], 0), 24)
    gradients = replica_gradients(experiment, jax.tree.map(jax.numpy.asarray, run.state), keys)
    trace = np.cov(np.asarray(gradients, np.float64).T).trace()
    assert table["trace"][1] == pytest.approx(trace, rel=1e-3)
    assert np.all((table["low"] < table["trace"]) & (table["trace"] < table["high"]))


def test_bootstrap_interval_covers():
    """95% intervals of Gaussian gradients hold the true trace about 95% of the time (K = 64, 200 repeats)."""
    from toylab.diagnostics.gradient_variance import _summary

    rng = np.random.default_rng(0)
    scales = np.linspace(0.1, 1.0, 10)
    covered = 0
    for _ in range(200):
        gradients = rng.normal(size=(64, 10)) * scales
        summary = _summary(gradients)
        covered += summary["low"] <= np.sum(scales**2) <= summary["high"]
    assert 175 <= covered <= 200


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "nope"}, "unknown dataset 'nope'; choices: checkerboard"),
        ({"proxy": "nope"}, "unknown proxy 'nope'; choices: batch_posterior"),
        ({"method": "nope"}, "unknown method 'nope'"),
        ({"method_options": {"x": 1}}, "unknown option 'x' of method 'meanflow'"),
        ({"dataset_options": {"radius": "wide"}}, "radius|dataset"),
        ({"coefficient_options": {"until": 3}}, "until"),
        (
            {"coefficient": "linear", "coefficient_options": {"until": "x"}},
            "until must be a finite number, got 'x'",
        ),
        ({"coefficient_options": {"beta": 0.1}}, "that is the setting beta"),
        (
            {"coefficient": "linear", "coefficient_options": {"end": float("nan")}},
            "coefficient_options: end must",
        ),
        (
            {"method": "flow_matching", "proxy": "oracle"},
            "'flow_matching' does not use proxy; it takes target",
        ),
        ({"method": "flow_matching", "anchor_weight": 0.5}, "does not use anchor_weight"),
        ({"method": "flow_matching", "proxy_options": {"x": 1}}, "does not use proxy_options"),
    ],
)
def test_bad_names_and_options_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        tl.train(TINY.replace(**changes), progress=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beta": float("nan")}, "beta must be finite"),
        ({"steps": -1}, r"steps must lie in \[1"),
        ({"steps": 1.5}, "whole number"),
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": "fast"}, "learning_rate must be a number"),
        ({"optimizer": "magic"}, "unknown optimizer 'magic'; choices: adam"),
        ({"p_equal": 1.2}, "p_equal"),
        ({"anchor_min": 0.5, "anchor_max": 0.1}, "anchor_min"),
        ({"colour": "red"}, "unknown setting 'colour'; choices: dataset"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        TINY.replace(**changes)


def test_config_survives_json():
    config = TINY.replace(
        dataset_options={"radius": np.float64(2.0)}, beta=np.float32(0.5), steps=np.int64(10)
    )
    assert tl.RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_importing_the_package_does_not_start_jax():
    code = "import sys, toylab, toylab.runs; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="memory maps are limited on Linux alone")
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
