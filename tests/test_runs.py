"""Run folders: what is written comes back, a crash loses nothing, and damage is named, not believed."""

import contextlib
import io
import json
import os
import struct
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toylab import atomic, runs
from toylab.config import Change
from toylab.digest import folder_digest
from toylab.header import Header
from toylab.runs import RunFolderError, is_run, list_runs, read_run, write_run
from toylab.safe_npz import read_array, read_arrays

CONFIG = {"dataset": "two_moons", "beta": 0.5, "dataset_options": {"std": 0.1}, "seed": 3}
ENVIRONMENT = {"python": "3.12", "versions": {"numpy": "2.0"}, "git": None}


def history() -> pd.DataFrame:
    index = pd.Index([0, 10, 25], name="step")
    return pd.DataFrame({"loss": [1 / 3, 0.1, 1e-300], "sw1": [0.5, np.nan, np.inf]}, index)


def points(seed: int, n: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 2)).astype(np.float32)


def checkpoint(folder: Path) -> None:
    (folder / "arrays").mkdir(parents=True)
    (folder / "arrays" / "0").write_bytes(b"weights")


def write(path: Path, **changes: Any) -> Path:
    content = {
        "header": Header(CONFIG),
        "history": history(),
        "generated": points(1),
        "reference": points(2, 30),
        "environment": ENVIRONMENT,
        "write_checkpoint": checkpoint,
    }
    return write_run(path, **(content | changes))


def leftovers(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if atomic.is_temporary(entry.name)]


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
        runs.check_target(good)
    for bad, said in (
        (file, f"{file}: is a file, not a run folder"),
        (tmp_path, "holds something else than a run"),
        (file / "below", "Not a directory"),
        ("/proc/runs/a", "/proc"),
    ):
        with pytest.raises(OSError, match=said):
            runs.check_target(bad)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_is_not_a_run_is_never_replaced(tmp_path: Path):
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    write(foreign)  # empty: fine
    for name, text in (("chapter.tex", "words"), ("config.json", '{"theme": "dark"}'), ("config.json", "{")):
        folder = tmp_path / f"foreign-{len(text)}"
        folder.mkdir()
        (folder / name).write_text(text)
        with pytest.raises(FileExistsError, match="something else than a run"):
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
        ({"write_checkpoint": lambda folder: None}, "made no folder"),
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
        monkeypatch.setattr(runs, stage, crash)
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
from toylab import atomic, runs
from toylab.config import Change
from toylab.digest import folder_digest
from toylab.header import Header
calls, rename = [], os.rename
def kill(*args):
    calls.append(args)
    if len(calls) == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(*args)
