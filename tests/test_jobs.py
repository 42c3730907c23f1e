"""Jobs without an app: states, latencies, live changes, the queue, and owners that go away."""

import threading
import time

import jax
import numpy as np
import pandas as pd
import pytest

from toylab.config import RunConfig
from toylab.jobs import TERMINAL, Job, JobManager, JobState, QueueFull
from toylab.jobs.manager import GRACE_SECONDS, MAX_JOBS, TURN_SECONDS
from toylab.jobs.snapshot import bin_means

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
COMPILED = 60.0


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


def running(manager, owner="a", **changes) -> Job:
    job = manager.submit(CONFIG.replace(**changes), owner)
    assert job.wait_for(lambda s: s.step > 1 and s.state is JobState.RUNNING, COMPILED)
    return job


def reaches(job, state, seconds=1.0) -> bool:
    return job.wait_for(lambda snapshot: snapshot.state is state, seconds)


def test_a_run_ends_done_with_both_lanes_measured(manager):
    states = []
    job = manager.submit(CONFIG.replace(steps=1000), "a")
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


def test_watching_changes_no_result(manager):
    """A job's lanes equal a plain trainer's: chunks, pictures and pauses leave no trace."""
    from toylab.training.trainer import Trainer

    config = CONFIG.replace(steps=1000)
    job = manager.submit(config, "a")
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
    assert [job._live._trainer.current(lane).learning_rate for lane in range(2)] == [1e-4, 1e-4]


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
    second = manager.submit(CONFIG, "b")
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
    job = manager.submit(CONFIG.replace(learning_rate=10.0, optimizer="sgd"), "a")
    assert reaches(job, JobState.DIVERGED, COMPILED)
    snapshot = job.snapshot
    for word in ("Diverged at step", "beta = 1", "learning rate 10"):
        assert word in snapshot.message
    assert np.all(np.isfinite(snapshot.samples))
    assert all(np.all(np.isfinite(table.to_numpy(float))) for table in snapshot.histories)


def test_a_loss_that_blew_up_counts_as_divergence(manager):
    job = manager.submit(CONFIG.replace(learning_rate=10.0, log_every=50, activation="silu"), "a")
    assert reaches(job, JobState.DIVERGED, COMPILED)
    assert "Diverged at step" in job.snapshot.message


def test_a_failure_is_one_line_with_an_id_and_the_worker_lives(manager, monkeypatch, caplog):
    from toylab.jobs import live

    def broken(*_):
        raise RuntimeError("secret detail")

    with monkeypatch.context() as patch:
        patch.setattr(live.LiveTraining, "__init__", broken)
        job = manager.submit(CONFIG, "a")
        assert reaches(job, JobState.FAILED, 10.0)
    assert job.id in job.snapshot.message
    assert "secret" not in job.snapshot.message
    assert "secret detail" in caplog.text
    running(manager, "a")


def test_a_bad_dataset_fails_with_the_registrys_line(manager):
    job = manager.submit(CONFIG.replace(dataset="nowhere"), "a")
    assert reaches(job, JobState.FAILED, 10.0)
    assert job.snapshot.message.startswith("unknown dataset 'nowhere'; choices:")


def test_one_job_per_owner_and_a_short_queue(manager):
    running(manager, "a")
    with pytest.raises(ValueError, match="training already"):
        manager.submit(CONFIG, "a")
    waiting = [manager.submit(CONFIG, f"owner{i}") for i in range(MAX_JOBS - 1)]
    assert [manager.place(job) for job in waiting] == [1, 2, 3, 4]
    with pytest.raises(QueueFull, match="try again"):
        manager.submit(CONFIG, "late")


def test_jobs_take_turns(manager, clock):
    first = running(manager, "a")
    second = manager.submit(CONFIG, "b")
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
