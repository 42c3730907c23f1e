"""The app without a browser: every page runs, whatever the address bar says, and the buttons do what they say."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from app_pages import switch_page
from streamlit.testing.v1 import AppTest

from toylab.config import RunConfig
from toylab.formatting import short
from toylab.ui import router, session, settings
from toylab.ui.jobs import JobState, Snapshot
from toylab.ui.pages.lab import words
from toylab.ui.runs.stored import first_run

APP = Path(__file__).parents[2] / "app.py"


@pytest.fixture
def app(monkeypatch):
    monkeypatch.setenv("TOYLAB_WARM_UP", "0")
    at = AppTest.from_file(str(APP), default_timeout=30)
    yield at
    if "lab_job" in at.session_state and (job := at.session_state["lab_job"]).active:
        job.stop()
        assert job.wait_for(lambda s: not job.active, 60)


def settle(at: AppTest, until, seconds: float = 60.0) -> AppTest:
    """Run the app again until the job is there; AppTest has no timer of its own."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if until(at.session_state["lab_job"].snapshot):
            return at.run()
        time.sleep(0.05)
    raise AssertionError(f"the job stayed {at.session_state['lab_job'].snapshot.state}")


def texts(at: AppTest) -> str:
    return "\n".join(element.value for element in at.markdown)


@pytest.mark.parametrize("page", router.modules(), ids=lambda module: module.TITLE)
def test_every_page_runs(app, page):
    app.run()
    if page is not router.modules()[0]:
        switch_page(app, router.name_of(page)).run()
    assert not app.exception
    assert not app.error


def test_the_first_page_shows_a_finished_run(app):
    app.run()
    assert "STORED RUN" in app.get("progress")[0].proto.text
    assert "Press Start" in texts(app)
    assert len(app.get("vega_lite_chart") or app.get("arrow_vega_lite_chart")) == 5


HOSTILE = [
    {"beta": "7"},
    {"beta": "nan"},
    {"beta": "1e400"},
    {"beta": "0.123456"},
    {"beta": ["0.5", "1.5"]},
    {"seed": "-3"},
    {"seed": "10**9"},
    {"steps": "1000000000"},
    {"lr": "1e9"},
    {"batch": "0"},
    {"width": "XXL"},
    {"gap": "-1"},
    {"dataset": "<script>alert(1)</script>"},
    {"proxy": "../../etc/passwd"},
    {"unknown": "x" * 2000},
]


@pytest.mark.parametrize("query", HOSTILE, ids=str)
def test_a_hostile_address_gives_a_valid_page(app, query):
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    config = settings.read_config({name: app.session_state[name] for name in settings.DEFAULTS})
    assert settings.BETA_MIN <= config.beta <= settings.BETA_MAX
    assert round(config.beta / settings.BETA_STEP, 6) % 1 == 0
    assert config.steps in settings.STEPS
    assert config.dataset in settings.dataset_names()


@pytest.mark.parametrize("name", ["two_moons", "two moons"])
def test_the_address_sets_the_controls(app, name):
    query = {"dataset": name, "beta": "0.5", "seed": "7", "steps": "2000", "lr": "0.001", "proxy": "oracle"}
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    config = settings.read_config({name: app.session_state[name] for name in settings.DEFAULTS})
    assert (config.dataset, config.beta, config.seed, config.steps) == ("two_moons", 0.5, 7, 2000)
    assert (config.learning_rate, config.proxy) == (0.001, "oracle")
    app.radio(key="dataset").set_value("pinwheel").run()
    assert app.session_state["dataset"] == "pinwheel"


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"beta": None, "seed": "x", "steps": [], "lr": {}, "batch": object(), "dataset": 3, "proxy": None},
        {
            "beta": 1e308,
            "seed": -1,
            "steps": 1e30,
            "lr": -5,
            "batch": 0.1,
            "gap": 99,
            "equal": 7,
            "width": -1,
        },
        {"beta": float("nan"), "seed": float("inf"), "steps": float("-inf")},
    ],
    ids=["empty", "wrong types", "out of range", "not finite"],
)
def test_read_config_makes_a_valid_run_of_anything(raw):
    config = settings.read_config(raw)
    assert config.batch_size in settings.BATCH_SIZES
    assert config.learning_rate in settings.LEARNING_RATES
    assert 0 <= config.seed <= settings.MAX_SEED


