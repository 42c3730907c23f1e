"""Run folders: what is written comes back, and nothing else is ever replaced or found."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_folders import CONFIG, ENVIRONMENT, history, leftovers, points, write

from toylab.config import Change
from toylab.storage import run_folder
from toylab.storage.provenance import environment
from toylab.storage.run_folder import Header, RunFolderError, folder_digest, is_run, list_runs, read_run


def test_what_is_written_comes_back(tmp_path: Path):
    path = write(tmp_path / "deep" / "run.1")
    run = read_run(path)
    assert run.header.settings == CONFIG
    assert run.environment == ENVIRONMENT
    pd.testing.assert_frame_equal(run.history, history(), check_exact=True)
    np.testing.assert_array_equal(run.generated, points(1), strict=True)
    np.testing.assert_array_equal(run.reference, points(2, 30), strict=True)
    assert run.checkpoint is not None
    assert (run.checkpoint / "arrays" / "0").read_bytes() == b"weights"
    assert sorted(entry.name for entry in path.iterdir()) == [
        "checkpoint",
        "config.json",
        "environment.json",
        "history.csv",
        "samples.npz",
    ]
    header = json.loads((path / "config.json").read_text())
    assert header == {
        "schema": 2,
        "settings": CONFIG,
        "status": "done",
        "step": 0,
        "changes": [],
        "samples": {"nfe": 1, "nonfinite": 0},
        "versions": {"numpy": "2.0"},
        "git": None,
        "checkpoint_sha256": folder_digest(path / "checkpoint"),
    }
    assert leftovers(path.parent) == []


def test_the_header_comes_back(tmp_path: Path):
    header = Header(CONFIG, "diverged", 7, (Change(3, "beta", 0.25), Change(3, "learning_rate", 1e-4)), 32, 5)
    assert read_run(write(tmp_path / "run", header=header)).header == header
    empty = read_run(write(tmp_path / "run", header=header, generated=np.zeros((0, 2))))
    assert empty.generated.shape == (0, 2)


@pytest.mark.parametrize("nested", [True, False])
def test_a_folder_of_version_1_is_read_and_written_anew(tmp_path: Path, nested: bool):
    """Version 1, as released runs have it: settings inside settings, or alone."""
    path = write(tmp_path / "run")
    inner = {"schema": 1, "settings": CONFIG, "status": "diverged", "step": 12} if nested else CONFIG
    (path / "config.json").write_text(
        json.dumps({"schema": 1, "settings": inner, "versions": {}, "git": None})
    )
    header = read_run(path).header
    assert header == (Header(CONFIG, "diverged", 12) if nested else Header(CONFIG))
    write(path)
    assert json.loads((path / "config.json").read_text())["schema"] == 2


def test_float32_columns_keep_their_value(tmp_path: Path):
    table = pd.DataFrame({"loss": np.array([0.1], np.float32)}, pd.Index([0], name="step"))
    assert read_run(write(tmp_path / "run", history=table)).history["loss"][0] == np.float32(0.1)


def test_an_empty_history_and_no_checkpoint(tmp_path: Path):
    empty = history().iloc[:0]
    run = read_run(write(tmp_path / "run", history=empty, write_checkpoint=None))
    pd.testing.assert_frame_equal(run.history, empty)
    assert run.checkpoint is None


def test_a_run_is_replaced_whole(tmp_path: Path):
    path = write(tmp_path / "run")
    write(path, header=Header({"beta": 1.0}), write_checkpoint=None)
    run = read_run(path)
    assert run.header.settings == {"beta": 1.0}
    assert run.checkpoint is None
    assert leftovers(tmp_path) == []


def test_what_others_put_into_a_run_stays(tmp_path: Path):
    path = write(tmp_path / "run")
    (path / "notes.txt").write_text("mine")
    (path / "plots" / "deep").mkdir(parents=True)
    (path / "plots" / "deep" / "a.png").write_bytes(b"png")
    (path / "nowhere").symlink_to(tmp_path / "not there")
    (path / "scores.json").write_text("{}")  # of the run that is replaced: no longer true
    (path / ".notes.0.writing").write_text("half")
    for _ in range(2):
        write(path, header=Header({"beta": 1.0}))
        assert read_run(path).header.settings == {"beta": 1.0}
        assert (path / "notes.txt").read_text() == "mine"
        assert (path / "plots" / "deep" / "a.png").read_bytes() == b"png"
        assert (path / "nowhere").is_symlink()
        assert not (path / "scores.json").exists()
        assert not (path / ".notes.0.writing").exists()


def test_a_target_is_checked_before_there_is_anything_to_write(tmp_path: Path):
    run, file = write(tmp_path / "run"), tmp_path / "file"
    file.write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    for good in (run, tmp_path / "new", tmp_path / "a" / "b" / "c"):
        run_folder.check_target(good)
    for bad, said in (
        (file, f"{file}: is a file, not a run folder"),
        (tmp_path, "not empty and not a run folder; choose another folder"),
        (file / "below", "Not a directory"),
        ("/proc/runs/a", "/proc"),
    ):
        with pytest.raises(OSError, match=said):
            run_folder.check_target(bad)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_is_not_a_run_is_never_replaced(tmp_path: Path):
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    write(foreign)  # empty: fine
    for name, text in (("chapter.tex", "words"), ("config.json", '{"theme": "dark"}'), ("config.json", "{")):
        folder = tmp_path / f"foreign-{len(text)}"
        folder.mkdir()
        (folder / name).write_text(text)
        with pytest.raises(FileExistsError, match="not empty and not a run folder"):
            write(folder)
        assert (folder / name).read_text() == text
    with pytest.raises(FileExistsError, match="is a file"):
        write(foreign / "config.json")


def test_a_link_to_a_run_is_written_through(tmp_path: Path):
    path = write(tmp_path / "run")
    (tmp_path / "latest").symlink_to(path, target_is_directory=True)
    write(tmp_path / "latest", header=Header({"beta": 1.0}))
    assert (tmp_path / "latest").is_symlink()
    assert read_run(path).header.settings == {"beta": 1.0}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"generated": np.array([[1.0, np.nan]])}, "samples.npz: array 'generated' has values that are NaN"),
        ({"generated": np.zeros((3, 1))}, "generated has dimension 1, reference 2"),
        ({"generated": np.array([[{}, {}]])}, "dtype object"),
        ({"reference": np.zeros(3)}, r"shape \(3,\)"),
        ({"history": history().rename(index={25: 5})}, "history.csv: has steps that do not increase"),
        ({"history": history().rename(index={0: -1})}, "not a whole number"),
        ({"history": history().assign(note="text")}, "'note' is not numeric"),
        ({"history": history().rename(columns={"loss": "step"})}, "distinct names"),
        ({"header": Header({"beta": float("nan")})}, "config.json: Out of range float"),
        ({"environment": {"path": Path()}}, "environment.json: Object of type"),
        ({"write_checkpoint": lambda folder: None}, "write_checkpoint created no folder"),
    ],
)
def test_content_that_could_not_be_read_is_not_written(tmp_path: Path, changes: dict, said: str):
    path = write(tmp_path / "run")
    with pytest.raises(ValueError, match=said) as info:
        write(path, **changes)
    assert "\n" not in str(info.value)
    assert ".writing" not in str(info.value)
    assert read_run(path).header.settings == CONFIG
    assert leftovers(tmp_path) == []


# Crashes in the middle of a write.


# Finding runs.


def test_list_runs_finds_runs_below_and_nothing_else(tmp_path: Path):
    wanted = [write(tmp_path / name, write_checkpoint=None) for name in ("b", "a/x", "a/y/z")]
    write(tmp_path / "b" / "inner")  # inside a run: its own business
    (tmp_path / "empty").mkdir()
    for name in (".c.0123abcd.writing", ".b.0123abcd.aside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert list_runs(tmp_path) == sorted(wanted)
    assert list_runs(wanted[0]) == [wanted[0]]
    assert list_runs(tmp_path / "empty") == []
    with pytest.raises(FileNotFoundError, match="no such folder"):
        list_runs(tmp_path / "nowhere")
    assert not is_run(tmp_path)
    assert not is_run(tmp_path / "nowhere")
    with pytest.raises(RunFolderError, match="not a run folder"):
        read_run(tmp_path / "nowhere")


def test_the_environment_names_versions_and_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    outside = environment(tmp_path)
    assert outside["git"] is None
    assert outside["versions"]["numpy"] == np.__version__
    assert "toylab" in outside["versions"]
    assert pd.Timestamp(outside["date"]).utcoffset() == pd.Timedelta(0)
    json.dumps(outside, allow_nan=False)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    try:
        subprocess.run([*git, "init", "-q"], check=True)
    except FileNotFoundError:
        pytest.skip("no git here")
    assert environment(tmp_path)["git"] is None  # no commit yet
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    done = subprocess.run([*git, "log", "-1", "--format=%H"], check=True, capture_output=True, text=True)
    assert environment(tmp_path)["git"] == done.stdout.strip()
    assert environment(tmp_path / "nowhere")["git"] is None


def test_run_folders_are_read_without_jax():
    modules = "toylab.storage.run_folder, toylab.storage.points_file, toylab.metrics"
    script = f"import sys, {modules}; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
