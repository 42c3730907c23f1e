"""Jobs without an app: states, latencies, live changes, the queue, and owners that go away."""

import dataclasses
import threading
import time

import jax
import numpy as np
import pandas as pd
import pytest

from toylab.config import RunConfig
from toylab.training.experiment import without_unused_settings
from toylab.ui.jobs import (
    TERMINAL,
    JobManager,
    JobState,
    Lane,
    QueueFull,
    Snapshot,
    SweepJob,
    TrainingJob,
    with_baseline,
)
from toylab.ui.jobs.manager import GRACE_SECONDS, MAX_COMPUTATIONS, MAX_JOBS, TURN_SECONDS
from toylab.ui.jobs.snapshot import bin_means
from toylab.ui.jobs.sweep_job import SCORE_KEYS, SCORE_N

# One small structure for the whole file: it compiles once.
CONFIG = RunConfig(
    dataset="two_gaussians",
    beta=1.0,
    steps=100_000,
    batch_size=16,
    width=16,
    depth=1,
    embed_dim=4,
    log_every=500,
    eval_samples=128,
)
COMPILED = 240.0
"""Patience with a busy machine; no speed is tested with it."""


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def manager(clock):
    manager = JobManager(clock)
    yield manager
    manager.close()


def lab_job(**changes) -> TrainingJob:
    return TrainingJob(with_baseline(CONFIG.replace(**changes)), needed=[0])


def running(manager, owner="a", **changes) -> TrainingJob:
    job = manager.submit(lab_job(**changes), owner)
    assert job.wait_for(lambda s: s.step > 1 and s.state is JobState.RUNNING, COMPILED)
    return job


def reaches(job, state, seconds=1.0) -> bool:
    """Whether the job gets there; at once where it ends elsewhere."""
    job.wait_for(lambda snapshot: snapshot.state is state or not job.active, seconds)
    return job.snapshot.state is state


@pytest.mark.slow
def test_a_run_ends_done_with_both_lanes_measured(manager):
    states = []
    job = manager.submit(lab_job(steps=1000), "a")
    states.append(job.state)
    while job.active:
        job.wait_for(lambda s: s.state is not states[-1], 0.2)
        if job.state is not states[-1]:
            states.append(job.state)
    assert states[-1] is JobState.DONE
    # A viewer may miss a state (latest wins), but never sees them out of order.
    order = [JobState.QUEUED, JobState.COMPILING, JobState.RUNNING, JobState.DONE]
    assert states == [state for state in order if state in states]
    snapshot = job.snapshot
    assert snapshot.step == 1000
    assert snapshot.samples is not None
    assert snapshot.samples.shape[0] == 2
    assert [list(table.index) for table in snapshot.histories] == [[500, 1000], [500, 1000]]
    assert np.all(np.isfinite(snapshot.latest("sw1") + snapshot.latest("sw1_floor")))
    chosen, baseline = job.runs()
    assert (chosen.config.beta, baseline.config.beta) == (1.0, 0.0)
    assert chosen.status == baseline.status == "done"


@pytest.mark.slow
def test_watching_changes_no_result(manager):
    """A job's lanes equal a plain trainer's: chunks, pictures and pauses leave no trace."""
    from toylab.training.trainer import Trainer

    config = CONFIG.replace(steps=1000)
    job = manager.submit(lab_job(steps=1000), "a")
    job.pause()
    job.resume()
    assert reaches(job, JobState.DONE, COMPILED)
    trainer = Trainer([config, config.replace(beta=0.0)])
    while not trainer.done:
        trainer.advance(trainer.log_interval)
    for lane, run in enumerate(job.runs()):
        pd.testing.assert_frame_equal(run.history, trainer.history(lane))


def test_pause_stands_still_steps_exactly_and_resumes(manager):
    job = running(manager)
    job.pause()
    assert reaches(job, JobState.PAUSED)
    before = job.snapshot.step
    time.sleep(0.2)
    assert job.snapshot.step == before
    for count in (1, 100):
        job.advance(count)
        expected = job.snapshot.step + count
        assert job.wait_for(lambda s, e=expected: s.step >= e and s.state is JobState.PAUSED, 2.0)
        assert job.snapshot.step == expected
    job.resume()
    assert job.wait_for(lambda s: s.step > before + 101 and s.state is JobState.RUNNING, 1.0)


