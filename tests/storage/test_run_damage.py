"""Run folders: damage is named, not believed, and cannot do harm."""

import contextlib
import io
import json
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_folders import CONFIG, points, write

from toylab.storage.run_folder import Header, RunFolderError, read_run
from toylab.storage.untrusted import read_array, read_arrays


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
        f"{OTHER} has 10000000000 columns, at most 262144",
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
    "five members": (zipped({f"{k}.npy": b"" for k in range(5)}), "has 5 files, at most 4"),
    "zip bomb": (
        zipped(pair(npy("(9000000, 2)", bytes(72_000_000))), zipfile.ZIP_DEFLATED),
        "unpacks to 72000",
    ),
    "bzip2": (zipped(pair(npy("(2, 2)", bytes(16))), zipfile.ZIP_BZIP2), "neither stored nor deflated"),
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
        (b"[" * 100_000, "nested deeper than 60 levels"),
        (b"\xff\xfe\x00", "not UTF-8"),
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
