"""The sweep's page: which cells it plans, what its charts say, and a grid that fills."""

import math
import time
from pathlib import Path

import numpy as np
import pytest
import streamlit
from app_pages import switch_page
from streamlit.testing.v1 import AppTest

from toylab.config import RunConfig
from toylab.metrics.statistics import mean_interval
from toylab.ui.jobs import CellScore, JobState, SweepSnapshot
from toylab.ui.jobs.sweep_job import MAX_CELLS
from toylab.ui.pages.sweep import page as sweep
from toylab.ui.pages.sweep import sweep_charts, sweep_words
from toylab.ui.runs import stored

APP = Path(__file__).parents[2] / "app.py"
BASE = RunConfig(dataset="two_gaussians", steps=1000)


def scored(sw1: float, diverged_at: int = -1) -> CellScore:
    return CellScore(sw1, 0.01, 0.02, 1.0, 5.0, diverged_at)


def snapshot(scores, state=JobState.DONE, **fields) -> SweepSnapshot:
    cells = sweep.plan(BASE, 0.0, 1.0, 2, 2)
    return SweepSnapshot(1, state, tuple(cells), tuple(scores), **fields)


def test_the_plan_is_a_grid_seed_by_seed():
    cells = sweep.plan(BASE.replace(seed=3), 0.0, 1.0, 3, 2)
    assert [(cell.beta, cell.seed) for cell in cells] == [(0, 3), (0.5, 3), (1, 3), (0, 4), (0.5, 4), (1, 4)]
    assert sweep.betas(0.5, 0.5, 4) == [0.5]
    assert sweep.betas(0.25, 1.0, 1) == [0.25]


def test_the_table_tells_waiting_training_done_and_diverged():
    found = sweep_charts.table(
        snapshot([scored(0.1), scored(math.nan, 70), None, None], JobState.RUNNING, current=(2,), step=10)
    )
    assert list(found["state"]) == ["done", "diverged", "training", "waiting"]
    stopped = sweep_charts.table(snapshot([None] * 4, JobState.STOPPED, current=(2,)))
    assert list(stopped["state"]) == ["waiting"] * 4


def test_the_means_have_the_interval_of_their_seeds_and_leave_diverged_cells_out():
    scores = [scored(0.1), scored(0.3), scored(0.2), scored(math.nan, 5)]
    means = sweep_charts.summary(snapshot(scores), "sw1")
    expected = mean_interval([0.1, 0.2])
    first, second = means.to_dict("records")
    assert (first["beta"], first["n"], first["low"], first["high"]) == (0.0, 2, expected.low, expected.high)
    assert (second["n"], second["mean"]) == (1, 0.3)
    assert np.isnan(second["low"])


def test_the_sentence_claims_no_more_than_the_seeds_carry():
    clear = [scored(0.100), scored(0.500), scored(0.101), scored(0.501)]
    text = sweep_words.sentence(snapshot(clear))
    assert text.startswith("Lowest mean distance: β = 0, 0.10")
    assert "over 2 seeds" in text
    assert "floor 0.020" in text
    assert "more seeds" not in text
    vague = [scored(0.1), scored(0.12), scored(0.3), scored(0.29)]
    assert "The interval of β = 1 reaches that far down" in sweep_words.sentence(snapshot(vague))
    single = sweep_words.sentence(snapshot([scored(0.1), None, None, None], JobState.STOPPED))
    assert "One seed says little" in single
    assert single.startswith("Lowest mean distance so far")


def test_without_a_score_the_sentence_says_why():
    lost = scored(math.nan, 2)
    all_lost = sweep_words.sentence(snapshot([lost] * 4))
    assert all_lost.startswith("Every cell diverged")
    assert "Diverged at step 2 with beta = 0 and learning rate" in all_lost
    assert "smaller learning rate" in all_lost
    some = sweep_words.sentence(snapshot([lost, None, None, None], JobState.RUNNING))
    assert some.startswith("Every finished cell diverged")
    none = [None] * 4
    assert "Stopped before" in sweep_words.sentence(snapshot(none, JobState.STOPPED))
    assert "2 runs ahead" in sweep_words.sentence(snapshot(none, JobState.QUEUED), place=2)
    assert "Paused" in sweep_words.sentence(snapshot(none, JobState.PAUSED))
    assert "are training" in sweep_words.sentence(snapshot(none, JobState.RUNNING))


@pytest.fixture
def page(monkeypatch):
    monkeypatch.setenv("TOYLAB_WARM_UP", "0")
    monkeypatch.setattr(sweep, "_step_seconds", lambda config: (0.001, 2))
    at = AppTest.from_file(str(APP), default_timeout=60)
    at.run()
    switch_page(at, "sweep").run()
    yield at
    if "sweep_job" in at.session_state and (job := at.session_state["sweep_job"]).active:
        job.stop()
        assert job.wait_for(lambda s: not job.active, 240)


def test_the_stored_sweep_is_the_grid_that_the_page_starts_with(page):
    found = stored.first_sweep()
    assert list(found.configs) == sweep.default_cells()
    assert all(score is not None and score.sw1 > score.floor > 0 for score in found.scores)
    assert "STORED SWEEP" in page.get("progress")[0].proto.text
    page.number_input(key="sweep_seeds").set_value(1).run()
    assert not page.exception
    assert "READY" in page.get("progress")[0].proto.text


def test_nothing_is_polled_once_the_speed_is_known(page, monkeypatch):
    intervals, fragment = {}, streamlit.fragment

    def noted(draw, run_every=None):
        intervals[draw.__name__] = run_every
        return fragment(draw, run_every=run_every)

    monkeypatch.setattr(streamlit, "fragment", noted)
    time.sleep(0.5)
    page.run()
    assert intervals == {"_measured": None, "_live": None}


def test_a_sweep_fills_and_a_stopped_one_keeps_its_cells(page):
    page.number_input(key="sweep_betas").set_value(2).run()
    page.number_input(key="sweep_seeds").set_value(2).run()
    page.selectbox(key="width").set_value(32).run()
    page.selectbox(key="steps").set_value(1000).run()
    time.sleep(0.3)
    page.run()
    assert any("4 runs of 1,000 steps: about 4 s here" in element.value for element in page.caption)
    page.button(key="go").click().run()
    job = page.session_state["sweep_job"]
    assert job.wait_for(lambda s: s.num_done >= 2 or s.state.is_final, 240)
    page.button(key="stop").click().run()
    assert job.wait_for(lambda s: s.state.is_final, 60)
    page.run()
    assert not page.exception
    text = "\n".join(element.value for element in page.markdown)
    assert "Distance to the data" in text
    assert "n = 8,192" in text


@pytest.mark.parametrize(("betas", "seeds"), [(11, 5)])
def test_the_largest_grid_that_can_be_asked_for_can_be_run(betas, seeds):
    assert len(sweep.plan(BASE, -1.0, 2.0, betas, seeds)) <= MAX_CELLS
