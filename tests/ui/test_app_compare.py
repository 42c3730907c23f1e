"""Compare, Export and Share without a browser: what is drawn is what the runs are, and only what is done is scored."""

import dataclasses
import re
import secrets
import time
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
from app_pages import switch_page
from streamlit.testing.v1 import AppTest

import toylab as tl
from toylab.evaluation import evaluate
from toylab.experiments.results import reading
from toylab.formatting import with_error
from toylab.metrics.score import Score
from toylab.metrics.statistics import Interval, paired_difference
from toylab.training import Run
from toylab.ui import settings
from toylab.ui.jobs import JobState
from toylab.ui.runs import entry, export, shelf
from toylab.ui.runs.comparison import differences

APP = Path(__file__).parents[2] / "app.py"
BASE = tl.RunConfig(
    dataset="two_moons", steps=20, batch_size=16, width=8, depth=2, log_every=5, eval_samples=64, beta=0.0
)


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    """Two arms, two seeds each."""
    configs = [BASE.replace(seed=seed, beta=beta) for seed in (0, 1) for beta in (0.0, 1.0)]
    return tl.train_many(configs, progress=False)


@pytest.fixture
def app(monkeypatch):
    monkeypatch.setenv("TOYLAB_WARM_UP", "0")
    at = AppTest.from_file(str(APP), default_timeout=60)
    at.session_state["shelf"] = secrets.token_hex(8)
    yield at
    if "lab_job" in at.session_state and (job := at.session_state["lab_job"]).active:
        job.stop()
        assert job.wait_for(lambda s: not job.active, 60)


def shelf_of(at: AppTest) -> shelf.Shelf:
    return shelf.shelves._shelves.setdefault(at.session_state["shelf"], shelf.Shelf())


def compare(at: AppTest, runs=(), seconds: float = 90.0) -> AppTest:
    """The page with these runs on the shelf, once all is computed."""
    at.run()
    for run in runs:
        shelf_of(at).keep(run, entry.label_of(run), "lab")
    return settle(switch_page(at, "compare"), seconds)


def settle(at: AppTest, seconds: float = 90.0) -> AppTest:
    deadline = time.monotonic() + seconds
    while True:
        at.run()
        assert not at.exception
        words = texts(at)
        drawing = "drawing" in words or "Scoring" in words
        if not drawing:
            return at
        assert time.monotonic() < deadline, words
        time.sleep(0.1)


def texts(at: AppTest) -> str:
    return "\n".join(element.value for element in [*at.markdown, *at.caption]).replace("\\", "")


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def table(at: AppTest, index: str):
    """The table whose rows or row header go by that name, escapes taken away."""
    for element in at.table:
        frame = element.value
        if index in (frame.index.name, *frame.index):
            return frame.map(unescaped).rename(index=unescaped)
    raise AssertionError(f"no table {index}: {[list(t.value.index) for t in at.table]}")


def test_without_runs_the_page_shows_the_packaged_pair(app):
    compare(app)
    assert "No run of your own yet" in texts(app)
    assert app.session_state["compare_runs"] == ["packaged1", "packaged0"]
    assert list(table(app, "beta").loc["beta"]) == ["0", "1"]
    assert len(app.get("vega_lite_chart") or app.get("arrow_vega_lite_chart")) == 5
    assert table(app, "Run")["Distance"].str.startswith("not scored").all()
    assert "the baseline A has no score" in texts(app)
    assert not app.error


@pytest.mark.slow
def test_scores_and_pairs_are_those_of_the_library(app, runs):
    compare(app, runs)
    assert [entry.value for entry in app.title] == ["Compare"]
    settings_table = table(app, "beta")
    assert list(settings_table.index) == ["beta", "seed"]
    assert list(settings_table.columns) == ["A (baseline)", "B", "C", "D"]
    assert f"The other {len(BASE.to_dict()) - 2} settings are equal" in texts(app)
    scores = [evaluate(run, ("sliced_w1",), n=4096)["sliced_w1"] for run in runs]
    shown = table(app, "Run")
    assert list(shown["Distance"]) == [with_error(score.value, score.stderr) for score in scores]
    assert shown.index[1].replace("\\", "") == "B: two_moons β = 1, ema, seed 0"
    values = [score.value for score in scores]
    expected = paired_difference({0: values[1], 1: values[3]}, {0: values[0], 1: values[2]})
    assert expected is not None
    shown = table(app, "Runs")
    paired = shown.loc["B, D minus A, C: β = 1 against β = 0"]
    assert paired["From"] == "2 training seeds, paired (0, 1)"
    mean, low, high = map(float, re.findall(r"[+-][\d.]+", paired.iloc[0].replace("−", "-")))
    np.testing.assert_allclose([mean, low, high], expected[:3], rtol=0.05, atol=0.01)
    # The other seed of the baseline's own arm is one seed against one.
    assert "one training seed" in shown.loc["C minus A", "From"]


