"""A planned sweep on several machines: parts in processes of their own, results merged, nothing lost silently."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toylab.experiments.sweep import (
    Scoring,
    SweepPlan,
    is_finished,
    merge,
    plan,
    read_plan,
    run_sweep,
    shard,
    write_merged,
    write_plan,
)
from toylab.experiments.sweep.merging import as_table
from toylab.experiments.sweep.running import Progress
from toylab.storage import run_folder
from toylab.training.api import TrainingInterrupted

TINY = {"steps": [20], "batch_size": [16], "width": [8], "depth": [1], "embed_dim": [4], "eval_samples": [0]}
FLAGS = [word for name, (value,) in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))]
# When imported submitit sets up logging anew, which closes the streams of handlers: under pytest those it captures by.
os.environ["SUBMITIT_LOG_LEVEL"] = "NOCONFIG"
PLAN = SweepPlan(tuple(plan({**TINY, "beta": [0, 1], "seed": [0, 1]})), Scoring(n=64))


def toylab(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "toylab", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of the plan with every cell finished."""
    folder = tmp_path_factory.mktemp("planned")
    write_plan(folder, PLAN)
    run_sweep(PLAN.cells, folder, PLAN.scoring, progress=False)
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copy")


# The plan.


def test_a_plan_is_read_as_it_was_written(tmp_path):
    write_plan(tmp_path, PLAN)
    assert read_plan(tmp_path) == PLAN
    before = (tmp_path / "sweep.json").read_bytes()
    write_plan(tmp_path, PLAN)
    assert (tmp_path / "sweep.json").read_bytes() == before
    with pytest.raises(ValueError, match="is another plan: choose another --out"):
        write_plan(tmp_path, PLAN._replace(cells=PLAN.cells[:2]))


def changed(change):
    def damage(text):
        content = json.loads(text)
        change(content)
        return json.dumps(content)

    return damage


