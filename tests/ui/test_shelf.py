"""A tab's finished runs: bounded, each kept once, safe in threads, gone with the tab."""

import threading

import numpy as np
import pytest

import toylab as tl
from toylab.config import Change
from toylab.experiments.results import run_label
from toylab.training import Run
from toylab.ui.jobs import TrainingJob, with_baseline
from toylab.ui.runs import shelf
from toylab.ui.runs.entry import label_of


@pytest.fixture(scope="module")
def run() -> Run:
    config = tl.RunConfig(
        dataset="two_moons", beta=0.25, steps=5, batch_size=16, width=8, depth=2, seed=3, eval_samples=0
    )
    return tl.train(config, progress=False)


def altered(run: Run, **state) -> Run:
    return Run(run.config, run.state._replace(**state), run.history, changes=run.changes)


def numbered(run: Run, seed: int) -> Run:
    return Run(run.config.replace(seed=seed), run.state, run.history)


def test_the_shelf_holds_twelve_and_the_oldest_makes_room(run):
    own = shelf.Shelf()
    kept = [own.keep(numbered(run, seed), f"run {seed}", "lab") for seed in range(shelf.MAX_RUNS + 2)]
    assert [item.label for item in own.finished()] == [f"run {seed}" for seed in range(2, shelf.MAX_RUNS + 2)]
    assert own.get(kept[0].id) is None
    assert own.get(kept[-1].id) is kept[-1]
    own.drop(kept[-1].id)
    own.drop("nothing")
    assert own.get(kept[-1].id) is None


def test_the_same_run_is_kept_once(run):
    own = shelf.Shelf()
    first = own.keep(run, "first", "lab")
    own.keep(numbered(run, 9), "other", "lab")
    again = own.keep(Run(run.config, run.state, run.history), "again", "lab")
    assert again is first
    assert [item.label for item in own.finished()] == ["other", "first"]
    stopped = own.keep(altered(run, step=np.int32(3)), "stopped", "lab")
    changed = own.keep(
        Run(run.config, run.state, run.history, changes=[Change(1, "beta", 1.0)]), "changed", "lab"
    )
    assert len({first.id, stopped.id, changed.id}) == 3


def test_a_job_is_kept_once_and_what_was_dropped_stays_away(run):
    own = shelf.Shelf()
    job = TrainingJob(with_baseline(run.config))
    job.runs = lambda: [numbered(run, 1), numbered(run, 2)]
    for _ in range(3):
        own.keep_job(job, "lab")
    # The baseline comes first: it is the second lane.
    assert [item.config.seed for item in own.of(job)] == [2, 1]
    own.drop(own.of(job)[0].id)
    own.keep_job(job, "lab")
    assert [item.config.seed for item in own.finished()] == [1]


def test_many_threads_may_use_a_shelf(run):
    own = shelf.Shelf()
    errors = []

    def work(start):
        try:
            for seed in range(start, start + 60):
                kept = own.keep(numbered(run, seed), "x", "lab")
                assert len(own.finished()) <= shelf.MAX_RUNS
                if seed % 3 == 0:
                    own.drop(kept.id)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(100 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_shelf_goes_with_its_tab_after_a_grace_time(run):
    now = [0.0]
    shelves = shelf.Shelves(lambda: now[0])
    shelves.claim("mine", "token").keep(run, "run", "lab")
    shelves.claim("empty", "other")
    shelves.release("other")
    assert len(shelves) == 1, "an empty one at once"
    shelves.release("token")
    now[0] = shelf.GRACE_SECONDS - 1
    assert len(shelves.claim("mine", "token of the new connection").finished()) == 1
    now[0] = 1000.0
    shelves.release("token")
    assert len(shelves.claim("mine", "third").finished()) == 1, "the old token has no hold on it"
    shelves.release("third")
    now[0] += shelf.GRACE_SECONDS + 1
    shelves.claim("somebody else", "x")
    assert shelves.claim("mine", "fourth").finished() == ()


def test_labels_say_what_tells_runs_apart(run):
    assert label_of(run) == "two_moons β = 0.25, ema, seed 3"
    changed = Run(run.config, run.state, run.history, changes=[Change(7, "beta", 0.5)])
    assert label_of(changed) == "two_moons β = 0.25, ema, seed 3, changed from step 7 on"
    assert run_label(tl.RunConfig(method="shortcut")) == "eight_gaussians shortcut, seed 0"
