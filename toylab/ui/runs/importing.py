"""Files of our own export read back, hostile until checked: a run folder as zip, or settings JSON with history csv.

Nothing is unpacked, allocated or built before its size is known to be small; no pickle anywhere.
"""

import io
import json
import re
import stat
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from toylab.config import RunConfig, with_changes
from toylab.storage import run_folder
from toylab.storage.run_folder import Header, read_history, read_samples
from toylab.storage.untrusted import MAX_JSON_BYTES, one_line
from toylab.ui.runs.export import CSV, JSON, NPZ

if TYPE_CHECKING:
    from toylab.training import Run

MAX_UPLOAD_MB = 16
MAX_FILE_BYTES = MAX_UPLOAD_MB * 2**20
MAX_UNPACKED_BYTES = 48 * 2**20
MAX_STATE_BYTES = 48 * 2**20
"""Of a run's state: a net of 128 units has less than one."""
MAX_MEMBERS = 64
MAX_ROWS, MAX_NUMBERS = 20_000, 4_096
"""Of a list of points, and of a list of plain numbers, among the options of a dataset."""
MAX_WHOLE = 1_000
"""Of whole numbers among them: of components, for example. A seed may be larger."""
MAX_CHANGES = 1_000
KINDS = (JSON, CSV, NPZ)
_PART = re.compile(r"[A-Za-z0-9_.\-]{1,100}")


@dataclass(frozen=True)
class Imported:
    """A run from a file.

    Attributes:
        header: settings, status, steps and live changes.
        config: the settings, validated.
        history: indexed by step.
        samples: one-step samples from the usual noise, or None where none came.
        data: as many data points, likewise.
        run: the run itself, where its parameters came and are the ones that were written.
    """

    header: Header
    config: RunConfig
    history: pd.DataFrame
    samples: Float[np.ndarray, "n 2"] | None = None
    data: Float[np.ndarray, "m 2"] | None = None
    run: "Run | None" = None


def read_files(files: Sequence[tuple[str, bytes]]) -> list[Imported]:
    """Every run in ``files`` (name, content): a zip each, or the JSON, csv and npz of one run by their names.

    Raises:
        ValueError: a file that cannot be believed, or one without its counterpart; one line that names it.
    """
    found, loose = [], {}
    for name, content in files:
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"{name}: has more than {MAX_UPLOAD_MB} MB")
        if name.lower().endswith(".zip"):
            found.append(_named(name, read_zip, content))
        else:
            stem, ending = _parted(name)
            if ending in loose.setdefault(stem, {}):
                raise ValueError(f"{name}: is there twice")
            loose[stem][ending] = content
    if len(loose) > 1 and all(sum(ending in parts for parts in loose.values()) <= 1 for ending in KINDS):
        loose = {
            next(iter(loose)): {kind: content for parts in loose.values() for kind, content in parts.items()}
        }
    for stem, parts in loose.items():
        if JSON not in parts or CSV not in parts:
            raise ValueError(f"{stem}: a run is a settings.json with a history.csv, or a run folder as zip")
        found.append(_named(stem, read_loose, parts[JSON], parts[CSV], parts.get(NPZ)))
    return found


def read_zip(content: bytes) -> Imported:
    """The run of a zipped run folder.

    Raises:
        ValueError: not one, too large, or damaged; one line.
    """
    with tempfile.TemporaryDirectory(prefix="toylab-import-") as temporary:
        folder = Path(temporary) / "run"
        unpack(content, folder)
        try:
            return _read_folder(folder)
        except ValueError as error:
            raise ValueError(one_line(error).replace(f"{folder.resolve()}/", "")) from None


def read_loose(settings: bytes, history: bytes, samples: bytes | None = None) -> Imported:
    """The run of an exported settings JSON, history csv and, if there, samples npz: without parameters.

    Raises:
        ValueError: one of them cannot be believed; one line that names it.
    """
    header = _named("settings", lambda: Header.from_json(_parse_json(settings)))
    config = _named("settings", _valid_config, header)
    with tempfile.TemporaryDirectory(prefix="toylab-import-") as temporary:
        path = Path(temporary) / "file"
        path.write_bytes(history)
        table = _named("history", read_history, path)
        arrays: dict[str, Any] = {"generated": None, "reference": None}
        if samples is not None:
            path.write_bytes(samples)
            arrays = _named("samples", _plane_samples, path)
    return Imported(header, config, table, arrays["generated"], arrays["reference"])


def _read_folder(folder: Path) -> Imported:
    read = run_folder.read_run(folder)
    if read.generated.shape[1] != 2:
        raise ValueError(
            f"{run_folder.SAMPLES}: has dimension {read.generated.shape[1]}, only the plane is drawn"
        )
    config = _named(run_folder.CONFIG, _valid_config, read.header)
    run = None
    if read.checkpoint is not None:
        check_state_size(config)
        from toylab.training import load

        run = load(folder)
        run.path = None  # it goes with the temporary folder
    return Imported(read.header, config, read.history, read.generated, read.reference, run)


def _plane_samples(path: Path) -> dict[str, np.ndarray]:
    arrays = read_samples(path)
    if (dim := arrays["reference"].shape[1]) != 2:
        raise ValueError(f"has dimension {dim}, only the plane is drawn")
    return arrays