def test_one_seed_says_so(app, runs):
    compare(app, runs[:2])
    row = "B minus A: β = 1 against β = 0"
    assert list(table(app, "Runs").index) == [row]
    assert "one training seed" in table(app, "Runs").loc[row, "From"]
    assert "One seed: the interval covers measurement noise only" in texts(app)


def test_the_baseline_can_be_pinned_and_letters_stay(app, runs):
    compare(app, runs)
    last = app.session_state["compare_runs"][-1]
    app.selectbox(key="compare_baseline").set_value(last)
    settle(app)
    assert "D (baseline)" in table(app, "beta").columns
    assert "A, C minus B, D: β = 0 against β = 1" in table(app, "Runs").index
    app.multiselect(key="compare_runs").set_value([app.session_state["compare_runs"][1], last])
    settle(app)
    assert list(table(app, "seed").columns) == ["B", "D (baseline)"]


def test_unfinished_and_diverged_runs_are_shown_and_never_scored(app, runs):
    good, other = runs[0], runs[1]
    stopped = Run(other.config, other.state._replace(step=np.int32(7)), other.history)
    lost = Run(other.config, other.state._replace(diverged_at=np.int32(9)), other.history)
    compare(app, [good, stopped, lost])
    scores = table(app, "Run")["Distance"]
    assert "±" in scores.iloc[0]
    assert list(scores.iloc[1:]) == ["not scored: unfinished at step 7", "not scored: diverged at step 20"]
    assert list(table(app, "status").loc["status"]) == ["done", "unfinished at 7", "diverged at 20"]
    assert not any("Difference" in element.value for element in app.markdown)


def test_a_new_run_joins_until_somebody_has_chosen(app, runs):
    compare(app, runs[:2])
    mine = list(app.session_state["compare_runs"])
    third = shelf_of(app).keep(runs[2], "third", "lab")
    settle(app)
    assert app.session_state["compare_runs"] == [*mine, third.id]
    app.multiselect(key="compare_runs").set_value(mine)
    settle(app)
    shelf_of(app).keep(runs[3], "fourth", "lab")
    settle(app)
    assert app.session_state["compare_runs"] == mine
    # What was dropped elsewhere is no trouble.
    shelf_of(app).drop(mine[0])
    settle(app)
    assert app.session_state["compare_runs"] == mine[1:]


def test_export_then_import_gives_the_same_numbers(app, runs):
    compare(app, runs[:1])
    before = table(app, "Run")["Distance"].iloc[0]
    shelf_of(app).drop(app.session_state["compare_runs"][0])
    settle(app)
    files = {file.label: file for file in export.make_files(runs[0], "x")}
    archive = files["Run folder (zip)"]
    uploader = app.get("file_uploader")[0]
    uploader.upload(archive.name, archive.content, archive.mime).run()
    app.button(key="compare_import").click()
    settle(app)
    (kept,) = shelf_of(app).finished()
    assert kept.origin == "imported"
    assert kept.id in app.session_state["compare_runs"]
    place = [row for row in table(app, "Run").index if "packaged" not in row][-1]
    assert table(app, "Run").loc[place, "Distance"] == before


def test_a_hostile_upload_is_one_line(app):
    compare(app)
    app.get("file_uploader")[0].upload("<b>evil</b>.zip", b"PK\x03\x04 no zip", "application/zip").run()
    app.button(key="compare_import").click()
    app.run()
    assert not app.exception
    (error,) = app.error
    assert error.value.startswith("Not imported: ")
    assert "not a readable zip" in error.value
    assert "<b>" not in error.value.replace("\\<", "")
    assert shelf_of(app).finished() == ()