os.rename = kill
atomic._delete_aside = lambda path: kill(path, path)
old = runs.read_run(Path(sys.argv[1]))
runs.write_run(old.path, header=runs.Header({{"beta": 9}}), history=old.history, generated=old.generated,
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
    path, read = write(tmp_path / "run"), runs.read_history
    table = history().assign(loss=7.0)
    if from_aside:  # the moment between the two renames
        path.rename(tmp_path / f".run.0123abcd{atomic.ASIDE}")

    def meet(file: Path):
        monkeypatch.undo()
        write(path, header=Header({"beta": 7.0}), history=table)
        if broken:
            raise FileNotFoundError("no such file")
        return read(path / file.name)

    monkeypatch.setattr(runs, "read_history", meet)
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


# Damage.


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def npy(shape: str, data: bytes = b"", descr: str = "'<f4'", order: str = "False") -> bytes:
    """A .npy whose header says what it is told to say."""
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def pair(generated: bytes) -> dict[str, bytes]:
    return {"generated.npy": generated, "reference.npy": npy("(2, 2)", bytes(16))}


class Pickled:
    """Unpickling this makes a folder: a test would see it."""

    def __reduce__(self):
        return (os.mkdir, ("unpickled",))


OTHER = "array 'generated'"
DAMAGED_SAMPLES = {
    "truncated": (npz(generated=points(1), reference=points(2))[:-90], "zip"),
    "not a zip": (b"generated,reference", "zip"),
    "empty": (b"", "zip"),
    "pickle": (npz(generated=np.array([[Pickled()]]), reference=points(2)), f"{OTHER} has dtype object"),
    "lying header": (zipped(pair(npy("(10000000000, 2)"))), f"{OTHER} has 10000000000 rows"),
    "lying columns": (
        zipped(pair(npy("(2, 10000000000)"))),
        f"{OTHER} claims 80000000000 bytes of data, the file",
    ),
    "negative shape": (zipped(pair(npy("(-2, -2)", bytes(16)))), f"{OTHER} has shape"),
    "short data": (
        zipped(pair(npy("(2, 2)", bytes(12)))),
        f"{OTHER} claims 16 bytes of data, the file has 12",
    ),
    "long data": (
        zipped(pair(npy("(2, 2)", bytes(20)))),
        f"{OTHER} claims 16 bytes of data, the file has 20",
    ),
    "code in header": (zipped(pair(npy("__import__('os').mkdir('unpickled')"))), "malformed"),
    "no header": (zipped(pair(b"words")), "magic"),
    "structured": (zipped(pair(npy("(2, 2)", bytes(16), "[('a', '<f4')]"))), f"{OTHER} has dtype"),
    "complex": (npz(generated=points(1) + 1j, reference=points(2)), f"{OTHER} has dtype complex64"),
    "whole numbers": (npz(generated=np.ones((2, 2), int), reference=points(2)), f"{OTHER} has dtype int64"),
    "one axis": (npz(generated=np.zeros(4), reference=points(2)), f"{OTHER} has shape (4,)"),
    "no rows": (npz(generated=np.zeros((0, 2)), reference=points(2)), "has no samples"),
    "no reference rows": (npz(generated=points(1), reference=np.zeros((0, 2))), "'reference' has no rows"),
    "no columns": (npz(generated=np.zeros((2, 0)), reference=points(2)), f"{OTHER} has shape (2, 0)"),
    "nan": (
        npz(generated=np.array([[0.0, np.nan]]), reference=points(2)),
        f"{OTHER} has values that are NaN",
    ),
    "inf": (
        npz(generated=np.array([[0.0, -np.inf]]), reference=points(2)),
        f"{OTHER} has values that are NaN",
    ),
    "dimensions differ": (npz(generated=np.zeros((2, 3)), reference=points(2)), "generated has dimension 3"),
    "no reference": (npz(generated=points(1)), "has no array 'reference', only: generated"),
    "five members": (zipped({f"{k}.npy": b"" for k in range(5)}), "has 5 members, at most 4"),
    "zip bomb": (
        zipped(pair(npy("(9000000, 2)", bytes(72_000_000))), zipfile.ZIP_DEFLATED),
        "unpacks to 72000",
    ),
    "bzip2": (zipped(pair(npy("(2, 2)", bytes(16))), zipfile.ZIP_BZIP2), "not write"),
    "other members": (zipped(pair(npy("(2, 2)", bytes(16))) | {"run.sh": b"rm"}), "not distinct .npy"),
}


@pytest.mark.parametrize("name", DAMAGED_SAMPLES)
def test_damaged_samples_are_named_not_believed(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    data, said = DAMAGED_SAMPLES[name]
    refused(write(tmp_path / "run"), "samples.npz", data, said)
    assert not Path("unpickled").exists()


DAMAGED_HISTORIES = {
    "text": (b"step,loss\n0,1\n1,high\n", "high"),
    "missing cell": (b"step,loss,sw1\n0,1,2\n1,2\n", "column"),
    "extra cell": (b"step,loss\n0,1,2\n", "3 columns of numbers under 2 names"),
    "blank cell": (b"step,loss\n0,\n", "convert"),
    "same step": (b"step,loss\n3,1\n3,1\n", "do not increase"),
    "back": (b"step,loss\n3,1\n2,1\n", "do not increase"),
    "half step": (b"step,loss\n0.5,1\n", "whole number"),
    "nan step": (b"step,loss\nnan,1\n", "whole number"),
    "negative step": (b"step,loss\n-1,1\n", "whole number"),
    "no step": (b"loss,sw1\n0,1\n", "starts with step"),
    "twice": (b"step,loss,loss\n0,1,1\n", "distinct names"),
    "empty": (b"", "starts with step"),
    "binary": (b"step,loss\n\xff\xfe\n", "decode"),
    "comment": (b"step,loss\n0,1 # fine\n", "convert"),
}


@pytest.mark.parametrize("name", DAMAGED_HISTORIES)
def test_a_damaged_history_is_named(tmp_path: Path, name: str):
    refused(write(tmp_path / "run"), "history.csv", *DAMAGED_HISTORIES[name])


def header_with(**changes: Any) -> bytes:
    return json.dumps(Header(CONFIG).to_json() | changes).encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "Expecting"),
        (b"[]", "not a JSON object"),
        (b"", "Expecting"),
        (b'{"schema": NaN}', "NaN, which is not JSON"),
        (b"[" * 100_000, "recursion"),
        (b"\xff\xfe\x00", "decode"),
        (b" " * (4 * 2**20 + 1), "larger than 4194304"),
        (b"{}", "schema None is unknown; known: 1, 2"),
        (b'{"schema": 99, "settings": {}}', "schema 99 is unknown"),
        (b'{"schema": 1, "settings": []}', "no settings"),
        (b'{"schema": 2, "settings": []}', "no settings"),
        (header_with(status="fine"), "status must be one of done, diverged, unfinished, got 'fine'"),
        (header_with(step=-1), "step must be a whole number >= 0, got -1"),
        (header_with(changes=[[1, "beta"]]), "a change must be [step, name, value]"),
        (header_with(changes=[[1, "beta", "much"]]), "the changed value of 'beta' must be a number"),
        (header_with(changes=[[0.5, "beta", 1]]), "the step of a change must be a whole number"),
        (header_with(samples=None), "has no samples"),
        (header_with(samples={"nfe": 1}), "nonfinite must be a whole number"),
    ],
)
def test_a_damaged_config_is_named(tmp_path: Path, data: bytes, said: str):
    refused(write(tmp_path / "run"), "config.json", data, said)


