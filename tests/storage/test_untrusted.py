"""Files from outside: every bound holds before anything is parsed, unpacked or allocated."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from toylab.storage import untrusted


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 100_000, "nested deeper than 60 levels"),
        (b'{"a": ' * 61 + b"1" + b"}" * 61, "nested deeper than 60 levels"),
        (b"1" * 41, "a whole number of 41 digits, at most 40 are read"),
        (b'{"a": -Infinity}', "holds -Infinity, which is not JSON"),
        (b"\xff", "is not UTF-8 text"),
        (b"{", "is not JSON: "),
        (b" " * 101, "is larger than 100 bytes"),
    ],
)
def test_a_bad_json_is_one_line(content, said):
    with pytest.raises(ValueError, match=said) as caught:
        untrusted.parse_json(content, 100 if content.isspace() else 2**20)
    assert "\n" not in str(caught.value)


def test_json_and_toml_give_their_values(tmp_path):
    assert untrusted.parse_json(b'{"a": [1, -2.5, null], "b": 12345678901234567890}') == {
        "a": [1, -2.5, None],
        "b": 12345678901234567890,
    }
    with pytest.raises(ValueError, match="is not a JSON object"):
        untrusted.parse_json_object(b"[]")
    path = tmp_path / "a.toml"
    path.write_text("a = [[1.0, 2.0], [3.0, 4.0]]\n")
    assert untrusted.read_toml(path, 100) == {"a": [[1.0, 2.0], [3.0, 4.0]]}
    path.write_text("a = " + "[" * 500 + "]" * 500)
    with pytest.raises(ValueError, match="nested deeper"):
        untrusted.read_toml(path, 2000)


def unzip(content: bytes, target, **bounds):
    limits = {"max_files": 4, "max_bytes": 1000} | bounds
    untrusted.unzip_folder(content, target, "config.json", ("config.json", "checkpoint"), **limits)


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_a_zip_gives_the_wanted_files_of_the_one_folder(tmp_path):
    members = {"r/config.json": b"{}", "r/checkpoint/0": b"x", "r/notes.txt": b"mine", "other.txt": b"y"}
    unzip(zipped(members), tmp_path / "run")
    found = sorted(path.relative_to(tmp_path).as_posix() for path in (tmp_path).rglob("*") if path.is_file())
    assert found == ["run/checkpoint/0", "run/config.json"]
    for bound, said in (
        ({"max_files": 3}, "has 4 files, at most 3"),
        ({"max_bytes": 7}, "unpacks to 8 bytes"),
    ):
        with pytest.raises(ValueError, match=said):
            unzip(zipped(members), tmp_path / "again", **bound)
    assert not (tmp_path / "again").exists()


def test_a_wide_array_is_refused_before_it_is_unpacked():
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4000000), }".ljust(117) + b"\n"
    content = zipped(
        {"a.npy": b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64_000_000)}
    )
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="has 4000000 columns, at most 262144 are read"):
            untrusted.read_arrays(content, max_bytes=2**27)
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    finally:
        tracemalloc.stop()


def test_an_array_of_images_is_within_the_bound():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros((2, 256 * 256 * 3), np.float32))
    assert untrusted.read_arrays(buffer.getvalue())["a"].shape == (2, 196_608)
