"""Where results go: checked before training, and never cleared of what others put there."""

import json
import os

import pytest

import toylab as tl
from toylab.cli import main
from toylab.training import api

TINY = tl.RunConfig(
    steps=20, batch_size=8, width=8, depth=2, embed_dim=4, eval_samples=64, log_every=10, beta=0.5
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, with files of others in it."""
    path = tl.train(TINY, path=tmp_path_factory.mktemp("targets") / "run").path
    (path / "notes.txt").write_text("mine")
    (path / "scores.json").write_text("{}")
    return path


def contents(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")} | {folder: os.stat(folder).st_ino}


def test_resuming_a_finished_run_touches_nothing(finished, capsys):
    before = contents(finished)
    assert main(["train", "--resume", str(finished)]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == (
        "",
        f"{finished}: already finished, 20 of 20 steps; nothing was trained or written\n",
    )
    assert main(["train", "--resume", str(finished), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "done"
    run = tl.load(finished)
    assert tl.train(TINY, path=finished, resume=run) is run
    assert contents(finished) == before


def test_an_unfinished_run_that_is_continued_keeps_what_others_put_there(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(api, "AUTOSAVE_SECONDS", -1.0)
    path = tmp_path / "run"

    def power_cut(trainer):
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(api, "_warn_of_divergence", power_cut)
        patch.setattr(api.Trainer, "done", property(lambda trainer: trainer.step >= 10))
        with pytest.raises(RuntimeError, match="power cut"):
            tl.train(TINY, path=path)
    (path / "notes.txt").write_text("mine")
    assert tl.load(path).status == "unfinished"
    assert main(["train", "--resume", str(path)]) == 0
    assert tl.load(path).status == "done"
    assert (path / "notes.txt").read_text() == "mine"


def test_targets_are_checked_before_training(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(api.Trainer, "advance", lambda *_: pytest.fail("trained first"))
    file = tmp_path / "file"
    file.write_text("mine")
    config = TINY.replace(seed=1)
    for path, said in (
        (file, "is a file, not a run folder"),
        ("/proc/a/b", "/proc"),
        (file / "a", "Not a dir"),
    ):
        with pytest.raises(OSError, match=said):
            tl.train(config, path=path)
        with pytest.raises(OSError, match=said):
            tl.train_many([config, TINY], paths=[tmp_path / "good", path])
    with pytest.raises(ValueError, match=r"run is the path of two runs: each needs its own"):
        tl.train_many([config, TINY], paths=[tmp_path / "run", str(tmp_path / "x" / ".." / "run")])
    with pytest.raises(ValueError, match="the run to resume has other settings"):
        tl.train_many([config], resume=[tl.load(finished)])
    assert file.read_text() == "mine"


def test_how_training_was_watched_does_not_part_rows_and_dashes_have_a_reason(finished, tmp_path, capsys):
    from toylab.experiments.report import make_report

    tl.train(TINY.replace(seed=1), path=tmp_path / "a")
    tl.train(TINY.replace(seed=2, log_every=5, eval_samples=32), path=tmp_path / "b")
    report = make_report(tmp_path)
    assert report.table["seeds"].to_list() == [2]
    assert report.shown == ("dataset", "method", "beta")
    assert main(["report", str(tmp_path)]) == 0
    assert "no run of that setting counts" not in capsys.readouterr().out
    content = json.loads((tmp_path / "b" / "config.json").read_text())
    for name in ("a", "b"):
        (tmp_path / name / "config.json").write_text(json.dumps(content | {"status": "unfinished"}))
    assert main(["report", str(tmp_path)]) == 0
    assert "no run of that setting counts; runs that were stopped (unfinished)" in capsys.readouterr().out