def _valid_config(header: Header) -> RunConfig:
    """The settings, every name and option of them known to make a small experiment of the plane."""
    from toylab.training.experiment import build_experiment

    config = RunConfig.from_dict(header.settings)
    if len(header.changes) > MAX_CHANGES:
        raise ValueError(f"has {len(header.changes)} live changes, at most {MAX_CHANGES} are read")
    _check_options(config.dataset_options)
    try:
        dim = build_experiment(with_changes(config, header.changes)).dataset.dim
    except TypeError as error:  # an option of a foreign kind
        raise ValueError(one_line(error)) from None
    if dim != 2:
        raise ValueError(f"is of data of dimension {dim}, only the plane is drawn")
    return config


def _check_options(options: dict[str, Any]) -> None:
    """Refuse options of a dataset that would ask for much memory when it is made."""
    for name, value in options.items():
        if name == "dim" and value != 2:
            raise ValueError(f"is of data of dimension {str(value)[:20]}, only the plane is drawn")
        too_many = isinstance(value, int) and abs(value) > MAX_WHOLE and name != "seed"
        if too_many or (isinstance(value, list) and not _small(value)):
            raise ValueError(f"option {name!r} of the dataset is larger than an import may have")


def _small(values: list) -> bool:
    if any(isinstance(row, list) for row in values):
        return len(values) <= MAX_ROWS and all(
            isinstance(row, list)
            and len(row) <= 2
            and all(not isinstance(x, list) or len(x) <= 2 for x in row)
            for row in values
        )
    return len(values) <= MAX_NUMBERS


def check_state_size(config: RunConfig) -> None:
    """A folder of a few bytes can claim arrays of gigabytes: ask the settings, without allocating."""
    import jax

    from toylab.training.experiment import build_experiment
    from toylab.training.state import init_state

    if config.width * config.depth > 16_384:
        raise ValueError(f"a net of width {config.width} and depth {config.depth} is larger than is imported")
    shapes = jax.eval_shape(init_state, build_experiment(config))
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
    if size > MAX_STATE_BYTES:
        raise ValueError(f"its state has {size / 2**20:.0f} MB, at most {MAX_STATE_BYTES >> 20} are read")


def unpack(content: bytes, target: Path) -> None:
    """The members of the one run folder in the zip, at ``target``; all others are left out.

    Raises:
        ValueError: not such a zip, or one that is too large or points elsewhere.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = _checked_members(archive)
            root = _root(members)
            for place, info in members.items():
                if not place.is_relative_to(root) or place == root:
                    continue
                inner = place.relative_to(root)
                if inner.parts[0] not in run_folder.OWN:
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


def _checked_members(archive: zipfile.ZipFile) -> dict[PurePosixPath, zipfile.ZipInfo]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MAX_MEMBERS:
        raise ValueError(f"the zip has {len(infos)} files, at most {MAX_MEMBERS} are read")
    if (size := sum(info.file_size for info in infos)) > MAX_UNPACKED_BYTES:
        raise ValueError(
            f"the zip unpacks to {size / 2**20:.0f} MB, at most {MAX_UNPACKED_BYTES >> 20} are read"
        )
    members: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for info in infos:
        name, parts = info.filename, info.filename.split("/")
        if any(not _PART.fullmatch(part) or part in (".", "..") for part in parts):
            raise ValueError(f"the zip holds the path {name[:60]!r}, which is none of a run folder")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise ValueError(f"{name[:60]!r} in the zip is not a plain file")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name[:60]!r} in the zip is compressed in a way that we do not write")
        if PurePosixPath(name.lower()) in {PurePosixPath(str(place).lower()) for place in members}:
            raise ValueError(f"{name[:60]!r} is in the zip twice")
        members[PurePosixPath(name)] = info
    return members


def _root(members: dict[PurePosixPath, zipfile.ZipInfo]) -> PurePosixPath:
    roots = [place.parent for place in members if place.name == run_folder.CONFIG]
    if not roots:
        raise ValueError(f"the zip holds no run folder (no {run_folder.CONFIG})")
    if len(roots) > 1:
        raise ValueError(f"the zip holds {len(roots)} run folders, one zip has one")
    return roots[0]


def _parted(name: str) -> tuple[str, str]:
    """Stem and kind of a file of our export; a renamed one goes by what its name ends in."""
    lower = name.lower()
    for ending in KINDS:
        if lower.endswith(ending):
            return name[: -len(ending)], ending
    for suffix, ending in ((".json", JSON), (".csv", CSV), (".npz", NPZ)):
        if lower.endswith(suffix):
            return name[: -len(suffix)], ending
    raise ValueError(f"{name}: not a zip, json, csv or npz file")


def _parse_json(content: bytes) -> dict[str, Any]:
    def refuse(constant: str):
        raise ValueError(f"holds {constant}, which is not JSON")

    if len(content) > MAX_JSON_BYTES:
        raise ValueError(f"has more than {MAX_JSON_BYTES >> 20} MB")
    value = json.loads(content, parse_constant=refuse)
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    return value


def _named(name: str, read, *arguments) -> Any:
    try:
        return read(*arguments)
    except (ValueError, OSError, RecursionError) as error:
        raise ValueError(f"{name}: {one_line(error)}") from None
