"""Named grids: tables that follow from the runs, executed small, stopped and continued."""

import json
import math

import numpy as np
import pytest
from tiny import UNMEASURED

import toylab as tl
from toylab.experiments.claims import budget
from toylab.experiments.claims.rows.table_2d import Table2d
from toylab.experiments.results import NO_SCORE, Result
from toylab.experiments.sweep import Cell, cell_name, grids, read_plan
from toylab.experiments.sweep.forecast import Forecast
from toylab.experiments.sweep.grids import paper_grid
from toylab.experiments.sweep.table import grid_table
from toylab.experiments.sweep.timing import Piece, Timing, read_timing
from toylab.metrics.score import Score


def result(dataset, beta, seed, value, floor, n):
    score = Score(value, math.nan, n, floor) if math.isfinite(value) else NO_SCORE
    return Result(tl.RunConfig(dataset=dataset, beta=beta, seed=seed), "done", score)


def results(change, spread=0.01, seeds=5):
    """Scores at beta 0 and 1 that share most of their noise: what ``change`` does shows in pairs."""
    noise = np.random.default_rng(0).normal(size=(3, seeds))
    return [
        result(
            "moons", beta, seed, 1 + 0.5 * noise[0, seed] + beta * change + spread * noise[row, seed], 0.1, 64
        )
        for row, beta in ((1, 0.0), (2, 1.0))
        for seed in range(seeds)
    ]


@pytest.mark.parametrize(("change", "said"), [(-0.2, "better"), (0.2, "worse"), (0.001, "not told apart")])
def test_a_table_says_what_the_scores_say(change, said):
    base, changed = grid_table(results(change))
    assert (base["beta"], base["reading"], changed["reading"]) == (0.0, "", said)
    assert changed["difference"] == pytest.approx(change, abs=0.03)
    assert changed["difference_low"] < changed["difference"] < changed["difference_high"]
    assert changed["high"] - changed["low"] > 0.5  # unpaired it could not be seen
    assert changed["value"] == pytest.approx(np.mean([r.value for r in results(change) if r.config.beta]))


def test_lost_runs_are_counted_and_a_single_seed_says_nothing():
    one = [result("a", beta, 0, value, 0.1, 64) for beta, value in ((0.5, 2.0), (0.0, 3.0), (1.0, math.nan))]
    rows = {
        row["beta"]: row
        for row in grid_table([*one, result("b", 0.0, 0, 1.0, 0.2, 64)])
        if row["dataset"] == "a"
    }
    assert rows[0.5]["difference"] == -1.0
    assert rows[0.5]["reading"] == "not told apart"
    assert math.isnan(rows[0.5]["low"])
    assert (rows[1.0]["seeds"], rows[1.0]["lost"], rows[1.0]["reading"]) == (0, 1, "")


def test_the_paper_grid_is_the_published_one():
    grid = paper_grid()
    assert len(grid.cells) == 6 * 11 * 3
    assert {(c.config.steps, c.config.batch_size, c.config.max_gap) for c in grid.cells} == {
        (200_000, 256, 0.5)
    }
    # The ledger's runs are the same: one folder serves both.
    names = {cell.name for cell in grid.cells}
    arms = Table2d().arms(budget("paper"))
    assert {cell_name(config.replace(seed=42)) for pair in arms.values() for config in pair} <= names


PAPER = (
    "sweep", "--grid", "paper", "--datasets", "two_moons", "--betas", "0,1", "--seeds", "0:2", "--steps", 3,
    "--score-n", 64,
)  # fmt: skip


@pytest.fixture
def small_nets(monkeypatch):
    """The paper's grid with nets that compile at once."""

    def small(*arguments):
        grid = paper_grid(*arguments)
        configs = [
            cell.config.replace(width=8, depth=1, batch_size=16, eval_samples=0) for cell in grid.cells
        ]
        return grid._replace(cells=tuple(Cell(cell_name(config), config) for config in configs))

    monkeypatch.setattr("toylab.experiments.sweep.grids.paper_grid", small)


