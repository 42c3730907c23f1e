"""Own data in the app: what a browser or a file may say, and that it trains like any other set."""

import dataclasses
import io
import math
import resource
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from app_pages import switch_page
from streamlit.testing.v1 import AppTest

import toylab as tl
from toylab.ui import own_data, scene, settings
from toylab.ui.components import drawpad
from toylab.ui.jobs import JobState
from toylab.ui.own_data import from_file, from_strokes, mixture_options
from toylab.ui.pages.maps import page as page_of_maps
from toylab.ui.pages.sweep import page as page_of_sweep

APP = Path(__file__).parents[2] / "app.py"
NAN, INF = math.nan, math.inf


def ring(n: int, seed: int = 0) -> list[float]:
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * np.arange(n) / n
    points = 2.5 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.1 * rng.standard_normal((n, 2))
    return points.round(3).ravel().tolist()


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def npy_header(shape: str, descr: str = "<f8") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    header = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


# Strokes.


def test_strokes_come_back_as_the_points_that_were_drawn():
    own = from_strokes([ring(30), [1, 2.5]])
    assert own.points.shape == (31, 2)
    np.testing.assert_array_equal(own.points[-1], [1.0, 2.5])
    assert own.strokes[0] == tuple(ring(30))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (None, "not a list of strokes"),
        ("[[0, 0]]", "not a list of strokes"),
        ({"strokes": []}, "not a list of strokes"),
        ([[1.0]], "not a list of x, y"),
        ([["0", "0"]], "does not lie in the square"),
        (["ab"], "not a list of x, y"),
        ([3], "not a list of x, y"),
        ([[0.0, NAN]], "does not lie in the square"),
        ([[INF, 0.0]], "does not lie in the square"),
        ([[0.0, 4.001]], "does not lie in the square"),
        ([[10**400, 0]], "does not lie in the square"),
        ([[True, False]], "does not lie in the square"),
        ([[None, 0]], "does not lie in the square"),
        ([[[0], [0]]], "does not lie in the square"),
        ([[0.0] * 10_002], "more than 5,000 points"),
        ([[0.0] * 8_000, [0.0] * 2_002], "more than 5,000 points"),
        ([[]] * 5_001, "more than 5,000 strokes"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_hostile_strokes_are_one_line(raw, said):
    with pytest.raises(ValueError, match=said) as info:
        from_strokes(raw)
    assert "\n" not in str(info.value)
    assert len(str(info.value)) < 100


def test_five_thousand_points_are_believed():
    assert len(from_strokes([[4.0, -4.0] * 5_000]).points) == drawpad.MAX_POINTS


# Files.


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e13])
def test_a_file_is_centred_and_scaled(scale):
    cloud = (np.random.default_rng(0).normal(size=(200, 2)) * [3, 0.5] + [7, -2]) * scale
    own = from_file(npz(points=cloud), "cloud.npz")
    np.testing.assert_allclose(own.points.mean(axis=0), 0, atol=1e-9)
    assert math.sqrt(np.mean(own.points**2)) == pytest.approx(own_data.SPREAD)
    # One factor for both coordinates: the shape stays.
    np.testing.assert_allclose(
        own.points[:, 0].std() / own.points[:, 1].std(), cloud[:, 0].std() / cloud[:, 1].std()
    )


def test_the_scale_is_that_of_the_built_in_sets():
    spreads = [
        np.sqrt(np.trace(tl.dataset(name).moments().covariance) / 2) for name in settings.dataset_names()
    ]
    assert min(spreads) < own_data.SPREAD < max(spreads)
    assert np.exp(np.mean(np.log(spreads))) == pytest.approx(own_data.SPREAD, abs=0.1)


def test_a_long_file_is_thinned_and_says_so():
    cloud = np.random.default_rng(0).normal(size=(20_000, 2))
    own = from_file(npz(points=cloud), "cloud.npz")
    assert len(own.points) == 5_000
    assert own.note == "cloud.npz: 20,000 points, 5,000 of them kept at random"
    assert len(np.unique(own.points, axis=0)) == 5_000
    np.testing.assert_array_equal(own.points, from_file(npz(points=cloud), "cloud.npz").points)