def test_a_run_that_ends_in_the_lab_is_kept_once(app):
    for key, value in {"steps": "1000", "width": "32", "batch": "64"}.items():
        app.query_params[key] = value
    app.run()
    app.button(key="go").click().run()
    job = app.session_state["lab_job"]
    assert job.wait_for(lambda s: s.state is JobState.RUNNING and s.step > 5, 120)
    assert shelf_of(app).finished() == ()
    app.button(key="stop").click().run()
    assert job.wait_for(lambda s: s.state is JobState.STOPPED, 30)
    for _ in range(2):
        app.run()
    kept = shelf_of(app).finished()
    assert [item.label for item in kept] == [f"two_gaussians β = {beta}, ema, seed 0" for beta in (0, 1)]
    assert {item.status for item in kept} == {"unfinished"}
    app.button(key="export").click()
    app.run()
    assert not app.exception
    labels = [button.label for button in app.get("download_button")]
    assert labels[:4] == ["Run folder (zip)", "Settings (JSON)", "History (csv)", "Samples (npz)"]
    (code,) = [element.value for element in app.code if "tl.RunConfig" in element.value]
    assert "stopped at step" in code


def test_the_shared_address_opens_the_same_settings(app):
    query = {
        "dataset": "two moons",
        "beta": "0.35",
        "seed": "7",
        "steps": "2000",
        "lr": "0.0001",
        "batch": "256",
    }
    for key, value in {**query, "proxy": "oracle", "gap": "0.5", "equal": "0", "width": "64"}.items():
        app.query_params[key] = value
    app.run()
    app.button(key="share").click().run()
    assert not app.exception
    (link,) = [element.value for element in app.code]
    shared = dict(parse_qsl(urlsplit(link).query))
    assert shared["v"] == "1"
    other = AppTest.from_file(str(APP), default_timeout=60)
    for key, value in shared.items():
        other.query_params[key] = value
    other.run()
    assert not other.exception

    def config(at):
        return settings.read_config({name: at.session_state[name] for name in settings.DEFAULTS})

    assert config(other) == config(app)
    assert config(other).beta == 0.35
    assert not other.info


def test_an_address_of_another_version_is_read_as_far_as_it_is_valid(app):
    for key, value in {"v": "7", "beta": "0.5", "future": "x", "width": "XXL"}.items():
        app.query_params[key] = value
    for _ in range(2):
        app.run()
        assert not app.exception
        assert "version 7" in app.info[0].value
        assert app.session_state["beta"] == 0.5


# The words, without the app.


def entries_of(runs) -> dict[str, entry.Entry]:
    return {
        letter: entry.entry_of(run, f"run {i}", "lab", str(i))
        for i, (letter, run) in enumerate(zip("ABCD", runs, strict=True))
    }


def test_arms_need_equal_settings_and_no_changes(runs):
    entries = entries_of(runs)
    scores = {
        str(i): {"sliced_w1": entry.Number.of_points(Score(float(i), 0.1, 100, 0.0, 4))} for i in range(4)
    }
    found, without = differences(entries, scores, "A", ["sliced_w1"])
    assert without == {}
    expected = [(("C",), ("A",), ()), (("B", "D"), ("A", "C"), (0, 1))]
    assert [(d.letters, d.baseline, d.seeds) for d in found] == expected
    assert found[1].intervals["sliced_w1"].mean == 1.0
    changed = dataclasses.replace(entries["D"], changes=(tl.config.Change(3, "beta", 0.5),))
    found, _ = differences({**entries, "D": changed}, scores, "A", ["sliced_w1"])
    assert [d.letters for d in found] == [("C",), ("B",), ("D",)]
    assert all(d.seeds == () for d in found)
    other = dataclasses.replace(entries["D"], config=entries["D"].config.replace(dataset="swiss_roll"))
    found, without = differences({**entries, "D": other}, scores, "A", ["sliced_w1"])
    assert without == {"D": "other data than the baseline"}
    assert differences(entries, {"1": scores["1"]}, "A", ["sliced_w1"]) == ([], {})


def test_an_interval_is_read_only_where_it_leaves_zero():
    assert reading(Interval(-1, -2, -0.1, 4)) == "better"
    assert reading(Interval(1, 0.1, 2, 4)) == "worse"
    assert reading(Interval(1, -0.1, 2, 4)) == "no difference found"
    assert reading(Interval(1, float("nan"), float("nan"), 1)) == "no interval"


@pytest.mark.parametrize(
    ("value", "stderr", "told"),
    [(0.14321, 0.00213, "0.1432 ± 0.0021"), (12.3, 1.7, "12.3 ± 1.7"), (0.5, float("nan"), "0.50")],
)
def test_digits_are_those_that_the_error_supports(value, stderr, told):
    assert with_error(value, stderr) == told
