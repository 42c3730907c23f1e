"""NumPy files from outside, read without trust: no pickle, and every size is checked before it is allocated.

``np.load(allow_pickle=False)`` alone is not enough: a small zip can unpack to gigabytes, and a header of a
few bytes can claim a shape that asks for as much.
"""

import io
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

MAX_COORDINATE = 1e15
"""Beyond this a point is no data and a sample has diverged: squares of float32 coordinates would overflow."""

MAX_MEMBERS = 4
_KINDS = {"f": "float16 to float64", "i": "integers", "u": "unsigned integers"}
# What a damaged or hostile file makes zipfile and NumPy raise.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, ValueError, EOFError, OSError,
    RuntimeError, SyntaxError, TypeError, KeyError, IndexError, AttributeError, OverflowError, MemoryError,
)  # fmt: skip


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
    data = source if isinstance(source, bytes) else read_bytes(source, max_bytes)
    if len(data) > max_bytes:
        raise ValueError(f"has {len(data)} bytes, at most {max_bytes} are read")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _checked_members(archive, max_bytes)
            wanted = sorted(members) if names is None else list(names)
            if missing := [name for name in wanted if name not in members]:
                raise ValueError(f"has no array {missing[0]!r}, only: {', '.join(sorted(members)) or 'none'}")
            arrays = {}
            for name in wanted:
                # Never read() without a size: it would unpack a stream whose declared size is a lie.
                with archive.open(members[name]) as stream:
                    content = stream.read(members[name].file_size)
                arrays[name] = _parse_npy(content, f"array {name!r}", max_rows, kinds, min_rows)
            return arrays
    except _DAMAGE as error:
        raise ValueError(one_line(error)) from None


def read_layout(
    source: str | os.PathLike | bytes, layout: Mapping[str, tuple[int, ...]], *, max_bytes: int
) -> dict[str, Float[np.ndarray, "..."]]:
    """The arrays of an npz file that must be exactly those of ``layout``: name -> shape; finite floats.

    Raises:
        ValueError: another array, a missing one, another shape or dtype, or anything damaged; one line that says what.
        FileNotFoundError: no such file.
    """
    data = source if isinstance(source, bytes) else read_bytes(source, max_bytes)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = _checked_members(archive, max_bytes, len(layout))
            if missing := sorted(set(layout) - set(members)):
                raise ValueError(f"has no array {missing[0]!r}, one of the {len(layout)} it must have")
            if foreign := sorted(set(members) - set(layout)):
                raise ValueError(
                    f"has an array {foreign[0]!r}, which is none of the {len(layout)} it must have"
                )
            arrays = {}
            for name, shape in layout.items():
                with archive.open(members[name]) as stream:  # with a size, as in read_arrays
                    content = stream.read(members[name].file_size)
                found, array = _parse_values(content, f"array {name!r}", "f")
                if found != shape:
                    raise ValueError(f"array {name!r} has shape {found}, not {shape}")
                arrays[name] = array()
            return arrays
    except _DAMAGE as error:
        raise ValueError(one_line(error)) from None


def read_array(data: bytes, *, max_rows: int = 1_000_000, kinds: str = "f") -> Float[np.ndarray, "n dim"]:
    """The array of an npy file given as bytes; checks and errors as in ``read_arrays``."""
    try:
        return _parse_npy(data, "the array", max_rows, kinds)
    except _DAMAGE as error:
        raise ValueError(one_line(error)) from None


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
        # Without [Errno 13] and the path, which the reader of the line has in front of it.
        text = error.strerror
    text = " ".join(text.split()) or type(error).__name__
    # Both ends: a long path comes first, and the reason last.
    return text if len(text) <= 400 else f"{text[:150]} ... {text[-245:]}"


def with_place(error: BaseException) -> str:
    """`one_line`, after the file that the system names, for readers who do not know it yet."""
    place = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    return place + one_line(error)


def _checked_members(
    archive: zipfile.ZipFile, max_bytes: int, max_members: int = MAX_MEMBERS
) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > max_members:
        raise ValueError(f"has {len(infos)} members, at most {max_members} are read")
    if (size := sum(info.file_size for info in infos)) > max_bytes:
        raise ValueError(f"unpacks to {size} bytes, at most {max_bytes} are read")
    # zipfile bounds what deflate may unpack in one go, but not bz2 and lzma.
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in infos):
        raise ValueError("is compressed in a way that NumPy does not write")
    members = {info.filename.removesuffix(".npy"): info for info in infos if info.filename.endswith(".npy")}
    if len(members) != len(infos):
        raise ValueError("has members that are not distinct .npy arrays")
    return members


def _parse_npy(
    data: bytes, what: str, max_rows: int, kinds: str, min_rows: int = 1
) -> Float[np.ndarray, "n dim"]:
    """The array of a table; the arguments bound its rows and name its dtypes."""
    shape, array = _parse_values(data, what, kinds)
    if len(shape) != 2 or shape[0] < min_rows or shape[1] < 1:
        raise ValueError(f"{what} has shape {shape}, not (n, dim)")
    if shape[0] > max_rows:
        raise ValueError(f"{what} has {shape[0]} rows, at most {max_rows} are read")
    return array()


def _parse_values(
    data: bytes, what: str, kinds: str
) -> tuple[tuple[int, ...], Callable[[], Float[np.ndarray, "..."]]]:
    """The shape that the header claims, and a function that makes the array if the data have exactly that size."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran_order, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"{what} has npy version {version}, not 1.0 or 2.0")
    if dtype.hasobject or dtype.kind not in kinds or dtype.itemsize > 8:
        raise ValueError(f"{what} has dtype {dtype}, not one of: {', '.join(_KINDS[kind] for kind in kinds)}")

    def array() -> Float[np.ndarray, "..."]:
        values, num_bytes = data[stream.tell() :], math.prod(shape) * dtype.itemsize
        if num_bytes != len(values):
            raise ValueError(f"{what} claims {num_bytes} bytes of data, the file has {len(values)}")
        raw = np.frombuffer(values, dtype).reshape(shape, order="F" if fortran_order else "C")
        precision = np.float32 if dtype.kind == "f" and dtype.itemsize <= 4 else np.float64
        made = np.array(raw, dtype=precision, order="C")
        if not np.all(np.isfinite(made)):
            raise ValueError(f"{what} has values that are NaN or infinite")
        return made

    return shape, array