BAD_FILES = [
    ("pickled.npz", npz(points=np.array([[{}, 1]] * 20)), "has dtype object"),
    ("lying.npz", zipped("points.npy", npy_header("(5000000000, 2)")), "rows, at most"),
    ("lying.npy", npy_header("(20000, 250000)"), "claims"),
    ("bomb.npz", zipped("points.npy", bytes(200_000_000)), "unpacks to 200000000 bytes"),
    ("columns.csv", b"1,2,3\n" * 20, "3 columns"),
    ("text.csv", b"one,two\nthree,four\n", "'three', not a number"),
    ("few.csv", b"1,2\n" * 15, "has 15 points"),
    ("same.csv", b"1,2\n" * 30, "all the same"),
    ("large.csv", b"1,2\n" * 1_100_000, "is larger than"),
    ("nan.csv", b"1,2\n" * 30 + b"nan,0\n", "NaN"),
    ("model.pkl", b"\x80\x04.", "unknown file type"),
    ("<b>`x`</b>.csv", b"1\n" * 20, "line 1 has 1 column,"),
]


@pytest.mark.parametrize(("name", "data", "said"), BAD_FILES, ids=[name for name, _, _ in BAD_FILES])
def test_a_bad_file_is_one_line_and_no_memory(name, data, said):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=said) as info:
        from_file(data, name)
    assert "\n" not in str(info.value)
    assert "<" not in str(info.value).split(":")[0]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, "kilobytes"


# Mixtures.


@pytest.mark.parametrize(
    "raw",
    [
        {"mix_modes": "twelve", "mix_radius": None, "mix_spread": [], "mix_weights": 3, "mix_own": object()},
        {"mix_modes": 10**400, "mix_radius": INF, "mix_spread": NAN, "mix_weights": "<script>"},
        {"mix_modes": -5, "mix_radius": -1e300, "mix_spread": 0, "mix_weights": "my own", "mix_own": "0"},
        {
            "mix_modes": 1e9,
            "mix_radius": 1e9,
            "mix_spread": 1e9,
            "mix_weights": "my own",
            "mix_own": "1," * 10_000,
        },
        {"mix_modes": 2, "mix_weights": "my own", "mix_own": "nan, inf"},
    ],
    ids=["wrong types", "not finite", "too small", "too large", "weights"],
)
def test_any_mixture_is_a_valid_one(raw):
    options = mixture_options(raw)
    assert 1 <= len(options["means"]) <= 12
    assert 0.05 <= options["stds"] <= 1
    assert min(options["weights"]) > 0
    assert tl.dataset("gaussian_mixture", **options).dim == 2


@pytest.mark.parametrize(
    ("kind", "own", "weights"),
    [
        ("equal", "", [1, 1, 1, 1]),
        ("one heavy", "", [10, 1, 1, 1]),
        ("ramp", "", [1, 2, 3, 4]),
        ("my own", "4, 0.5,1e2 ,7", [4, 0.5, 100, 7]),
    ],
)
def test_the_mixture_is_what_the_numbers_say(kind, own, weights):
    raw = {"mix_modes": 4, "mix_radius": 2, "mix_spread": 0.3, "mix_weights": kind, "mix_own": own}
    modes = tl.dataset("gaussian_mixture", **mixture_options(raw)).modes()
    np.testing.assert_allclose(modes.centres, [[2, 0], [0, 2], [-2, 0], [0, -2]], atol=1e-12)
    np.testing.assert_allclose(modes.stds, 0.3)
    np.testing.assert_allclose(modes.weights, np.array(weights) / sum(weights))


@pytest.mark.parametrize("own", ["1, 2", "1, 2, -3", "1, 2, 0", "1, 2, x", "1, 2, nan", "1, 2, inf", ""])
def test_weights_that_are_none_are_told(own):
    raw = {"mix_modes": 3, "mix_weights": "my own", "mix_own": own}
    assert own_data.problem("mixture", raw, None) == "Weights must be 3 positive numbers, parted by commas."
    assert mixture_options(raw)["weights"] == [1, 1, 1]


