"""Reader of files from outside: bytes, JSON, TOML, zip archives and NumPy arrays. No jax, no pickle.

Every size is checked before anything of that size is unpacked or allocated: a small zip can unpack to gigabytes, a
header of a few bytes can claim an array of as much, and deep brackets overflow the parser's stack. Damage of any kind
raises a ValueError whose message is one line; the caller puts the name of the file before it.
"""

import io
import json
import math
import os
import re
import stat
import struct
import tokenize
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float

MAX_COORDINATE = 1e15
"""Beyond this a point is no data and a sample has diverged: squares of float32 coordinates would overflow."""

MAX_JSON_BYTES = 4 * 2**20
MAX_DEPTH = 60
"""Nested brackets of a JSON or TOML file; Python's parsers recurse once per level."""
MAX_KEY_PARTS = 60
"""Parts of a dotted key in a TOML file."""
_TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"
# A string on one line. Both patterns take linear time: they cannot match one text in two ways.
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*+"')
_DOTTED_KEY = re.compile(rf'(?<![\w\-".])(?:[\w-]*+(?:"")?+\.){{{MAX_KEY_PARTS},}}')
MAX_DIGITS = 40
"""Digits of a whole number in a JSON file: one of 400 digits cannot be converted to a float."""
MAX_ARRAYS = 4
MAX_COLUMNS = 2**18
"""Columns of an array: an image of 256 x 256 x 3 has 196,608."""
MAX_HEADER_BYTES = 4096
"""Header of an npy array: NumPy writes less than 200 bytes for a plain dtype."""
_KINDS = {"f": "float16 to float64", "i": "integers", "u": "unsigned integers"}
# What a damaged or hostile file makes zipfile and NumPy raise.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, ValueError, EOFError, OSError,
    RuntimeError, SyntaxError, TypeError, KeyError, IndexError, AttributeError, OverflowError, MemoryError,
)  # fmt: skip
_PART = re.compile(r"[A-Za-z0-9_.\-]{1,100}")


# Bytes and text.


def read_bytes(path: str | os.PathLike, max_bytes: int) -> bytes:
    """The content of a regular file of at most ``max_bytes``.

    Raises:
        FileNotFoundError: no regular file there (a pipe or a device would block).
        ValueError: too large.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError("no such file")
    with open(path, "rb") as stream:
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"is larger than {max_bytes} bytes")
    return data


def one_line(error: BaseException) -> str:
    """The message of ``error`` as one line of at most 400 characters, or its class where it has none."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        # Without [Errno 13] and the path: the caller names the file.
        text = error.strerror
    text = " ".join(text.split()) or type(error).__name__
    # Both ends: a long path comes first, and the reason last.
    return text if len(text) <= 400 else f"{text[:150]} ... {text[-245:]}"


def with_place(error: BaseException) -> str:
    """`one_line`, after the file that the operating system names, where the caller does not name it."""
    place = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    return place + one_line(error)


def named(name: str, read: Callable[..., Any], *arguments: Any) -> Any:
    """``read(*arguments)``; errors of a bad file become a ValueError that begins with ``name``.

    Raises:
        ValueError: the file is missing, unreadable or refused; one line.
    """
    try:
        return read(*arguments)
    except (ValueError, OSError, RecursionError) as error:
        raise ValueError(f"{name}: {one_line(error)}") from None


# JSON and TOML.