def test_stop_acts_within_half_a_second(manager):
    latencies = []
    for _ in range(3):
        job = running(manager)
        began = time.monotonic()
        job.stop()
        assert reaches(job, JobState.STOPPED, 2.0)
        latencies.append(time.monotonic() - began)
    assert sorted(latencies)[1] < 0.5


def test_a_second_run_of_one_structure_shows_its_first_frame_at_once(manager):
    running(manager).stop()
    began = time.monotonic()
    running(manager, "b", beta=-0.5, seed=7, learning_rate=1e-3)
    assert time.monotonic() - began < 1.5


def test_beta_changes_live_without_compiling(manager):
    job = running(manager)
    assert job.wait_for(lambda s: len(s.histories[0]) > 0, COMPILED)
    compiled = []
    listener = lambda name, *_, **__: compiled.append(name) if "backend_compile" in name else None  # noqa: E731
    jax.monitoring.register_event_duration_secs_listener(listener)
    try:
        job.set(beta=0.3)
        assert job.wait_for(lambda s: bool(s.events), 1.0)
        event = job.snapshot.events[0]
        assert (event.name, event.old, event.new) == ("beta", 1.0, 0.3)
        assert job.wait_for(lambda s: s.latest("beta") == (pytest.approx(0.3), 0.0), 5.0)
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)
    assert job.state is JobState.RUNNING
    assert compiled == []


def test_learning_rate_changes_both_lanes(manager):
    job = running(manager)
    job.set(learning_rate=1e-4)
    assert job.wait_for(lambda s: bool(s.events), 1.0)
    assert [config.learning_rate for config in job.snapshot.configs] == [1e-4, 1e-4]
    (event,) = job.snapshot.events  # one, though both lanes record it
    assert event[1:] == ("learning_rate", CONFIG.learning_rate, 1e-4, 0)
    job.stop()
    assert reaches(job, JobState.STOPPED)
    assert [run.changes for run in job.runs()] == [((event.step, "learning_rate", 1e-4),)] * 2


def test_a_steered_run_keeps_its_settings_and_its_changes(manager, tmp_path):
    from toylab.training import load

    job = running(manager)
    job.set(beta=0.3)
    assert job.wait_for(lambda s: bool(s.events), 1.0)
    assert job.snapshot.config.beta == 0.3
    job.stop()
    assert reaches(job, JobState.STOPPED)
    chosen, baseline = (load(run.save(tmp_path / name)) for run, name in zip(job.runs(), "ab", strict=True))
    (event,) = job.snapshot.events
    assert (chosen.config, baseline.config) == (CONFIG, CONFIG.replace(beta=0.0))
    assert (chosen.changes, baseline.changes) == (((event.step, "beta", 0.3),), ())


def test_a_job_that_cannot_be_held_fails_alone(manager, clock, monkeypatch):
    """Holding asks the lanes for samples: an error of JAX there must not end the worker."""
    first = running(manager, "a")
    publish = first._publish

    def broken(state, message=""):
        if state is JobState.QUEUED:
            raise RuntimeError("out of memory")
        publish(state, message)

    monkeypatch.setattr(first, "_publish", broken)
    second = manager.submit(lab_job(), "b")
    clock.now += TURN_SECONDS + 1
    assert reaches(first, JobState.FAILED, 10.0)
    assert second.wait_for(lambda s: s.step > 1, 10.0)


def test_a_bad_live_value_is_refused_and_nothing_is_lost(manager):
    job = running(manager)
    with pytest.raises(ValueError, match="beta must"):
        job.set(beta=1e9)
    with pytest.raises(ValueError, match="finite"):
        job.set(beta=float("nan"))
    assert job.state is JobState.RUNNING


def test_divergence_names_step_beta_and_rate_and_keeps_finite_samples(manager):
    job = manager.submit(lab_job(learning_rate=10.0, optimizer="sgd"), "a")
    assert reaches(job, JobState.DIVERGED, COMPILED)
    snapshot = job.snapshot
    for word in ("Diverged at step", "beta = 1", "learning rate 10"):
        assert word in snapshot.message
    assert np.all(np.isfinite(snapshot.samples))
    assert all(np.all(np.isfinite(table.to_numpy(float))) for table in snapshot.histories)


@pytest.mark.slow
def test_a_loss_that_blew_up_counts_as_divergence(manager):
    job = manager.submit(lab_job(learning_rate=10.0, log_every=50, activation="silu"), "a")
    assert reaches(job, JobState.DIVERGED, COMPILED)
    assert "Diverged at step" in job.snapshot.message