DAMAGES = {
    "no plan there; make one with toylab sweep plan": None,
    "Unterminated string": lambda text: text[:40],
    "is no plan of a sweep": lambda text: "[]",
    "has no 'cells'": changed(lambda it: it.pop("cells")),
    "must have 1 to 100000 cells": changed(lambda it: it.update(cells=[])),
    "names a cell '../../elsewhere' whose settings give 'eight": changed(
        lambda it: it["cells"][0].update(name="../../elsewhere")
    ),
    "names a cell .* plan it again": changed(lambda it: it["cells"][0]["settings"].update(beta=0.25)),
    "unknown setting 'beat'": changed(lambda it: it["cells"][0]["settings"].update(beat=1)),
    "lists a cell twice": changed(lambda it: it["cells"].append(it["cells"][0])),
    "unknown metric 'fid'": changed(lambda it: it["scoring"].update(names=["fid"])),
    "num_keys of the scoring must be a whole number": changed(lambda it: it["scoring"].update(num_keys=0)),
    "n of the scoring must be a whole number": changed(lambda it: it["scoring"].update(n=1.5)),
    "scoring must name metrics": changed(lambda it: it["scoring"].update(names="sliced_w1")),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_a_plan_that_cannot_be_believed_is_refused_in_one_line(tmp_path, message):
    path, damage = write_plan(tmp_path, PLAN), DAMAGES[message]
    if damage is None:
        path.unlink()
    else:
        path.write_text(damage(path.read_text()))
    with pytest.raises(ValueError, match=message) as error:
        read_plan(tmp_path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


# Parts.


@pytest.mark.slow
def test_parts_in_parallel_processes_make_what_one_process_makes(finished, tmp_path):
    out = tmp_path / "sweep"
    done = toylab("sweep", "plan", *FLAGS, "--beta", "0,1", "--seed", "0:2", "--score-n", 64, "--out", out)
    _, err = done.communicate()
    assert done.returncode == 0, err
    assert read_plan(out) == PLAN
    parts = [toylab("sweep", "run", out, "--shard", f"{index}/2", "--json") for index in range(2)]
    told = [json.loads(part.communicate()[0]) for part in parts]
    assert [part.returncode for part in parts] == [0, 0]
    assert [facts["trained"] for facts in told] == [2, 2]
    assert not set(told[0]["cells"]) & set(told[1]["cells"])
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == sorted(
        cell.name for cell in PLAN.cells
    )
    together, alone = merge(PLAN, [out]), merge(PLAN, [finished])
    for row, expected in zip(together.rows, alone.rows, strict=True):
        # Not to the last bit: the tests compile programs for a quick start.
        assert row["scores"]["sliced_w1"] == pytest.approx(expected["scores"]["sliced_w1"], rel=1e-4)


def test_a_missing_cell_is_named_and_only_it_is_trained(copy, call):
    lost = PLAN.cells[2].name
    shutil.rmtree(copy / lost)
    (copy / PLAN.cells[1].name / "scores.json").unlink()
    code, out, err = call("sweep", "merge", copy)
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert f"2 of 4 cells are not finished: {PLAN.cells[1].name}, {lost} (" in err
    assert not (copy / "results.json").exists()
    code, out, err = call("sweep", "merge", copy, "--partial", "--json")
    assert code == 0
    assert json.loads(out)["missing"] == [PLAN.cells[1].name, lost]
    assert len(json.loads((copy / "results.json").read_text())["cells"]) == 2
    code, out, _ = call("sweep", "run", copy, "--json")
    assert (code, json.loads(out)["trained"], json.loads(out)["skipped"]) == (0, 2, 2)
    code, out, _ = call("sweep", "merge", copy)
    assert code == 0
    assert "4 cells, 0 of them diverged, 0 missing" in out


def test_folders_of_machines_with_disks_of_their_own_are_merged(copy, finished, tmp_path, call):
    second = tmp_path / "second"
    second.mkdir()
    for cell in shard(PLAN.cells, 1, 2):
        shutil.move(copy / cell.name, second / cell.name)
    code, _, err = call("sweep", "merge", copy, "--also", second)
    assert code == 0, err
    cells = json.loads((copy / "results.json").read_text())["cells"]
    expected = merge(PLAN, [finished]).rows
    assert [cell["scores"] for cell in cells] == [row["scores"] for row in expected]
    assert {os.path.dirname(cell["folder"]) for cell in cells} == {str(copy), str(second)}
    code, _, err = call("sweep", "merge", copy, "--also", tmp_path / "third")
    assert (code, "third: no such folder" in err) == (2, True)


def test_many_missing_cells_are_counted(tmp_path):
    many = SweepPlan(tuple(plan({**TINY, "seed": range(50)})), Scoring(n=64))
    with pytest.raises(ValueError, match=r"50 of 50 cells are not finished: .* and 30 more") as error:
        merge(many, [tmp_path])
    assert "\n" not in str(error.value)
    merged = merge(many, [tmp_path], partial=True)
    assert (merged.rows, len(merged.missing)) == ((), 50)
    assert [path.name for path in write_merged(tmp_path, merged)] == ["results.json", "results.csv"]


def test_a_damaged_run_is_an_error_and_no_missing_cell(copy, call):
    (copy / PLAN.cells[0].name / "config.json").write_text("{")
    code, _, err = call("sweep", "merge", copy, "--partial")
    assert code == 2
    assert f"{PLAN.cells[0].name}/config.json" in err


def test_the_table_has_what_varies_and_scores_with_their_floor(finished):
    table = as_table(merge(PLAN, [finished]))
    assert list(table) == [
        "name", "status", "beta", "seed",
        "sliced_w1_value", "sliced_w1_stderr", "sliced_w1_n", "sliced_w1_floor",
    ]  # fmt: skip
    assert list(table["beta"]) == [0, 0, 1, 1]
    assert set(table["sliced_w1_n"]) == {64}
    assert all(math.isfinite(value) and value > 0 for value in table["sliced_w1_floor"])


def test_diverged_cells_are_rows_without_scores(tmp_path, call):
    wild = ["--optimizer", "sgd", "--learning-rate", "1", "--score-n", "64", "--steps", "60", "--width", "8"]
    wild += ["--batch-size", "16", "--embed-dim", "8", "--eval-samples", "0"]
    assert call("sweep", "plan", *wild, "--out", tmp_path)[0] == 0
    assert call("sweep", "run", tmp_path)[0] == 3
    code, out, _ = call("sweep", "merge", tmp_path)
    assert code == 3
    assert "1 cells, 1 of them diverged" in out
    (row,) = json.loads((tmp_path / "results.json").read_text())["cells"]
    assert (row["status"], row["scores"]) == ("diverged", {})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep", "split"], "unknown step 'split' of a sweep; choices: plan, run, merge, submit"),
        (["sweep", "run", "{out}", "--shard", "2/2"], "shard 2/2 is not one of 0/2 to 1/2"),
        (["sweep", "run", "{out}", "--shard", "half"], "--shard must look like 0/4, got 'half'"),
        (["sweep", "run", "nowhere"], "nowhere/sweep.json: no plan there"),
        (["sweep", "merge", "nowhere"], "nowhere/sweep.json: no plan there"),
        (["sweep", "submit", "nowhere"], "nowhere/sweep.json: no plan there"),
        (["sweep", "submit", "{out}", "--shards", "0"], "--shards must lie in [1, 10000], got 0"),
        (["sweep", "submit", "{out}"], "no slurm here: "),
        (["sweep", "plan", "--beta", "x"], "'x' is not a number"),
    ],
)
def test_mistakes_are_one_line(finished, call, words, message):
    code, out, err = call(*[word.format(out=finished) for word in words])
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