def parse_json(content: bytes, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """The value of a JSON text, strictly: NaN, Infinity and whole numbers of more than `MAX_DIGITS` are refused.

    Raises:
        ValueError: too large, nested too deeply, or not JSON.
    """
    if len(content) > max_bytes:
        raise ValueError(f"is larger than {max_bytes} bytes")
    text = _checked_text(content)
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_int=_parse_int)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error}") from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def parse_json_object(content: bytes, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """`parse_json` of a text that holds an object; raises ValueError for another value too."""
    value = parse_json(content, max_bytes)
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    return value


def read_json(path: str | os.PathLike, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """The value of a JSON file; raises as `read_bytes` and `parse_json`."""
    return parse_json(read_bytes(path, max_bytes), max_bytes)


def read_toml(path: str | os.PathLike, max_bytes: int) -> dict[str, Any]:
    """The table of a TOML file; raises as `read_bytes`, and ValueError where it is nested too deeply or not TOML."""
    text = _checked_text(read_bytes(path, max_bytes))
    # tomllib keeps every prefix of a dotted key: its memory grows with the square of the parts.
    if _DOTTED_KEY.search(re.sub(r"[ \t]", "", _STRING.sub('""', text))):
        raise ValueError(f"has a key of more than {MAX_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def _checked_text(content: bytes) -> str:
    """UTF-8 text whose brackets are not nested deeper than `MAX_DEPTH`.

    Checked before a parser sees it: a RecursionError may leave the C stack of a parser damaged. Brackets in strings do
    not count, in either direction.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    codes = np.frombuffer(_STRING.sub('""', text).encode("utf-8"), np.uint8)
    opened = np.isin(codes, np.frombuffer(b"[{", np.uint8)).astype(np.int32)
    closed = np.isin(codes, np.frombuffer(b"]}", np.uint8)).astype(np.int32)
    if int(np.cumsum(opened - closed).max(initial=0)) > MAX_DEPTH:
        raise ValueError(_TOO_DEEP)
    return text


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"holds {constant}, which is not JSON")


def _parse_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"holds a whole number of {len(digits)} digits, at most {MAX_DIGITS} are read")
    return int(digits)


# Zip archives of folders.


def unzip_folder(
    content: bytes, target: Path, marker: str, wanted: Sequence[str], *, max_files: int, max_bytes: int
) -> None:
    """Unpack the one folder in a zip that holds the file ``marker`` into ``target``.

    Args:
        content: of the zip.
        target: folder to write into; made where there is none.
        marker: name of the file that identifies the folder.
        wanted: names of files and folders in it; all others are left out.
        max_files: bound on the files of the zip.
        max_bytes: bound on what the zip unpacks to.

    Raises:
        ValueError: not a zip, one that exceeds a bound, holds a path that leads elsewhere, a link or a name twice, or
            not exactly one such folder.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = _folder_members(archive, max_files, max_bytes)
            root = _root(members, marker)
            for place, info in members.items():
                if not place.is_relative_to(root) or place == root:
                    continue
                inner = place.relative_to(root)
                if inner.parts[0] not in wanted:
                    continue
                path = target.joinpath(*inner.parts)
                path.parent.mkdir(parents=True, exist_ok=True)
                # Never read() without a size: it would unpack a stream whose declared size is a lie.
                with archive.open(info) as stream:
                    path.write_bytes(stream.read(info.file_size))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"not a readable zip: {one_line(error)}") from None
    except ValueError:
        raise
    except Exception as error:  # zlib.error and what else a damaged stream makes zipfile raise
        raise ValueError(f"not a readable zip: {one_line(error)}") from None


def _checked_infos(archive: zipfile.ZipFile, max_files: int, max_bytes: int) -> list[zipfile.ZipInfo]:
    """The files of a zip, whose number, sizes and compression are within bounds; nothing is unpacked."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > max_files:
        raise ValueError(f"the zip has {len(infos)} files, at most {max_files} are read")
    if (size := sum(info.file_size for info in infos)) > max_bytes:
        raise ValueError(f"the zip unpacks to {size} bytes, at most {max_bytes} are read")
    for info in infos:
        # zipfile bounds what deflate may unpack in one go, but not bz2 and lzma.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{info.filename[:60]!r} in the zip is neither stored nor deflated")
    return infos