def test_a_failure_is_one_line_with_an_id_and_the_worker_lives(manager, monkeypatch, caplog):
    from toylab.ui.jobs import live

    def broken(*_):
        raise RuntimeError("secret detail")

    with monkeypatch.context() as patch:
        patch.setattr(live.LiveTraining, "__init__", broken)
        job = manager.submit(lab_job(), "a")
        assert reaches(job, JobState.FAILED, 10.0)
    assert job.id in job.snapshot.message
    assert "secret" not in job.snapshot.message
    assert "secret detail" in caplog.text
    running(manager, "a")


def test_a_bad_dataset_fails_with_the_registrys_line(manager):
    job = manager.submit(lab_job(dataset="nowhere"), "a")
    assert reaches(job, JobState.FAILED, 10.0)
    assert job.snapshot.message.startswith("unknown dataset 'nowhere'; choices:")


def test_one_job_per_owner_and_a_short_queue(manager):
    running(manager, "a")
    with pytest.raises(ValueError, match="training already"):
        manager.submit(lab_job(), "a")
    waiting = [manager.submit(lab_job(), f"owner{i}") for i in range(MAX_JOBS - 1)]
    assert [manager.place(job) for job in waiting] == [1, 2, 3, 4]
    with pytest.raises(QueueFull, match="try again"):
        manager.submit(lab_job(), "late")


def test_jobs_take_turns(manager, clock):
    first = running(manager, "a")
    second = manager.submit(lab_job(), "b")
    time.sleep(0.2)
    assert second.state is JobState.QUEUED
    clock.now += TURN_SECONDS + 1
    assert second.wait_for(lambda s: s.step > 1, 5.0)
    assert first.wait_for(lambda s: s.state is JobState.QUEUED, 1.0)


def test_a_paused_job_lets_others_train(manager):
    first = running(manager, "a")
    first.pause()
    assert reaches(first, JobState.PAUSED)
    second = running(manager, "b")
    first.resume()
    assert reaches(first, JobState.QUEUED)
    second.stop()
    assert reaches(first, JobState.RUNNING)


def test_an_orphan_goes_on_is_adopted_or_stops_after_the_grace_time(manager, clock):
    job = running(manager, "a")
    manager.release("a")
    assert job.state is JobState.ORPHANED
    step = job.snapshot.step
    assert job.wait_for(lambda s: s.step > step, 1.0)
    manager.adopt(job, "again")
    assert job.state is JobState.RUNNING
    manager.release("a")
    assert job.state is JobState.RUNNING
    manager.release("again")
    clock.now += GRACE_SECONDS + 1
    assert reaches(job, JobState.STOPPED, 2.0)


def test_someone_who_waits_goes_before_an_orphan(manager):
    job = running(manager, "a")
    manager.release("a")
    running(manager, "b")
    assert job.snapshot.state is JobState.QUEUED


def test_a_forgotten_pause_ends(manager, clock):
    job = running(manager)
    job.pause()
    assert reaches(job, JobState.PAUSED)
    clock.now += 301
    assert reaches(job, JobState.STOPPED, 2.0)


def test_one_worker_thread_and_none_after_closing(clock):
    def workers():
        return {thread for thread in threading.enumerate() if thread.name == "toylab-worker"}

    others = workers()  # of apps that other tests left open
    manager = JobManager(clock)
    assert len(workers() - others) == 1
    job = running(manager)
    manager.close()
    assert not workers() - others
    assert job.snapshot.state not in TERMINAL


def test_chores_wait_for_jobs_and_their_errors_end_nothing(manager, caplog):
    done = threading.Event()

    def broken():
        raise RuntimeError("bad chore")

    manager.when_idle(broken, done.set)
    assert done.wait(2.0)
    assert "bad chore" in caplog.text
    running(manager)


def test_bin_means_bounds_the_rows_and_keeps_the_newest_step():
    steps = pd.Index(np.arange(10, 10_010, 10), name="step")
    table = pd.DataFrame({"loss": np.arange(1000.0)}, index=steps)
    small = bin_means(table, 400)
    assert len(small) == 334
    assert small.index[-1] == 10_000
    assert small["loss"].iloc[-1] == np.mean([997.0, 998.0, 999.0])
    # 1000 = 1 + 333 * 3: the first bin holds one row, all others three.
    weights = np.array([1.0] + [3.0] * 333)
    assert np.sum(small["loss"] * weights) == pytest.approx(np.sum(np.arange(1000.0)))
    assert bin_means(table, 1000) is table