@pytest.mark.parametrize("name", ["history.csv", "samples.npz", "environment.json", "config.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str):
    path = write(tmp_path / "run")
    (path / name).unlink()
    with pytest.raises(RunFolderError, match=name):
        read_run(path)
    (path / name).mkdir()
    with pytest.raises(RunFolderError, match=name):
        read_run(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_block_the_reader(tmp_path: Path):
    path = write(tmp_path / "run")
    (path / "history.csv").unlink()
    os.mkfifo(path / "history.csv")
    with pytest.raises(RunFolderError, match=r"history.csv: no such file"):
        read_run(path)


def refused(path: Path, name: str, data: bytes, said: str) -> None:
    (path / name).write_bytes(data)
    with pytest.raises(RunFolderError) as info:
        read_run(path)
    message = str(info.value)
    assert message.startswith(f"{path / name}: ")
    assert said in message
    assert "\n" not in message


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_flipped_bytes_give_an_array_or_a_value_error(data: st.DataObject):
    content = bytearray(npz(a=points(1, 5)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        assert all(np.isfinite(array).all() for array in read_arrays(bytes(content)).values())
    with contextlib.suppress(ValueError):
        assert np.isfinite(read_array(bytes(content[37:]))).all()


def test_a_member_that_lies_about_its_size_is_not_unpacked():
    content = bytearray(zipped({"a.npy": npy("(2, 2)", bytes(50_000_000))}, zipfile.ZIP_DEFLATED))
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 1000)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="CRC"):
            read_arrays(bytes(content))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_arrays_come_back_in_any_order_and_byte_order():
    table = np.arange(12.0).reshape(4, 3)
    arrays = read_arrays(
        npz(f=np.asfortranarray(table), big=table.astype(">f4"), half=table.astype(np.float16))
    )
    for name, precision in (("f", np.float64), ("big", np.float32), ("half", np.float32)):
        np.testing.assert_array_equal(arrays[name], table.astype(precision), strict=True)
        assert arrays[name].flags.writeable
    np.testing.assert_array_equal(read_arrays(npz(a=np.ones((2, 2), int)), kinds="iuf")["a"], np.ones((2, 2)))


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
    outside = runs.environment(tmp_path)
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
    assert runs.environment(tmp_path)["git"] is None  # no commit yet
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    done = subprocess.run([*git, "log", "-1", "--format=%H"], check=True, capture_output=True, text=True)
    assert runs.environment(tmp_path)["git"] == done.stdout.strip()
    assert runs.environment(tmp_path / "nowhere")["git"] is None


def test_run_folders_are_read_without_jax():
    script = "import sys, toylab.runs, toylab.pointsfile, toylab.metrics; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
