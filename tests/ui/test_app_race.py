"""The race: entrants as settings and as text, and the page with its live lanes."""

import dataclasses
import time
from pathlib import Path

import pandas as pd
import pytest
from app_pages import switch_page
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from toylab.config import RunConfig
from toylab.ui import racing
from toylab.ui import settings as ui_settings
from toylab.ui.jobs import MAX_LANES, JobState, Snapshot
from toylab.ui.pages.race import race_stage
from toylab.ui.racing import Entrant
from toylab.ui.runs import stored

APP = Path(__file__).parents[2] / "app.py"
BASE = RunConfig(dataset="two_gaussians", steps=1000, width=32, log_every=100, eval_samples=128)


@pytest.fixture
def page(monkeypatch):
    monkeypatch.setenv("TOYLAB_WARM_UP", "0")
    at = AppTest.from_file(str(APP), default_timeout=60)
    at.run()
    switch_page(at, "race").run()
    yield at
    if "race_job" in at.session_state and (job := at.session_state["race_job"]).active:
        job.stop()
        assert job.wait_for(lambda s: not job.active, 120)


def test_the_stored_race_is_the_one_that_the_page_starts_with(page):
    found = stored.first_race()
    lanes = racing.lanes(ui_settings.read_config({}), racing.PRESETS[racing.FIRST])
    assert [(label, config) for label, config in zip(found.labels, found.configs, strict=True)] == [
        (lane.label, lane.config) for lane in lanes
    ]
    assert found.step == found.steps
    assert "STORED RUN" in page.get("progress")[0].proto.text
    page.selectbox(key="width").set_value(32).run()
    assert not page.exception
    assert "READY" in page.get("progress")[0].proto.text


@pytest.mark.parametrize("name", racing.PRESETS)
def test_every_race_can_be_trained_and_shared(name):
    entrants = racing.PRESETS[name]
    lanes = racing.lanes(BASE, entrants)
    assert len({lane.label for lane in lanes}) == len(entrants) <= MAX_LANES
    assert len({str(lane.config.to_dict()) for lane in lanes}) == len(entrants)
    assert racing.from_text(racing.to_text(entrants)) == entrants


def test_an_entrant_is_a_contestant_of_the_comparison():
    from toylab.experiments.compare import contestants
    from toylab.training.experiment import without_unused_settings

    (lane,) = racing.lanes(BASE, [Entrant("alphaflow")])
    expected = dict(contestants(["alphaflow"])[1].settings)
    assert lane.config == without_unused_settings(BASE.replace(**expected))
    (lane,) = racing.lanes(BASE, [Entrant(beta=0.5, proxy="oracle", rule="linear")])
    assert (lane.config.beta, lane.config.proxy, lane.config.coefficient) == (0.5, "oracle", "linear")


def test_labels_tell_equal_entrants_apart():
    assert racing.labels([Entrant(), Entrant(), Entrant(beta=0.0)]) == [
        "β = 1, ema",
        "β = 1, ema (2)",
        "MeanFlow, β = 0",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",,,",
        "<script>",
        "meanflow:nan:../../etc:x:y",
        "meanflow:1e400",
        ":::::::",
        "alphaflow" * 200,
        "a," * 99,
    ],
)
def test_a_hostile_race_is_a_valid_one(text):
    made = racing.from_text(text)
    assert len(made) <= MAX_LANES
    assert all(racing.valid(entrant._asdict()) == entrant for entrant in made)


@given(st.text(alphabet="meanflow:,0.51-e ", max_size=80))
@settings(max_examples=50, deadline=None)
def test_any_text_gives_valid_entrants(text):
    for entrant in racing.from_text(text):
        assert racing.valid(entrant._asdict()) == entrant
    made = racing.from_text(text)
    assert racing.from_text(racing.to_text(made)) == made


