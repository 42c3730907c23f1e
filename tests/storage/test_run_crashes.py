"""Run folders: a crash, a full disk or a reader at the wrong moment loses nothing."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_folders import CONFIG, history, leftovers, write

from toylab.storage import atomic, run_folder
from toylab.storage.run_folder import Header, is_run, list_runs, read_run


class Crash(BaseException):
    """Not an Exception: what a kill looks like to code that catches too much."""


@pytest.mark.parametrize("stage", ["history_text", "samples_bytes", "_json_or_error", "checkpoint"])
def test_an_exception_at_any_stage_keeps_the_old_run(
    tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch
):
    path = write(tmp_path / "run")

    def crash(*args):
        raise Crash

    if stage != "checkpoint":
        monkeypatch.setattr(run_folder, stage, crash)
    with pytest.raises(Crash):
        write(path, header=Header({"beta": 1.0}), write_checkpoint=crash)
    assert read_run(path).header.settings == CONFIG
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("failing", [{1}, {2}, {2, 3}], ids=["old aside", "new in", "new in and old back"])
def test_a_rename_that_fails_keeps_the_old_run(tmp_path: Path, failing: set, monkeypatch: pytest.MonkeyPatch):
    path, calls, rename = write(tmp_path / "run"), [], os.rename

    def fail(source, target):
        calls.append(target)
        if len(calls) in failing:
            raise OSError("disk full")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="disk full"):
        write(path, header=Header({"beta": 1.0}))
    monkeypatch.undo()
    assert read_run(path).header.settings == CONFIG
    assert list_runs(tmp_path) == [path]
    assert path.exists() == (failing != {2, 3})
    # And the next write goes on from there.
    write(path, header=Header({"beta": 2.0}))
    assert read_run(path).header.settings == {"beta": 2.0}
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_process_killed_between_the_renames_loses_nothing(tmp_path: Path, call: int):
    """A real kill: no handler runs. Before the first rename, before the second, before the old is deleted."""
    path = write(tmp_path / "run.a", write_checkpoint=None)
    script = f"""
import os, shutil, signal, sys
from pathlib import Path
import pandas as pd
from toylab.storage import atomic, run_folder
from toylab.config import Change
from toylab.storage.run_folder import folder_digest
from toylab.storage.run_folder import Header
calls, rename = [], os.rename
def kill(*args):
    calls.append(args)
    if len(calls) == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(*args)
os.rename = kill
atomic._delete_aside = lambda path: kill(path, path)
old = run_folder.read_run(Path(sys.argv[1]))
run_folder.write_run(old.path, header=run_folder.Header({{"beta": 9}}), history=old.history, generated=old.generated,
               reference=old.reference, environment={{}})
"""
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    assert read_run(path).header.settings == (CONFIG if call < 3 else {"beta": 9})
    assert is_run(path)
    assert list_runs(tmp_path) == [path]
    write(path, header=Header({"beta": 2.0}))
    assert read_run(path).header.settings == {"beta": 2.0}
    assert not [name for name in leftovers(tmp_path) if name.endswith(atomic.ASIDE)]


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("from_aside", [False, True])
def test_a_read_that_meets_a_replacement_starts_again(
    tmp_path: Path, from_aside: bool, broken: bool, monkeypatch: pytest.MonkeyPatch
):
    path, read = write(tmp_path / "run"), run_folder.read_history
    table = history().assign(loss=7.0)
    if from_aside:  # the moment between the two renames
        path.rename(tmp_path / f".run.0123abcd{atomic.ASIDE}")

    def meet(file: Path):
        monkeypatch.undo()
        write(path, header=Header({"beta": 7.0}), history=table)
        if broken:
            raise FileNotFoundError("no such file")
        return read(path / file.name)

    monkeypatch.setattr(run_folder, "read_history", meet)
    run = read_run(path)
    assert run.header.settings == {"beta": 7.0}
    assert run.history["loss"][0] == 7


def test_a_reader_never_sees_a_part_while_a_writer_replaces(tmp_path: Path):
    path = tmp_path / "run"

    def write_number(k: int) -> None:
        table = pd.DataFrame({"k": [float(k)]}, pd.Index([0], name="step"))
        write(
            path,
            header=Header({"k": k}),
            history=table,
            generated=np.full((4, 2), float(k)),
            write_checkpoint=None,
        )

    write_number(0)
    writer = threading.Thread(target=lambda: [write_number(k) for k in range(1, 20)])
    writer.start()
    while writer.is_alive():
        run = read_run(path)
        assert run.header.settings["k"] == run.history["k"][0] == run.generated[0, 0]
    writer.join()
    assert read_run(path).header.settings == {"k": 19}


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "claims.json"
    atomic.atomic_write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        atomic.atomic_write_json(path, {"a": float("inf")})

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        atomic.atomic_write_text(path, "other")
    assert json.loads(path.read_text()) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["claims.json"]