# As data of a run.


def configs():
    drawn = from_strokes([ring(40)])
    uploaded = from_file(npz(points=np.random.default_rng(1).normal(size=(600, 2))), "a.npz")
    return {
        "draw": settings.read_config({"dataset": "draw"}, drawn),
        "upload": settings.read_config({"dataset": "upload"}, uploaded),
        "mixture": settings.read_config({"dataset": "mixture", "mix_modes": 3}),
    }


@pytest.mark.parametrize("kind", own_data.KINDS)
def test_the_oracle_works_on_own_data(kind, x64):
    """Against the posterior mean by its definition, v = (x - E[x0 | x_t = x]) / t, in plain numpy."""
    config = configs()[kind]
    options = config.dataset_options
    means = np.array(options["array"] if kind != "mixture" else options["means"])
    std = options["std"] if kind != "mixture" else options["stds"]
    weights = np.ones(len(means)) / len(means)
    t, x = 0.4, np.random.default_rng(3).normal(size=(7, 2)) * 2
    total = (1 - t) ** 2 * std**2 + t**2
    offset = x[:, None] - (1 - t) * means
    logits = np.log(weights) - 0.5 * (offset**2).sum(-1) / total
    posterior = np.exp(logits - logits.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    mean = np.einsum("nk,nkd->nd", posterior, means + (1 - t) * std**2 / total * offset)
    v = tl.oracle(config.dataset, **options).velocity(x, t)
    np.testing.assert_allclose(v, (x - mean) / t, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("dataset", "options", "bigger"),
    [
        ("points", {"array": np.random.default_rng(0).normal(size=(17, 2)), "std": 0.1}, 512),
        ("gaussian_mixture", {"means": [[0, 0], [3, 0]], "stds": [0.2, 0.4], "weights": [1, 3]}, 16),
    ],
)
def test_spare_components_change_no_law(dataset, options, bigger, x64):
    from toylab.data.mixtures import isotropic_mixture
    from toylab.data.oracle import Oracle

    filled = tl.dataset(dataset, **options)
    mixture = filled.kernels if dataset == "points" else filled
    assert len(mixture.means) == bigger
    means, std = options.get("array", options.get("means")), options.get("std", options.get("stds"))
    weights = np.array(options["weights"], float) if "weights" in options else None
    bare = isotropic_mixture(np.array(means, float), np.broadcast_to(std, len(means)), weights)
    np.testing.assert_allclose(filled.moments().covariance, bare.moments().covariance)
    x = np.random.default_rng(1).normal(size=(9, 2))
    for t in (1e-4, 0.3, 1.0):
        for ask in ("velocity", "velocity_covariance", "velocity_jacobian"):
            answers = [getattr(Oracle(each), ask)(x, t) for each in (filled, bare)]
            np.testing.assert_allclose(*answers, rtol=1e-9, atol=1e-9)
    if dataset == "gaussian_mixture":
        np.testing.assert_array_equal(filled.sample(5_000), bare.sample(5_000))


def test_another_drawing_is_the_same_program(keep_programs):
    """Up to 512 points: nothing is compiled for a new drawing, nor for another mixture."""
    from toylab.training.experiment import build_experiment, structure

    drawings = [settings.read_config({"dataset": "draw"}, from_strokes([ring(n, n)])) for n in (16, 40, 512)]
    mixtures = [settings.read_config({"dataset": "mixture", "mix_modes": n}) for n in (1, 7, 12)]
    for same in (drawings, mixtures):
        assert len({structure(build_experiment(config)) for config in same}) == 1
        assert len({scene.program(config) for config in same}) == 1
    larger = settings.read_config({"dataset": "draw"}, from_strokes([ring(513)]))
    assert structure(build_experiment(larger)) != structure(build_experiment(drawings[0]))
    assert scene.program(larger) != scene.program(drawings[0])


@pytest.mark.parametrize("kind", own_data.KINDS)
def test_the_stage_has_points_and_a_square_for_them(kind):
    config = configs()[kind]
    points, (x, y, half) = scene.points(config), scene.frame(config)
    assert 16 <= len(points) <= 1000
    assert np.mean(np.abs(points - [x, y]) < half) > 0.95
    truth = tl.dataset(config.dataset, **config.dataset_options).moments()
    np.testing.assert_allclose(points.mean(axis=0), truth.mean, atol=0.35)
    assert scene.name(config) != config.dataset
    assert not scene.same_data(config, settings.read_config({}))
    assert scene.same_data(config, config.replace(beta=0.3))


@pytest.mark.parametrize("kind", ["draw", "upload"])
def test_without_enough_points_the_run_is_the_default_one_and_the_reader_is_told(kind):
    few = from_strokes([ring(15)])
    for own in (None, few):
        assert settings.read_config({"dataset": kind}, own).dataset == settings.DEFAULTS["dataset"]
        assert str(16) in own_data.problem(kind, {}, own)
    assert "(15 so far)" in own_data.problem("draw", {}, few)
    assert own_data.problem("draw", {}, from_strokes([ring(16)])) == ""


def test_points_that_coincide_get_the_smallest_kernel():
    own = from_strokes([[1.0, 1.0] * 16])
    config = settings.read_config({"dataset": "draw"}, own)
    assert config.dataset_options["std"] == own_data.MIN_BANDWIDTH


# In the app.


@pytest.fixture
def app(monkeypatch):
    monkeypatch.setenv("TOYLAB_WARM_UP", "0")
    at = AppTest.from_file(str(APP), default_timeout=30)
    at.query_params["width"] = "32"
    yield at
    if "lab_job" in at.session_state and (job := at.session_state["lab_job"]).active:
        job.stop()
        assert job.wait_for(lambda s: not job.active, 60)


def texts(at: AppTest) -> str:
    return "\n".join(element.value for element in at.markdown)


def choose(at: AppTest, kind: str) -> AppTest:
    return at.radio(key="dataset").set_value(kind).run()


def finish(at: AppTest, until, seconds: float = 120.0) -> AppTest:
    deadline = time.monotonic() + seconds
    while not until(at.session_state["lab_job"].snapshot):
        assert time.monotonic() < deadline, at.session_state["lab_job"].snapshot.state
        time.sleep(0.05)
    return at.run()


def test_an_empty_drawing_cannot_be_started(app):
    choose(app.run(), "draw")
    assert not app.exception
    assert "Draw at least 16 points" in texts(app)
    assert app.button(key="go").disabled
    app.session_state["own_draw"] = from_strokes([ring(15)])
    app.run()
    assert "(15 so far)" in texts(app)
    assert app.button(key="go").disabled


@pytest.mark.slow
@pytest.mark.parametrize("kind", own_data.KINDS)
def test_own_data_train_with_the_oracle_proxy(app, kind):
    app.query_params["proxy"] = "oracle"
    choose(app.run(), kind)
    if kind == "draw":
        app.session_state["own_draw"] = from_strokes([ring(200)])
        app.run()
    if kind == "upload":
        assert "Upload a csv" in texts(app)
        cloud = np.random.default_rng(0).normal(size=(50, 2)) * [5, 1]
        content = "x,y\n" + "".join(f"{x},{y}\n" for x, y in cloud)
        app.file_uploader(key="own_file").set_value(("my_points.csv", content.encode(), "text/csv")).run()
        assert "my_points.csv: 50 points" in "".join(element.value for element in app.caption)
    if kind == "mixture":
        app.slider(key="mix_modes").set_value(3)
        app.selectbox(key="mix_weights").set_value("ramp").run()
    assert not app.exception
    assert "This is the data" in texts(app)
    assert not app.button(key="go").disabled
    app.button(key="go").click().run()
    finish(app, lambda s: s.step >= 250 or s.state is JobState.FAILED)
    assert not app.exception
    snapshot = app.session_state["lab_job"].snapshot
    assert snapshot.state is JobState.RUNNING
    assert snapshot.samples.shape[0] == 2
    assert np.isfinite(snapshot.samples).all()
    assert all(np.isfinite(table["sw1"].to_numpy()).all() and len(table) for table in snapshot.histories)
    config = dataclasses.replace(snapshot.config)
    expected = tl.dataset(config.dataset, **config.dataset_options).moments()
    spread = np.sqrt(np.diag(expected.covariance) / len(snapshot.data))
    assert np.all(np.abs(snapshot.data.mean(axis=0) - expected.mean) < 5 * spread)
    if kind == "mixture":
        assert config.dataset_options["weights"] == [1, 2, 3]


def test_a_bad_upload_is_one_line_that_is_no_markup(app):
    choose(app.run(), "upload")
    file = ("a.csv", b"1,2\n" * 20 + b"1,[x](//a)\n", "text/csv")
    app.file_uploader(key="own_file").set_value(file).run()
    assert not app.exception
    (error,) = app.error
    assert error.value.startswith(r"a\.csv\: line 21 has \'\[x\]\(//a\)\'")
    assert app.button(key="go").disabled
    choose(app, "two_moons")
    assert not app.error
    assert not app.button(key="go").disabled


def test_points_never_enter_the_address_and_survive_a_change_of_data(app):
    choose(app.run(), "draw")
    app.session_state["own_draw"] = own = from_strokes([ring(77)])
    app.run()
    assert "77" not in "".join(map(str, app.query_params.values()))
    assert app.query_params["dataset"] in (["draw"], "draw")
    choose(app, "two_moons")
    assert app.session_state["config_made"][1].dataset == "two_moons"
    choose(app, "draw")
    assert app.session_state["own_draw"] is own
    assert app.session_state["config_made"][1].dataset == "points"


def test_the_numbers_of_a_mixture_may_come_from_the_address(app):
    query = {
        "dataset": "mixture",
        "mix_modes": "9",
        "mix_radius": "2",
        "mix_spread": "1e400",
        "mix_weights": "xx",
    }
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    assert app.slider(key="mix_modes").value == 9
    options = app.session_state["config_made"][1].dataset_options
    assert len(options["means"]) == 9
    assert options["stds"] == own_data.MIXTURE["mix_spread"]
    choose(app, "two_moons")
    choose(app, "mixture")
    assert app.slider(key="mix_modes").value == 9


def test_a_tab_loaded_anew_finds_its_drawing_with_its_run(app):
    choose(app.run(), "draw")
    app.session_state["own_draw"] = from_strokes([ring(64)])
    app.run().button(key="go").click().run()
    job = app.session_state["lab_job"]
    again = AppTest.from_file(str(APP), default_timeout=30)
    again.query_params.update({"run": job.id, "dataset": "draw", "width": "32"})
    again.run()
    assert not again.exception
    np.testing.assert_allclose(
        again.session_state["own_draw"].points, np.reshape(ring(64), (-1, 2)), atol=1e-4
    )
    assert not own_data.problem("draw", {}, again.session_state["own_draw"])


@pytest.mark.parametrize("page", ["race", "sweep", "maps"])
def test_every_page_says_why_an_empty_drawing_cannot_be_used(app, page, monkeypatch):
    monkeypatch.setattr(page_of_sweep, "_step_seconds", lambda config: (0.001, 2))
    monkeypatch.setattr(page_of_maps, "_compute", lambda *_: None)
    choose(app.run(), "draw")
    switch_page(app, page).run().run()  # the first time AppTest sends no choice of a page left
    assert not app.exception
    said = texts(app) + "\n".join(element.value for element in app.info)
    assert "Draw at least 16 points" in said
    assert "Press Start" not in said
    assert not any("runs of" in element.value for element in app.caption)


def test_a_tab_loaded_anew_finds_the_drawing_of_its_race(app):
    app.query_params["lanes"] = "meanflow:0"
    choose(app.run(), "draw")
    app.session_state["own_draw"] = from_strokes([ring(64)])
    switch_page(app, "race").run().button(key="go").click().run()
    job = app.session_state["race_job"]
    try:
        again = AppTest.from_file(str(APP), default_timeout=30)
        again.query_params.update({"run": job.id, "dataset": "draw", "width": "32"})
        again.run()
        assert not again.exception
        assert len(again.session_state["own_draw"].points) == 64
    finally:
        job.stop()
        assert job.wait_for(lambda s: not job.active, 120)