def race(**changes) -> TrainingJob:
    """Two betas of one structure, and a method of another."""
    base = CONFIG.replace(**changes)
    lanes = [Lane(f"beta {beta:g}", base.replace(beta=beta)) for beta in (0.0, 0.5)]
    plain = Lane("flow matching", without_unused_settings(base.replace(method="flow_matching")))
    return TrainingJob([lanes[0], plain, lanes[1]], "race")


def test_a_race_trains_lanes_of_any_structure_as_they_would_train_alone(manager):
    from toylab.training import train

    job = manager.submit(race(steps=600, log_every=200), "a")
    assert reaches(job, JobState.DONE, COMPILED)
    assert job.snapshot.labels == ("beta 0", "flow matching", "beta 0.5")
    assert job.snapshot.samples.shape[0] == 3
    for run in job.runs():
        alone = train(run.config, progress=False)
        pd.testing.assert_frame_equal(run.history, alone.history)
        np.testing.assert_array_equal(np.asarray(run.state.params), np.asarray(alone.state.params))


def test_beta_of_one_lane_of_a_race_changes(manager):
    job = manager.submit(race(), "a")
    assert reaches(job, JobState.RUNNING, COMPILED), job.snapshot.message
    job.set(lane=2, beta=1.5)
    assert job.wait_for(lambda s: bool(s.events), 2.0)
    assert [config.beta for config in job.snapshot.configs][::2] == [0.0, 1.5]
    assert job.snapshot.events[0][1:] == ("beta", 0.5, 1.5, 2)


def test_a_learning_rate_that_only_a_later_lane_changes_is_an_event(manager):
    lanes = [Lane(f"{rate}", CONFIG.replace(learning_rate=rate)) for rate in (1e-3, 2e-3)]
    job = manager.submit(TrainingJob(lanes, "race"), "a")
    assert reaches(job, JobState.RUNNING, COMPILED)
    job.set(1, learning_rate=1e-3)
    assert job.wait_for(lambda s: bool(s.events), 1.0)
    assert [event[1:] for event in job.snapshot.events] == [("learning_rate", 2e-3, 1e-3, 1)]


def test_a_lane_that_diverges_leaves_the_race_and_the_others_go_on(manager):
    base = CONFIG.replace(steps=400, log_every=200, optimizer="sgd", lr_schedule="constant")
    lanes = [Lane("calm", base.replace(learning_rate=1e-3)), Lane("wild", base.replace(learning_rate=10.0))]
    job = manager.submit(TrainingJob(lanes, "race"), "a")
    assert reaches(job, JobState.DONE, COMPILED)
    assert job.snapshot.message.startswith("wild: diverged at step")
    assert [run.status for run in job.runs()] == ["done", "diverged"]
    assert job.snapshot.diverged_at[0] == -1
    assert f"at step {job.snapshot.diverged_at[1]} " in job.snapshot.message


def test_a_lane_that_diverged_has_no_score_however_near_it_was():
    table = pd.DataFrame({"sw1": [0.2], "sw1_floor": [0.03]}, index=pd.Index([200], name="step"))
    snapshot = Snapshot(1, JobState.DONE, (CONFIG,) * 2, histories=(table, table), diverged_at=(707, -1))
    np.testing.assert_array_equal(snapshot.scores, (np.nan, 0.2))
    assert snapshot.floor == 0.03
    assert dataclasses.replace(snapshot, diverged_at=()).scores == (0.2, 0.2)
    assert dataclasses.replace(snapshot, histories=(table.iloc[:0], table)).floor == 0.03


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 7}, "share steps, got 100000 and 7"),
        ({"dataset": "two_moons"}, "share dataset, got 'two_gaussians' and 'two_moons'"),
    ],
)
def test_lanes_that_cannot_be_watched_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainingJob([Lane("a", CONFIG), Lane("b", CONFIG.replace(**changes))])
    with pytest.raises(ValueError, match="distinct labels, got a, a"):
        TrainingJob([Lane("a", CONFIG), Lane("a", CONFIG)])
    with pytest.raises(ValueError, match="1 to 4 lanes, got 5"):
        TrainingJob([Lane(str(i), CONFIG) for i in range(5)])