# A cluster.


def test_without_submitit_the_way_to_get_it_is_said(finished, call, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    code, _, err = call("sweep", "submit", finished)
    assert (code, "pip install 'toylab[slurm]'" in err) == (2, True)


@pytest.mark.slow
def test_jobs_train_every_shard(copy, call):
    pytest.importorskip("submitit")
    for cell in PLAN.cells[:2]:
        shutil.rmtree(copy / cell.name)
    code, out, err = call("sweep", "submit", copy, "--shards", 2, "--cluster", "local", "--json")
    assert code == 0, err
    assert len(json.loads(out)["jobs"]) == 2
    assert len(merge(PLAN, [copy]).rows) == 4


def test_a_signal_that_submitit_lets_pass_does_not_end_the_job(tmp_path, monkeypatch):
    from toylab.experiments.sweep import slurm

    write_plan(tmp_path, PLAN)
    stops = [TrainingInterrupted([], requeue=True), TrainingInterrupted([], requeue=True)]

    def interrupted(cells, out, scoring, progress):
        if stops:
            raise stops.pop()
        return Progress(0, len(cells), len(cells))

    monkeypatch.setattr(slurm, "run_sweep", interrupted)
    assert slurm.ShardJob(tmp_path, 1, 2)()["trained"] == 2
    stops.append(TrainingInterrupted([]))
    with pytest.raises(TrainingInterrupted):
        slurm.ShardJob(tmp_path, 1, 2)()


@pytest.mark.slow
def test_a_job_that_loses_its_machine_continues(tmp_path):
    pytest.importorskip("submitit")
    from toylab.experiments.sweep.slurm import submit

    # Two structures, so two programs: the second cell is in training when the first is finished.
    short, long = (
        plan({**TINY, "depth": [depth], "steps": [steps]})[0] for depth, steps in ((1, 20), (2, 100_000))
    )
    write_plan(tmp_path, SweepPlan((short, long), Scoring(n=64)))
    (job,) = submit(tmp_path, 1, "local")
    wait_for(lambda: is_finished(tmp_path / short.name, Scoring(n=64)))
    before = (tmp_path / short.name).stat().st_mtime_ns
    controller = Path(f"/proc/{job.job_id}/task/{job.job_id}/children")
    os.kill(
        int(controller.read_text().split()[0]), signal.SIGUSR2
    )  # what a cluster does before it takes a machine
    found = job.result()
    assert found.pop("scoring_seconds") > 0
    assert found == {"skipped": 1, "trained": 1, "total": 2}
    assert (tmp_path / short.name).stat().st_mtime_ns == before
    assert run_folder.read_run(tmp_path / long.name).header.step == 100_000


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