def _folder_members(
    archive: zipfile.ZipFile, max_files: int, max_bytes: int
) -> dict[PurePosixPath, zipfile.ZipInfo]:
    members: dict[PurePosixPath, zipfile.ZipInfo] = {}
    folded: set[str] = set()
    for info in _checked_infos(archive, max_files, max_bytes):
        name, parts = info.filename, info.filename.split("/")
        if any(not _PART.fullmatch(part) or part in (".", "..") for part in parts):
            raise ValueError(f"the zip holds the path {name[:60]!r}, which does not belong to a run folder")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise ValueError(f"{name[:60]!r} in the zip is not a plain file")
        # Some file systems ignore case: the second would overwrite the first.
        if name.lower() in folded:
            raise ValueError(f"{name[:60]!r} is in the zip twice")
        folded.add(name.lower())
        members[PurePosixPath(name)] = info
    return members


def _root(members: Mapping[PurePosixPath, zipfile.ZipInfo], marker: str) -> PurePosixPath:
    roots = [place.parent for place in members if place.name == marker]
    if not roots:
        raise ValueError(f"the zip holds no run folder (no {marker})")
    if len(roots) > 1:
        raise ValueError(f"the zip holds {len(roots)} run folders, one zip has one")
    return roots[0]


# NumPy arrays.


def read_arrays(
    source: str | os.PathLike | bytes,
    *,
    names: Sequence[str] | None = None,
    max_bytes: int = 64 * 2**20,
    max_rows: int = 1_000_000,
    kinds: str = "f",
    min_rows: int = 1,
) -> dict[str, Float[np.ndarray, "n dim"]]:
    """The arrays of an npz file, each two-dimensional and finite.

    Args:
        source: a path, or the content itself.
        names: the arrays to read, all of which must be there; None for all of them.
        max_bytes: bound on the file and on what it unpacks to.
        max_rows: bound on the rows of each array.
        kinds: allowed dtypes: ``"f"``, or ``"iuf"`` to take whole numbers too; as float32 or float64.
        min_rows: least rows of each array, 0 or 1.

    Raises:
        ValueError: anything else than that; one line that says what.
        FileNotFoundError: no such file.
    """

    def read(archive: zipfile.ZipFile) -> dict[str, Float[np.ndarray, "n dim"]]:
        members = _array_members(archive, MAX_ARRAYS, max_bytes)
        wanted = sorted(members) if names is None else list(names)
        if missing := [name for name in wanted if name not in members]:
            raise ValueError(f"has no array {missing[0]!r}, only: {', '.join(sorted(members)) or 'none'}")
        check = _table_check(max_rows, min_rows)
        return {
            name: _read_member(archive, members[name], f"array {name!r}", kinds, check) for name in wanted
        }

    return _in_archive(source, max_bytes, read)


def read_layout(
    source: str | os.PathLike | bytes, layout: Mapping[str, tuple[int, ...]], *, max_bytes: int
) -> dict[str, Float[np.ndarray, "..."]]:
    """The arrays of an npz file that must be exactly those of ``layout``: name -> shape; finite floats.

    Raises:
        ValueError: another array, a missing one, another shape or dtype, or anything damaged; one line that says what.
        FileNotFoundError: no such file.
    """

    def read(archive: zipfile.ZipFile) -> dict[str, Float[np.ndarray, "..."]]:
        members = _array_members(archive, len(layout), max_bytes)
        if missing := sorted(set(layout) - set(members)):
            raise ValueError(f"has no array {missing[0]!r}, one of the {len(layout)} it must have")
        if foreign := sorted(set(members) - set(layout)):
            raise ValueError(f"has an array {foreign[0]!r}, which is none of the {len(layout)} it must have")
        return {
            name: _read_member(archive, members[name], f"array {name!r}", "f", _shape_check(shape))
            for name, shape in layout.items()
        }

    return _in_archive(source, max_bytes, read)


