"""Sweeps: plans, shards, restarts. What is finished is never trained again, what is missing always is."""

import json
import shutil

import jax
import numpy as np
import pytest

import toylab as tl
from toylab.cli import main
from toylab.config import FIELDS, RunConfig
from toylab.experiments import sweep
from toylab.experiments.sweep import (
    Scoring,
    cell_name,
    equal_chunks,
    is_finished,
    plan,
    run_sweep,
    shard,
    where_used,
)

TINY = {"steps": [20], "batch_size": [16], "width": [8], "depth": [1], "embed_dim": [4], "eval_samples": [0]}
SCORING = Scoring(n=64)


def test_a_plan_is_every_combination_once():
    cells = plan({"dataset": ["two_moons", "dgmm"], "beta": [0, 0.5, 0.0], "seed": range(3)})
    settings = [(cell.config.dataset, cell.config.beta, cell.config.seed) for cell in cells]
    assert settings == [(d, b, s) for d in ("two_moons", "dgmm") for b in (0.0, 0.5) for s in range(3)]
    assert len({cell.name for cell in cells}) == len(cells)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"beat": [0]}, "unknown setting 'beat'"),
        ({"beta": []}, "beta has no values"),
        ({"beta": [0, float("nan")]}, "beta must be finite"),
        ({"seed": range(1000), "beta": range(101)}, "101000 cells"),
    ],
)
def test_bad_grids_are_refused(grid, message):
    with pytest.raises(ValueError, match=message):
        plan(grid)


def test_names_tell_settings_apart_and_survive_json():
    base = RunConfig()
    assert cell_name(base).startswith("eight_gaussians-meanflow-b0.5-s0-")
    assert cell_name(base) == cell_name(RunConfig.from_dict(json.loads(json.dumps(base.to_dict()))))
    changed = {
        "batch_size": 64,
        "width": 64,
        "learning_rate": 1e-3,
        "dataset_options": {"std": 0.3},
        "seed": 1,
    }
    assert set(changed) <= set(FIELDS)
    names = {cell_name(base.replace(**{name: value})) for name, value in changed.items()}
    assert len(names | {cell_name(base)}) == len(changed) + 1


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_shards_are_a_partition(count):
    cells = plan({"beta": [0, 0.5, 1], "seed": range(5)})
    parts = [shard(cells, index, count) for index in range(count)]
    assert sorted(cell.name for part in parts for cell in part) == sorted(cell.name for cell in cells)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for index in (-1, count):
        with pytest.raises(ValueError, match="is not one of"):
            shard(cells, index, count)