def test_snapping_keeps_both_ends_and_zero_and_one_exact():
    assert [settings.snap_beta(x) for x in (-1, 0, 1, 2, 0.123456, -0.98)] == [-1.0, 0.0, 1.0, 2.0, 0.1, -1.0]


@pytest.mark.slow
def test_start_change_beta_pause_step_resume_stop_save(app, tmp_path, monkeypatch):
    from toylab.ui.runs import export

    app.query_params["steps"] = "20000"
    app.query_params["width"] = "32"
    app.run()
    app.button(key="go").click().run()
    settle(app, lambda s: s.step > 1 and s.state is JobState.RUNNING)
    assert app.button(key="go").label == "Pause"
    app.slider(key="beta").set_value(0.5).run()
    settle(app, lambda s: bool(s.events), 5)
    assert "β = 0.5" in texts(app)
    app.button(key="go").click().run()
    assert app.button(key="go").label == "Resume"
    before = app.session_state["lab_job"].snapshot.step
    app.button(key="step100").click().run()
    settle(app, lambda s: s.step == before + 100 and s.state is JobState.PAUSED, 5)
    app.button(key="go").click().run()
    settle(app, lambda s: s.step > before + 100, 5)
    app.button(key="stop").click().run()
    settle(app, lambda s: s.state is JobState.STOPPED, 5)
    assert app.button(key="go").label == "Start"
    assert not app.exception

    import toylab as tl

    paths = export.save(app.session_state["lab_job"].runs(), tmp_path)
    chosen, baseline = map(tl.load, paths)
    assert (chosen.config.beta, baseline.config.beta) == (1.0, 0.0)
    ((step, name, value),) = chosen.changes
    assert (0 < step < before, name, value) == (True, "beta", 0.5)
    assert baseline.changes == ()
    assert "-changed-" in paths[0].name


def test_divergence_is_one_line_and_can_be_retried(app):
    app.run()
    app.selectbox(key="width").set_value(32)
    app.selectbox(key="lr").set_value(1.0).run()
    app.button(key="go").click().run()
    settle(app, lambda s: s.state is JobState.DIVERGED)
    assert "Diverged at step" in texts(app)
    assert not app.exception
    app.button(key="retry").click().run()
    assert app.selectbox(key="lr").value == 0.3
    assert app.session_state["lab_job"].snapshot.config.learning_rate == 0.3


def test_a_full_queue_is_one_line_on_the_page(app, monkeypatch):
    monkeypatch.setattr("toylab.ui.jobs.manager.MAX_JOBS", 0)
    app.run()
    app.button(key="go").click().run()
    assert not app.exception
    assert "try again in a minute" in app.error[0].value


def test_a_new_dataset_needs_no_edit_of_the_app(app):
    from toylab.data import datasets
    from toylab.data.mixtures import isotropic_mixture

    settings.dataset_names.cache_clear()
    datasets.names()

    @datasets.register("three_dots")
    def three_dots():
        """Three Gaussians on a line."""
        return isotropic_mixture(np.array([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]), 0.1)

    try:
        app.run()
        app.radio(key="dataset").set_value("three_dots").run()
        assert not app.exception
        assert "This is the data" in texts(app)
    finally:
        del datasets._entries["three_dots"]
        settings.dataset_names.cache_clear()
        from toylab.ui.widgets import thumbnails

        thumbnails.style_sheet.cache_clear()


def test_the_stored_run_is_one_of_the_default_settings():
    assert first_run().config == settings.read_config({})


def test_sentences_name_what_was_measured():
    stored = first_run()
    sentence = words.sentence(stored, kind="stored")
    for number in (*stored.latest("sw1"), stored.latest("sw1_floor")[0]):
        assert short(number) in sentence


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0954, "0.095"), (2.34, "2.3"), (234.0, "230"), (1_149.0, "1,100"), (0.0, "0"), (float("nan"), "–")],
)
def test_numbers_have_two_digits(value, expected):
    assert short(value) == expected