def test_the_verdict_names_the_nearest_lane_with_floor_and_n():
    tables = tuple(
        pd.DataFrame({"sw1": [value], "sw1_floor": [0.03]}, index=pd.Index([1000], name="step"))
        for value in (0.5, 0.2, float("nan"))
    )
    snapshot = Snapshot(1, JobState.DONE, (BASE,) * 3, ("a", "b", "c"), step=1000, histories=tables)
    assert "b, 0.20" in race_stage.verdict(snapshot)
    assert "0.030" in race_stage.verdict(snapshot)
    assert "n = 128" in race_stage.verdict(snapshot)


def test_lanes_that_diverged_are_named_and_the_others_have_their_verdict():
    tables = tuple(
        pd.DataFrame({"sw1": [value], "sw1_floor": [0.03]}, index=pd.Index([1000], name="step"))
        for value in (0.1, 0.2)
    )
    message = "β = 1, ema: diverged at step 707 with beta = 1 and learning rate 0.3."
    one_lost = Snapshot(
        1,
        JobState.DONE,
        (BASE,) * 2,
        ("β = 1, ema", "calm"),
        step=1000,
        histories=tables,
        diverged_at=(707, -1),
        message=message,
    )
    said = race_stage.sentence(one_lost)
    assert said.startswith(message)
    assert "Nearest to the data: calm, 0.20" in said
    assert "distance" not in race_stage._title(one_lost, 0, one_lost.labels)
    all_lost = dataclasses.replace(one_lost, state=JobState.DIVERGED, diverged_at=(707, 3))
    assert "Nearest" not in race_stage.sentence(all_lost)
    assert "smaller learning rate" in race_stage.sentence(all_lost)


def test_lanes_are_added_removed_and_written_into_the_address(page):
    assert len(page.get("vega_lite_chart") or page.get("arrow_vega_lite_chart")) == 7
    page.button(key="lane3_remove").click().run()
    page.selectbox(key="lane2_method").set_value("improved_meanflow").run()
    assert not page.exception
    assert page.query_params["lanes"] == "meanflow:0,meanflow:0.5,improved_meanflow"
    page.button(key="race_add").click().run()
    assert page.query_params["lanes"] == "meanflow:0,meanflow:0.5,improved_meanflow,meanflow:1"
    page.selectbox(key="race_preset").set_value("four proxies").run()
    assert page.session_state["race_entrants"] == racing.PRESETS["four proxies"]


def test_the_address_and_another_page_set_the_race(monkeypatch):
    monkeypatch.setenv("TOYLAB_WARM_UP", "0")
    at = AppTest.from_file(str(APP), default_timeout=60)
    at.run()
    at.query_params["lanes"] = "meanflow:7,<script>,alphaflow"
    switch_page(at, "race").run()
    assert not at.exception
    assert [entrant.method for entrant in at.session_state["race_entrants"]] == [
        "meanflow",
        "meanflow",
        "alphaflow",
    ]
    assert at.session_state["race_entrants"][0].beta == 2.0
    at.session_state["race_load"] = {"method": "soflow"}
    at.run()
    assert at.session_state["race_entrants"] == (Entrant(beta=0.0), Entrant("soflow"))


def test_a_race_trains_and_beta_of_a_lane_acts_at_once(page):
    for lane in (3, 2):
        page.button(key=f"lane{lane}_remove").click().run()
    page.selectbox(key="width").set_value(32).run()
    page.button(key="go").click().run()
    job = page.session_state["race_job"]
    assert job.wait_for(lambda s: s.state is JobState.RUNNING and s.step > 1, 240)
    page.run()
    page.slider(key="lane1_beta").set_value(1.5).run()
    assert job.wait_for(lambda s: s.configs[1].beta == 1.5, 10)
    assert job.snapshot.configs[0].beta == 0.0
    assert not page.exception
    page.button(key="stop").click().run()
    deadline = time.monotonic() + 20
    while job.active and time.monotonic() < deadline:
        time.sleep(0.05)
    assert job.snapshot.state is JobState.STOPPED