@pytest.mark.usefixtures("small_nets")
def test_the_paper_grid_from_command_to_files(call, tmp_path):
    code, out, err = call(*PAPER, "--out", tmp_path / "runs", "--results", tmp_path / "found", "--json")
    assert code == 0, err
    content = json.loads(out)
    assert content == json.loads((tmp_path / "found" / "study.json").read_text())
    rows = {row["beta"]: row for row in content["table"]}
    for beta in (0.0, 1.0):
        scores = [run["scores"]["sliced_w1"]["value"] for run in content["runs"] if run["beta"] == beta]
        assert rows[beta]["value"] == pytest.approx(np.mean(scores))
        assert (rows[beta]["seeds"], rows[beta]["n"]) == (2, 64)
        assert rows[beta]["floor"] > 0
    assert content["missing"] == []
    assert content["timing"]["forecast"]["runs"] == 4
    assert content["timing"]["seconds"] > content["timing"]["forecast"]["compile_seconds"] > 0
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == [
        "figure.png", "study.json", "table.csv", "table.md",
    ]  # fmt: skip
    assert "| two_moons | 1 |" in (tmp_path / "found" / "table.md").read_text()
    assert len(read_plan(tmp_path / "runs").cells) == 4
    again = (*PAPER, "--out", tmp_path / "runs", "--results", tmp_path / "found", "--json")
    code, out, err = call(*again)
    assert "nothing to train" in err
    assert json.loads(out)["table"] == content["table"]
    assert json.loads(out)["timing"] == content["timing"]  # the measurement stays
    (tmp_path / "runs" / content["runs"][0]["name"] / "scores.json").unlink()
    timing = json.loads(call(*again)[1])["timing"]
    assert timing["forecast"] == content["timing"]["forecast"]
    assert [piece["runs"] for piece in timing["pieces"]] == [4, 1]
    assert timing["pieces"][:1] == content["timing"]["pieces"]
    for part in ("training_seconds", "scoring_seconds"):
        assert timing[part] == sum(piece[part] for piece in timing["pieces"]) > content["timing"][part] > 0
    code, _, err = call(*PAPER[:-2], "--score-n", 32, "--out", tmp_path / "runs")
    assert (code, "is another plan" in err) == (2, True)


@pytest.mark.usefixtures("small_nets")
def test_an_arm_that_diverges_at_once_has_no_speed_and_stops_nothing(call, tmp_path, monkeypatch):
    small = grids.paper_grid

    def wild(*arguments):
        grid = small(*arguments)
        configs = [cell.config.replace(learning_rate=10.0, optimizer="sgd") for cell in grid.cells]
        return grid._replace(cells=tuple(Cell(cell_name(config), config) for config in configs))

    monkeypatch.setattr("toylab.experiments.sweep.grids.paper_grid", wild)
    code, out, err = call(*PAPER, "--betas", 0, "--seeds", 0, "--steps", 60, "--out", tmp_path, "--json")
    assert code == 3, err
    assert "1 runs left, 1 together: speed unknown" in err
    content = json.loads(out)
    assert [row["lost"] for row in content["table"]] == [1]
    assert content["timing"]["forecast"]["steps_per_second"] is None
    assert [piece["runs"] for piece in content["timing"]["pieces"]] == [1]


def damage(content, *path, value):
    """A copy of ``content`` with another value at ``path``."""
    copied = json.loads(json.dumps(content))
    *inner, last = path
    target = copied
    for key in inner:
        target = target[key]
    target[last] = value
    return copied


def test_a_timing_is_read_back_or_starts_anew(tmp_path):
    grid = paper_grid(0, ["two_moons"], [0.0], [0, 1])
    timing = Timing(Forecast(2, 1, 2, None, None, None), (Piece("2026-01-01", "1 x cpu", 1, 1.0, 2.0, 3.0),))
    content = {
        "study": "paper", "scoring": grid.scoring._asdict(), "runs": [{"name": grid.cells[0].name}],
        "missing": [grid.cells[1].name], "timing": timing.to_json(),
    }  # fmt: skip

    def read(text, out=tmp_path):
        (tmp_path / "study.json").write_text(text)
        return read_timing(tmp_path, grid, out)

    assert read(json.dumps(content)) == Timing()  # of runs that are no longer there
    (tmp_path / grid.cells[0].name).mkdir()
    (tmp_path / grid.cells[0].name / "config.json").write_text("{}")
    assert read(json.dumps(content)) == timing
    piece = ("timing", "pieces", 0)
    for bad in (
        damage(content, "missing", value=[]),
        damage(content, "study", value="images"),
        damage(content, "scoring", "n", value=64),
        damage(content, "runs", value=[[]]),
        damage(content, "timing", value=None),
        damage(content, "timing", "pieces", value="x"),
        damage(content, "timing", "forecast", "lanes", value=True),
        damage(content, *piece, "runs", value=10**400),
        damage(content, *piece, "training_seconds", value=math.nan),
        damage(content, *piece, "scoring_seconds", value="3"),
        damage(content, *piece, "more_seconds", value=3),
        damage(content, *piece, "device", value="x" * 1000),
        [],
    ):
        assert read(json.dumps(bad)) == Timing(), bad
    assert read("[" * 100_000) == read("{") == Timing()
    (tmp_path / "study.json").unlink()
    assert read_timing(tmp_path, grid, tmp_path) == Timing()