def test_one_manager_for_all_sessions():
    assert session.manager() is session.manager()


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ({"dataset": "two_moons", "beta": "0.5"}, {"dataset": "two_moons", "beta": 0.5}),
        ({"proxy": "batch_posterior"}, {"proxy": "batch_posterior"}),
        ({"beta": "0.333"}, {"beta": 0.35}),
        ({"beta": "-0.98"}, {"beta": -1.0}),
    ],
)
def test_controls_and_run_agree_on_what_the_address_means(app, query, meant):
    for key, value in query.items():
        app.query_params[key] = value
    for _ in range(2):
        app.run()
        assert not app.exception
        assert {key: app.session_state[key] for key in meant} == meant
        assert app.slider(key="beta").value == meant.get("beta", 1.0)
        config = settings.read_config({name: app.session_state[name] for name in settings.DEFAULTS})
        assert {key: getattr(config, key) for key in meant} == meant


def test_a_failing_save_is_one_line_and_leaves_the_page(app, monkeypatch):
    from toylab.ui.runs import files

    app.query_params["width"] = "32"
    app.run()
    app.button(key="go").click().run()
    settle(app, lambda s: s.step > 1 and s.state is JobState.RUNNING)
    app.button(key="stop").click().run()
    settle(app, lambda s: s.state is JobState.STOPPED, 5)
    monkeypatch.setattr(files, "RUNS", Path("/proc/nowhere"))
    app.run()
    app.button(key="save").click().run()
    assert not app.exception
    (error,) = app.error
    assert error.value.startswith("Not saved: ")
    assert "/proc" in error.value
    assert app.button(key="go").label == "Start"
    assert app.slider(key="beta")


@pytest.mark.parametrize("part", ["toylab.ui.pages.lab.stage.draw", "toylab.ui.widgets.transport.bar"])
def test_an_error_in_a_page_is_one_line_with_an_id(app, monkeypatch, tmp_path, part):
    def fail(*arguments, **options):
        raise ZeroDivisionError("deep down")

    monkeypatch.setenv("TOYLAB_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(part, fail)
    app.run()
    assert not app.exception
    (error,) = app.error
    assert "internal error" in error.value
    assert "deep down" not in error.value
    (log,) = tmp_path.rglob("*.txt")
    assert log.stem in error.value
    assert "deep down" in log.read_text()


def test_after_a_change_of_beta_the_sentence_is_about_the_new_one():
    from toylab.ui.jobs import Event

    rows = np.arange(100, 1100, 100)
    chosen = np.where(rows <= 800, 100.0, 1.0)
    tables = tuple(
        pd.DataFrame({"grad_variance": values}, pd.Index(rows, name="step"))
        for values in (chosen, np.full(10, 10.0))
    )
    snapshot = Snapshot(1, JobState.RUNNING, (RunConfig(steps=2000),), step=1000, histories=tables)
    assert "10 times more variance" in words.progress(snapshot)
    moved = dataclasses.replace(snapshot, events=(Event(800, "beta", 0.0, 1.0),))
    assert "10 times less variance" in words.progress(moved)
    rate = dataclasses.replace(snapshot, events=(Event(800, "learning_rate", 0.0, 1.0),))
    assert "10 times more variance" in words.progress(rate)
    # Nothing is said before there is a row of the new beta.
    just = dataclasses.replace(snapshot, events=(Event(1000, "beta", 0.0, 1.0),))
    assert "variance" not in words.progress(just)


def test_a_reloaded_tab_finds_its_run_again(app):
    app.run()
    app.button(key="go").click().run()
    job = app.session_state["lab_job"]
    assert app.query_params["run"] == job.id
    again = AppTest.from_file(str(APP), default_timeout=30)
    again.query_params["run"] = job.id
    again.run()
    assert again.session_state["lab_job"] is job
    assert job.active
    assert job.orphaned_at is None
    stranger = AppTest.from_file(str(APP), default_timeout=30)
    stranger.query_params["run"] = "0" * 16
    stranger.run()
    assert "lab_job" not in stranger.session_state
    assert "run" not in stranger.query_params
    assert not stranger.exception