def read_array(data: bytes, *, max_rows: int = 1_000_000, kinds: str = "f") -> Float[np.ndarray, "n dim"]:
    """The array of an npy file given as bytes; checks and errors as in ``read_arrays``."""
    try:
        return _read_npy(io.BytesIO(data), len(data), "the array", kinds, _table_check(max_rows, 1))
    except _DAMAGE as error:
        raise ValueError(one_line(error)) from None


ShapeCheck = Callable[[str, tuple[int, ...]], None]


def _in_archive(
    source: str | os.PathLike | bytes,
    max_bytes: int,
    read: Callable[[zipfile.ZipFile], dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    data = source if isinstance(source, bytes) else read_bytes(source, max_bytes)
    if len(data) > max_bytes:
        raise ValueError(f"has {len(data)} bytes, at most {max_bytes} are read")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return read(archive)
    except _DAMAGE as error:
        raise ValueError(one_line(error)) from None


def _array_members(archive: zipfile.ZipFile, max_arrays: int, max_bytes: int) -> dict[str, zipfile.ZipInfo]:
    infos = _checked_infos(archive, max_arrays, max_bytes)
    members = {info.filename.removesuffix(".npy"): info for info in infos if info.filename.endswith(".npy")}
    if len(members) != len(archive.infolist()):
        raise ValueError("has members that are not distinct .npy arrays")
    return members


def _table_check(max_rows: int, min_rows: int) -> ShapeCheck:
    def check(what: str, shape: tuple[int, ...]) -> None:
        if len(shape) != 2 or shape[0] < min_rows or shape[1] < 1:
            raise ValueError(f"{what} has shape {shape}, not (n, dim)")
        if shape[0] > max_rows:
            raise ValueError(f"{what} has {shape[0]} rows, at most {max_rows} are read")
        if shape[1] > MAX_COLUMNS:
            raise ValueError(f"{what} has {shape[1]} columns, at most {MAX_COLUMNS} are read")

    return check


def _shape_check(expected: tuple[int, ...]) -> ShapeCheck:
    def check(what: str, shape: tuple[int, ...]) -> None:
        if shape != expected:
            raise ValueError(f"{what} has shape {shape}, not {expected}")

    return check


def _read_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, what: str, kinds: str, check: ShapeCheck
) -> Float[np.ndarray, "..."]:
    with archive.open(info) as stream:
        return _read_npy(stream, info.file_size, what, kinds, check)


def _read_npy(stream: Any, size: int, what: str, kinds: str, check: ShapeCheck) -> Float[np.ndarray, "..."]:
    """The array of an npy stream of ``size`` bytes; dtype, shape and size are checked before the data are read."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        header = np.lib.format.read_array_header_1_0(stream, MAX_HEADER_BYTES)
    elif version == (2, 0):
        header = np.lib.format.read_array_header_2_0(stream, MAX_HEADER_BYTES)
    else:
        raise ValueError(f"{what} has npy version {version}, not 1.0 or 2.0")
    shape, fortran_order, dtype = header
    if dtype.hasobject or dtype.kind not in kinds or dtype.itemsize > 8:
        raise ValueError(f"{what} has dtype {dtype}, not one of: {', '.join(_KINDS[kind] for kind in kinds)}")
    check(what, shape)
    num_bytes, left = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if num_bytes != left:
        raise ValueError(f"{what} claims {num_bytes} bytes of data, the file has {left}")
    # Never read() without a size: it would unpack a stream whose declared size is a lie.
    values = stream.read(num_bytes)
    if len(values) != num_bytes:
        raise ValueError(f"{what} claims {num_bytes} bytes of data, the file has {len(values)}")
    raw = np.frombuffer(values, dtype).reshape(shape, order="F" if fortran_order else "C")
    precision = np.float32 if dtype.kind == "f" and dtype.itemsize <= 4 else np.float64
    array = np.array(raw, dtype=precision, order="C")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{what} has values that are NaN or infinite")
    return array