def test_a_paused_job_can_be_read_and_goes_on(manager):
    job = running(manager)
    with pytest.raises(ValueError, match="paused"):
        job.runs()
    job.pause()
    assert reaches(job, JobState.PAUSED)
    first = job.runs()
    assert [run.step for run in first] == [job.snapshot.step] * 2
    job.advance(10)
    assert job.wait_for(lambda s: s.state is JobState.PAUSED and s.step == first[0].step + 10, 5.0)
    assert job.runs()[0].step == first[0].step + 10
    assert not np.array_equal(np.asarray(first[0].state.params), np.asarray(job.runs()[0].state.params))


def test_a_computation_runs_on_the_worker_between_stretches(manager):
    job = running(manager)
    future = manager.compute(lambda: threading.current_thread().name)
    assert future.result(5.0) == "toylab-worker"
    broken = manager.compute(lambda: 1 / 0)
    assert isinstance(broken.exception(5.0), ZeroDivisionError)
    step = job.snapshot.step
    assert job.wait_for(lambda s: s.step > step, 5.0)


def test_computations_can_be_taken_back_and_are_bounded(manager):
    gate, ran = threading.Event(), []
    manager.compute(lambda: gate.wait(10.0))
    time.sleep(0.05)
    waiting = [manager.compute(lambda i=i: ran.append(i)) for i in range(MAX_COMPUTATIONS)]
    with pytest.raises(QueueFull, match="computations are waiting"):
        manager.compute(lambda: ran.append(-1))
    waiting[0].cancel()
    last = manager.compute(lambda: ran.append(99))
    gate.set()
    last.result(5.0)
    assert ran == [*range(1, MAX_COMPUTATIONS), 99]


def cells(**changes):
    base = CONFIG.replace(**({"steps": 300, "log_every": 100} | changes))
    return [base.replace(beta=beta, seed=seed) for beta in (0.0, 1.0) for seed in (0, 1)]


def test_a_sweep_fills_its_cells_as_if_each_were_trained_alone(manager):
    from toylab.evaluation import evaluate
    from toylab.training import train

    job = manager.submit(SweepJob(cells()), "a")
    counts = []
    while job.active:
        job.wait_for(lambda s: s.num_done not in counts, 0.1)
        counts.append(job.snapshot.num_done)
    assert job.snapshot.state is JobState.DONE
    assert sorted(counts) == counts
    assert job.snapshot.share_done == 1.0
    alone = train(cells()[3], progress=False)
    np.testing.assert_array_equal(np.asarray(job.run(3).state.params), np.asarray(alone.state.params))
    score = job.snapshot.scores[3]
    expected = evaluate(alone, ["sliced_w1"], n=SCORE_N, num_keys=SCORE_KEYS)["sliced_w1"]
    assert (score.sw1, score.floor, score.diverged_at) == (expected.value, expected.floor, -1)
    assert score.loss == alone.history["loss"].iloc[-1]


def test_a_stopped_sweep_keeps_its_finished_cells(manager):
    job = manager.submit(SweepJob(cells(steps=20_000, log_every=20_000)), "a")
    assert job.wait_for(lambda s: s.num_done >= 1, COMPILED)
    job.stop()
    assert reaches(job, JobState.STOPPED, 5.0)
    finished = [cell for cell, score in enumerate(job.snapshot.scores) if score is not None]
    assert 0 < len(finished) < 4
    assert job.run(finished[0]).status == "done"
    with pytest.raises(ValueError, match="not finished"):
        job.run(3)


def test_a_sweep_lets_a_live_run_go_first_after_a_chunk(manager):
    sweep = manager.submit(SweepJob(cells(steps=20_000, log_every=20_000)), "a")
    assert sweep.wait_for(lambda s: s.step > 100, COMPILED)
    live = running(manager, "b")
    done = sweep.snapshot.num_done
    assert done < 4
    step = live.snapshot.step
    assert live.wait_for(lambda s: s.step > step + 100, 10.0)
    assert sweep.snapshot.num_done == done


def test_a_diverged_cell_is_marked_and_not_scored(manager):
    wild = CONFIG.replace(steps=300, log_every=100, optimizer="sgd", learning_rate=10.0)
    job = manager.submit(SweepJob([wild]), "a")
    assert reaches(job, JobState.DONE, COMPILED)
    (score,) = job.snapshot.scores
    assert score.diverged_at >= 0
    assert np.isnan(score.sw1)


@pytest.mark.parametrize("number", [0, 65])
def test_a_sweep_of_the_app_is_bounded(number):
    with pytest.raises(ValueError, match=f"1 to 64 cells, got {number}"):
        SweepJob([CONFIG.replace(seed=seed) for seed in range(number)])
