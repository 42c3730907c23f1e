"""A user's own points: what is accepted, and one readable line for everything else."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toylab.storage.points_file import MAX_BYTES, parse_points, read_points

POINTS = np.random.default_rng(0).standard_normal((20, 2))


def csv_of(points: np.ndarray, header: str = "") -> bytes:
    return (header + "".join(f"{x!r},{y!r}\n" for x, y in points.tolist())).encode()


def npy_of(points: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, points)
    return buffer.getvalue()


def npz_of(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", csv_of(POINTS)),
        ("a.CSV", csv_of(POINTS, "x,y\n")),
        ("a.csv", b"\xef\xbb\xbf" + csv_of(POINTS)),
        ("a.csv", b"\xef\xbb\xbf" + csv_of(POINTS, "x,y\n").replace(b"\n", b"\r\n") + b"\r\n , \r\n"),
        ("a.csv", csv_of(POINTS).replace(b",", b" , ")),
        ("a.npy", npy_of(POINTS)),
        ("a.npy", npy_of(np.asfortranarray(POINTS))),
        ("a.npz", npz_of(anything=POINTS)),
        ("a.npz", npz_of(points=POINTS, labels=np.zeros((20, 1)))),
    ],
)
def test_good_points_come_back(tmp_path: Path, name: str, data: bytes):
    (tmp_path / name).write_bytes(data)
    np.testing.assert_array_equal(read_points(tmp_path / name), POINTS, strict=True)


def test_whole_numbers_are_points_too():
    grid = np.arange(40).reshape(20, 2)
    for name, data in (("a.npy", npy_of(grid)), ("a.csv", csv_of(grid))):
        np.testing.assert_array_equal(parse_points(data, name), grid.astype(np.float64), strict=True)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.csv", b"", "has 0 points, expected 16 to 20000"),
        ("a.csv", csv_of(POINTS[:15]), "has 15 points, expected 16 to 20000"),
        ("a.csv", b"0,0\n" * 20_001, "more than 20000 points"),
        ("a.csv", csv_of(POINTS) + b"1,2,3\n", "line 21 has 3 columns, expected 2 separated by a comma"),
        (
            "a.csv",
            csv_of(POINTS).replace(b",", b";"),
            "line 1 has 1 column, expected 2 separated by a comma; is the separator a semicolon?",
        ),
        ("a.csv", b"x,y,z\n" + csv_of(POINTS), "line 1 has 3 columns"),
        ("a.csv", csv_of(POINTS) + b"1,left\n", "line 21 has 'left', not a number"),
        ("a.csv", b"1,left\n" + csv_of(POINTS), "line 1 has 'left', not a number"),
        ("a.csv", csv_of(POINTS) + b"1,\n", "line 21 has '', not a number"),
        ("a.csv", csv_of(POINTS) + b"1,nan\n", "point 21 is NaN or infinite"),
        ("a.csv", csv_of(POINTS) + b"1,1e400\n", "point 21 is NaN or infinite"),
        ("a.csv", csv_of(POINTS) + b"1,1e30\n", "coordinate of size 1e+30"),
        ("a.csv", csv_of(POINTS) + b'1,"' + b"9" * 200_000, "not a csv file"),
        ("a.csv", b"\xff\xfe\x00", "is not UTF-8 text"),
        ("a.csv", b" " * (MAX_BYTES + 1), f"is larger than {MAX_BYTES} bytes"),
        ("a.npy", npy_of(POINTS[:, :1]), "has 1 column, expected 2"),
        ("a.npy", npy_of(np.zeros((20, 3))), "has 3 columns, expected 2"),
        ("a.npy", npy_of(np.zeros(20)), "has shape (20,), not (n, dim)"),
        ("a.npy", npy_of(np.zeros((20_001, 2))), "has 20001 rows, at most 20000"),
        ("a.npy", npy_of(np.full((20, 2), np.nan)), "NaN or infinite"),
        (
            "a.npy",
            npy_of(np.array([[{}, {}]] * 20)),
            "has dtype object, not one of: integers, unsigned integers, float",
        ),
        ("a.npy", npy_of(np.array([["a", "b"]] * 20)), "has dtype <U1, not one of"),
        ("a.npy", npy_of(POINTS)[:-1], "claims 320 bytes of data, the file has 319"),
        ("a.npy", b"words", "magic"),
        ("a.npz", npz_of(a=POINTS, b=POINTS), "has arrays a, b; one of them must be called 'points'"),
        ("a.npz", npz_of(), "has arrays none"),
        ("a.npz", npz_of(a=np.zeros((200_000, 2), np.float32), b=np.zeros((400_000, 2))), "unpacks to 8000"),
        ("a.npz", b"words", "not a zip file"),
        ("a.pkl", b"", "unknown file type 'pkl'; choices: csv, npy, npz"),
        ("csv", csv_of(POINTS), "unknown file type ''"),
    ],
)
def test_a_bad_file_gets_one_line_that_names_it(tmp_path: Path, name: str, data: bytes, said: str):
    path = tmp_path / name
    path.write_bytes(data)
    for read in (lambda: read_points(path), lambda: parse_points(data, name)):
        with pytest.raises(ValueError) as info:
            read()
        message = str(info.value)
        assert message.startswith((f"{name}: ", f"{tmp_path / name}: "))
        assert said in message
        assert "\n" not in message


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"no\.csv: no such file"):
        read_points(tmp_path / "no.csv")
    with pytest.raises(ValueError, match="no such file"):
        read_points(tmp_path)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.binary(max_size=200), name=st.sampled_from(["a.csv", "a.npy", "a.npz"]))
def test_any_bytes_give_points_or_a_value_error(data: bytes, name: str):
    with contextlib.suppress(ValueError):
        assert np.isfinite(parse_points(data + csv_of(POINTS), name)).all()
