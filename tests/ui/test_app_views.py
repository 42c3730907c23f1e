"""The views of a run in the lab, without a browser: tabs, when they compute, and what they say."""

import time
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from toylab.ui.components import player
from toylab.ui.jobs import JobState
from toylab.ui.pages.lab import view_charts, views
from toylab.ui.runs import stored

APP = Path(__file__).parents[2] / "app.py"


@pytest.fixture
def app(monkeypatch):
    monkeypatch.setenv("TOYLAB_WARM_UP", "0")
    at = AppTest.from_file(str(APP), default_timeout=60)
    yield at
    if "lab_job" in at.session_state and (job := at.session_state["lab_job"]).active:
        job.stop()
        assert job.wait_for(lambda s: not job.active, 60)


def texts(at: AppTest) -> str:
    return "\n".join(element.value for element in at.markdown)


def charts(at: AppTest) -> int:
    return len(at.get("vega_lite_chart") or at.get("arrow_vega_lite_chart"))


def choose(at: AppTest, view: str) -> AppTest:
    """The view, once it is computed; AppTest has no timer of its own."""
    at.segmented_control(key="view").set_value(view).run()
    deadline = time.monotonic() + 120
    while "Computing" in texts(at) and time.monotonic() < deadline:
        time.sleep(0.2)
        at.run()
    assert not at.exception
    return at


@pytest.mark.slow
def test_every_view_of_the_stored_run(app):
    app.run()
    assert charts(app) == 5
    choose(app, views.STEPS)
    assert "**16 steps**" in texts(app)
    assert "pairs" in texts(app)
    assert charts(app) == 3 + 4 + 1
    choose(app, views.PATHS)
    assert "standard error, n = 160" in texts(app)
    assert len(app.get("bidi_component")) == 1
    choose(app, views.FIELD)
    assert "At t = 0.5" in texts(app)
    assert "n = 1,024" in texts(app)
    app.select_slider(key="field_time").set_value(0.02).run()
    assert "At t = 0.02" in texts(app)
    assert not app.error
    choose(app, views.LIVE)
    assert "STORED RUN" in app.get("progress")[0].proto.text
    assert charts(app) == 5


def test_without_a_run_on_the_data_there_is_nothing_to_see_yet(app):
    app.query_params["dataset"] = "two_moons"
    app.query_params["view"] = "Field"
    app.run()
    assert "Press Start: then there is a run to see." in texts(app)
    assert charts(app) == 5


def test_a_view_waits_for_the_run_to_stand_still(app):
    app.query_params["steps"] = "20000"
    app.query_params["width"] = "32"
    app.run()
    app.button(key="go").click().run()
    job = app.session_state["lab_job"]
    assert job.wait_for(lambda s: s.step > 1 and s.state is JobState.RUNNING, 60)
    app.segmented_control(key="view").set_value(views.FIELD).run()
    assert "Pause or finish to see this." in texts(app)
    assert charts(app) == 5
    job.set(beta=0.5)
    assert job.wait_for(lambda s: s.config.beta == 0.5, 10)
    job.pause()
    assert job.wait_for(lambda s: s.state is JobState.PAUSED, 10)
    choose(app.run(), views.FIELD)
    first = app.session_state["computations"]["view Field"]
    assert "β = 0.5: u(x, t, t)" in texts(app)  # the present beta, not that of the start
    app.run()
    assert app.session_state["computations"]["view Field"] is first
    app.button(key="step100").click().run()
    assert job.wait_for(lambda s: s.state is JobState.PAUSED and s.step >= 100, 20)
    choose(app.run(), views.FIELD)
    assert app.session_state["computations"]["view Field"][0] == (job.id, job.snapshot.step)


@pytest.mark.parametrize(
    ("error", "said"),
    [(ValueError("no such thing"), "no such thing"), (ZeroDivisionError("deep"), "internal")],
)
def test_a_failing_view_is_one_line(app, monkeypatch, tmp_path, error, said):
    def fail(runs):
        raise error

    monkeypatch.setenv("TOYLAB_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(views.COMPUTED, views.FIELD, (fail, views.field_view))
    app.query_params["view"] = "Field"
    app.run()
    time.sleep(0.5)
    choose(app, views.FIELD)
    assert said in texts(app) + "".join(element.value for element in app.error)
    assert "deep" not in texts(app) + "".join(element.value for element in app.error)


def test_the_stored_nets_are_those_of_the_stored_samples():
    shown, runs = stored.first_run(), stored.first_runs()
    assert [run.config.beta for run in runs] == [shown.config.beta, 0.0]
    assert all(run.step == shown.step and run.status == "done" for run in runs)
    from toylab.training.trainer import SEED_NOISE

    for run, samples in zip(runs, shown.samples, strict=True):
        np.testing.assert_allclose(run.sample(len(samples), seed=SEED_NOISE), samples, atol=2e-3)


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        ((0.1, 0.05, 0.15), "16 steps end nearer"),
        ((-0.1, -0.2, -0.01), "One step ends nearer"),
        ((0.1, -0.1, 0.3), "do not differ"),
    ],
)
def test_the_sentence_says_what_the_interval_does(gain, said):
    from toylab.diagnostics.views import FewSteps
    from toylab.metrics.statistics import Interval

    empty = np.zeros((2, 0, 2), np.float32)
    few = FewSteps((1, 16), empty, empty[0], (), Interval(*gain, 4))
    assert said in views.steps_sentence(few)
    assert "not finite" in views.steps_sentence(few._replace(gain=Interval(*[np.nan] * 3, 4)))


@pytest.mark.parametrize(
    ("value", "stderr", "said"),
    [
        (0.1342, 0.0119, "0.13 ± 0.01"),
        (4.21, 0.5, "4.2 ± 0.5"),
        (250.0, 12.0, "250 ± 12"),
        (0.5, np.nan, "0.50"),
        (np.nan, 1.0, "–"),
    ],
)
def test_a_number_ends_where_its_error_begins(value, stderr, said):
    assert views.plus_minus(value, stderr) == said


def test_the_wide_frame_holds_noise_and_data():
    points = np.random.default_rng(0).uniform([4, 0], [6, 1], (500, 2))
    x, y, half = views.wide_frame(points)
    assert x - half <= -3
    assert y - half <= -3
    assert x + half >= 6
    assert y + half >= 3


def test_packed_points_come_back():
    import base64

    points = np.array([[1.5, -2.0], [0.0, 3.0], [1e9, np.nan]])
    numbers = np.frombuffer(base64.b64decode(player._packed(points, (0.5, 0.0, 4.0))), "<i2")
    back = numbers.reshape(-1, 2) / player.UNITS * 4.0 + [0.5, 0.0]
    np.testing.assert_allclose(back[:2], points[:2], atol=4.0 / player.UNITS)
    assert numbers[4] == 32767


def test_arrows_of_the_fast_reach_the_next_grid_point():
    velocities = np.tile([[3.0, 4.0]], (50, 1))
    assert view_charts.arrow_scale(velocities, 2.0, 10) * 5.0 == pytest.approx(0.85 * 0.4)