def test_chunks_are_equal_and_small_enough():
    for num_items in range(1, 40):
        chunks = equal_chunks(range(num_items), 16)
        assert [item for chunk in chunks for item in chunk] == list(range(num_items))
        assert len(chunks) == -(-num_items // 16)
        assert {len(chunk) for chunk in chunks[:-1]} <= {len(chunks[0])}
        assert len(chunks[-1]) <= len(chunks[0]) <= 16
        assert len(chunks[0]) - len(chunks[-1]) < len(chunks)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished sweep of four cells: its cells and its folder."""
    out = tmp_path_factory.mktemp("sweep")
    cells = plan({**TINY, "beta": [0, 1], "seed": [0, 1]})
    # Two lanes at a time: later tests train two again, with the program compiled here.
    seen = []
    done = run_sweep(cells, out, SCORING, lanes=2, progress=False, on_progress=seen.append)
    assert [told[:3] for told in seen] == [(0, 0, 4), (0, 2, 4), (0, 4, 4)]
    assert 0 == seen[0].scoring_seconds < seen[1].scoring_seconds < seen[2].scoring_seconds
    assert done == seen[-1]
    return cells, out


def test_a_finished_cell_is_a_run_with_scores(finished):
    cells, out = finished
    assert sorted(path.name for path in out.iterdir()) == sorted(cell.name for cell in cells)
    for cell in cells:
        run = tl.load(out / cell.name)
        assert run.config == cell.config
        assert run.status == "done"
        scores = json.loads((out / cell.name / "scores.json").read_text())
        expected = tl.evaluate(run, ["sliced_w1"], n=64, num_keys=2)["sliced_w1"]
        assert scores == {"sliced_w1": expected.to_json()}


def trained_cells(monkeypatch):
    """The configs that later calls train, filled as they do."""
    seen = []
    original = tl.train_many

    def record(configs, **options):
        seen.extend(configs)
        return original(configs, **options)

    monkeypatch.setattr("toylab.experiments.sweep.running.train_many", record)
    return seen


def test_a_finished_sweep_trains_nothing(finished, monkeypatch):
    cells, out = finished
    seen = trained_cells(monkeypatch)
    assert run_sweep(cells, out, SCORING, progress=False)[:3] == (4, 0, 4)
    assert seen == []


def test_only_missing_cells_are_trained_and_come_out_the_same(finished, tmp_path, monkeypatch):
    cells, original = finished
    out = tmp_path / "copy"
    shutil.copytree(original, out)
    shutil.rmtree(out / cells[1].name)
    shutil.rmtree(out / cells[2].name)
    (out / cells[3].name / "scores.json").unlink()
    assert [is_finished(out / cell.name, SCORING) for cell in cells] == [True, False, False, False]
    seen = trained_cells(monkeypatch)
    assert run_sweep(cells, out, SCORING, progress=False)[:3] == (1, 3, 4)
    assert seen == [cells[1].config, cells[2].config]
    for cell in cells:
        for leaf, expected in zip(
            jax.tree.leaves(tl.load(out / cell.name).state),
            jax.tree.leaves(tl.load(original / cell.name).state),
            strict=True,
        ):
            np.testing.assert_array_equal(leaf, expected)
        assert (out / cell.name / "scores.json").read_text() == (
            original / cell.name / "scores.json"
        ).read_text()


def test_a_diverged_cell_is_finished_and_counted(tmp_path, capsys):
    words = [
        "--optimizer",
        "sgd",
        "--learning-rate",
        "1",
        "--json",
        "--out",
        str(tmp_path),
        "--score-n",
        "64",
    ]
    tiny = ["--steps", "60", "--batch-size", "16", "--width", "8", "--embed-dim", "8", "--eval-samples", "0"]
    assert main(["sweep", *tiny, *words]) == 3
    printed = capsys.readouterr()
    facts = json.loads(printed.out)
    assert (facts["trained"], facts["diverged"]) == (1, 1)
    assert "1 of 1 cells diverged" in printed.err
    assert not (tmp_path / facts["cells"][0] / "scores.json").exists()
    assert main(["sweep", *tiny, *words]) == 3
    assert json.loads(capsys.readouterr().out)["skipped"] == 1


@pytest.mark.parametrize(
    "scoring",
    [Scoring(n=32), Scoring(n=64, num_keys=3), Scoring(("sliced_w1", "energy_distance"), n=64)],
    ids=str,
)
def test_a_cell_scored_otherwise_is_scored_again_and_not_trained(finished, tmp_path, monkeypatch, scoring):
    cells, original = finished
    out = tmp_path / "copy"
    shutil.copytree(original, out)
    seen = trained_cells(monkeypatch)
    assert run_sweep(cells[:1], out, scoring, progress=False)[:3] == (0, 1, 1)
    assert seen == []
    scores = json.loads((out / cells[0].name / "scores.json").read_text())
    assert sorted(scores) == sorted(scoring.names)
    assert {(score["n"], score["num_keys"]) for score in scores.values()} == {(scoring.n, scoring.num_keys)}
    assert is_finished(out / cells[0].name, scoring)


def test_a_cell_whose_samples_are_not_finite_gets_a_null_score(finished, tmp_path, monkeypatch):
    cells, original = finished
    out = tmp_path / "copy"
    shutil.copytree(original, out)
    (out / cells[0].name / "scores.json").unlink()
    sample = tl.Run.sample

    def with_one_lost(self, *arguments, **options):
        points = sample(self, *arguments, **options)
        points = points.copy()
        points[3] = np.inf
        return points

    monkeypatch.setattr(tl.Run, "sample", with_one_lost)
    assert run_sweep(cells, out, SCORING, progress=False)[:3] == (3, 1, 4)
    score = json.loads((out / cells[0].name / "scores.json").read_text())["sliced_w1"]
    assert (score["value"], score["n"]) == (None, 64)
    assert score["floor"] > 0
    assert is_finished(out / cells[0].name, SCORING)


def test_of_several_methods_each_takes_the_settings_it_uses(tmp_path):
    cells = where_used(plan({"method": ["meanflow", "flow_matching"], "proxy": ["ema", "oracle"]}))
    settings = [(cell.config.method, cell.config.proxy) for cell in cells]
    assert settings == [("meanflow", "ema"), ("meanflow", "oracle"), ("flow_matching", "ema")]
    assert all(cell.name == cell_name(cell.config) for cell in cells)


def test_shards_of_the_command_line_share_a_folder(finished, capsys, monkeypatch):
    cells, out = finished
    seen = trained_cells(monkeypatch)
    flags = [word for name, (value,) in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    names = []
    for index in range(2):
        argv = [
            "sweep",
            *flags,
            "--beta",
            "0,1",
            "--seed",
            "0:2",
            "--out",
            str(out),
            "--score-n",
            "64",
            "--json",
        ]
        assert main([*argv, "--shard", f"{index}/2"]) == 0
        names += json.loads(capsys.readouterr().out)["cells"]
    assert sorted(names) == sorted(cell.name for cell in cells)
    assert seen == []
    assert sweep.SCORES == "scores.json"