@pytest.mark.slow
def test_the_grid_of_images_pairs_seeds_and_noise(call, tmp_path):
    config = UNMEASURED.replace(dataset="digits", width=8, depth=1)
    (tmp_path / "mine.json").write_text(json.dumps(config.to_dict()))
    code, out, err = call(
        "sweep", "--grid", "images", "--config", tmp_path / "mine.json", "--betas", "0,1", "--seeds", 0, "--steps", 2,
        "--score-n", 100, "--out", tmp_path, "--json",
    )  # fmt: skip
    assert code == 0, err
    content = json.loads(out)
    assert [(run["beta"], run["seed"]) for run in content["runs"]] == [(0.0, 0), (1.0, 0)]
    assert set(content["runs"][0]["scores"]) == {"FDD", "kernel_distance", "label_accuracy"}
    assert content["picture_rows"] == ["beta 0, seed 0", "beta 1, seed 0"]
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")
    varying = [name for name in tl.RunConfig().to_dict() if name not in content["settings"]]
    assert varying == ["beta"]
    # What a single evaluation says of the same folder, to the last digit: same noise, same images.
    folder = tmp_path / content["runs"][0]["name"]
    code, out, err = call("evaluate", folder, "--features", "fdd-v1", "--n", 100, "--json")
    assert json.loads(out)["FDD"]["value"] == content["runs"][0]["scores"]["FDD"]["value"], err
    assert json.loads(out)["FDD"]["floor"]["value"] == content["table"][0]["floor"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["paper", "--batch-size", "8"], "--batch-size is only for the grid images"),
        (["paper", "--config", "digits-dit-tiny"], "--config is only for the grid images"),
        (["images", "--datasets", "two_moons"], "--datasets is only for the grid paper"),
        (
            ["images", "--config", "paper_2d"],
            "no real images of 'eight_gaussians' are known, only of digits, fashion",
        ),
        (
            ["images", "--config", "digits-dit-tiny", "--features", "ffd-v1"],
            "ffd-v1 takes images of shape (32, 32, 1)",
        ),
        (["images", "--config", "digits-dit-tiny", "--score-n", "1"], "at least 2 samples, got n = 1"),
        (["paper", "--datasets", "moons"], "unknown dataset 'moons'"),
        (
            ["paper", "--datasets", "digits"],
            "dataset 'digits' has dimension 64: the grid paper takes data in the plane",
        ),
        (["nothing"], "nothing"),
    ],
)
@pytest.mark.parametrize("command", [("sweep", "--grid"), ("study",)])
def test_mistakes_are_one_line(call, tmp_path, command, words, message):
    code, out, err = call(*command, *words, "--out", tmp_path / "runs")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("small_nets")
def test_study_is_an_alias_that_names_its_replacement(call, tmp_path):
    words = ("--datasets", "two_moons", "--betas", 0, "--seeds", 0, "--steps", 2, "--score-n", 64, "--json")
    code, out, err = call("sweep", "--grid", "paper", *words, "--out", tmp_path)
    assert (code, "toylab sweep --grid" in err) == (0, False)
    code, again, err = call("study", "paper", *words, "--out", tmp_path)
    assert (code, err.count("toylab sweep --grid paper")) == (0, 1)
    first, second = json.loads(out), json.loads(again)
    assert first.pop("environment")
    assert second.pop("environment")
    assert first == second


@pytest.mark.parametrize("flag", ["out", "results"])
def test_no_grid_is_written_into_a_run(call, tmp_path, trained_folder, flag):
    other = {"out": "results", "results": "out"}[flag]
    before = sorted(trained_folder.iterdir())
    code, out, err = call(
        "sweep", "--grid", "paper", f"--{flag}", trained_folder, f"--{other}", tmp_path / "other"
    )
    assert (code, out) == (2, "")
    assert f"--{flag} {trained_folder} is a run folder" in err
    assert sorted(trained_folder.iterdir()) == before


def test_another_plan_is_found_before_anything_is_timed(call, tmp_path, monkeypatch):
    words = [
        "sweep",
        "--grid",
        "paper",
        "--datasets",
        "two_moons",
        "--seeds",
        "0",
        "--steps",
        "20",
        "--out",
        tmp_path,
    ]
    monkeypatch.setattr(
        "toylab.cli.sweep_grid._answered", lambda *_: (_ for _ in ()).throw(ValueError("timed"))
    )
    assert "timed" in call(*words, "--betas", "0")[2]
    code, _, err = call(*words, "--betas", "1")
    assert code == 2
    assert "another plan" in err
