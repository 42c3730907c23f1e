"""Runs on images from folders and zips, hostile until checked: what Compare's imports are for runs in the plane."""

import hashlib
import itertools
import json
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from toylab.config import RunConfig, with_changes
from toylab.plots.images import GRID_ROWS, columns_of, to_bytes
from toylab.storage import run_folder
from toylab.storage.untrusted import one_line, read_bytes
from toylab.ui.pages.claims.ledgers import RUNS
from toylab.ui.pages.images import image_work
from toylab.ui.runs import importing
from toylab.ui.runs.image_entries import ImageEntry, name_of

if TYPE_CHECKING:
    from toylab.types import DataShape

MAX_SEEN, MAX_OFFERED = 400, 24
"""Folders of `RUNS` that are looked at, and those on images that are offered, the newest first."""
MAX_CONFIG_BYTES = 2**16


class Source(NamedTuple):
    """A run folder on images that nobody has looked into yet.

    Args:
        id: of the run.
        label: one line for people.
        path: of the folder.
        stamp: changes when the folder is written anew.
    """

    id: str
    label: str
    path: Path
    stamp: tuple[int, int]


def sources() -> list[Source]:
    """The run folders on images in `RUNS` and in the folders there (as sweeps make them), the newest first."""
    places = itertools.chain(RUNS.glob(f"*/{run_folder.CONFIG}"), RUNS.glob(f"*/*/{run_folder.CONFIG}"))
    found = []
    for place in itertools.islice(places, MAX_SEEN):
        try:
            status = place.stat()
        except OSError:  # it has gone meanwhile
            continue
        stamp = status.st_mtime_ns, status.st_size
        if label := _label(str(place), stamp):
            digest = hashlib.sha256(str(place.parent).encode()).hexdigest()[:8]
            found.append(Source(f"folder{digest}", f"{label} in {place.parent}", place.parent, stamp))
    return sorted(found, key=lambda source: source.stamp, reverse=True)[:MAX_OFFERED]


@lru_cache(maxsize=2 * MAX_SEEN)
def _label(place: str, stamp: tuple[int, int]) -> str:
    """What a folder calls itself; nothing where it is no run on images."""
    from toylab.data.images import image_sets

    try:
        config = RunConfig.from_dict(json.loads(read_bytes(place, MAX_CONFIG_BYTES))["settings"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return ""
    return name_of(config) if config.dataset in image_sets.names() else ""


def read_source(source: Source) -> ImageEntry:
    """The run in a folder.

    Raises:
        ValueError: it cannot be believed, or is on no images that are known here; one line.
    """
    return _read(source.path, source.id, "folder", source.label)


def read_zip(content: bytes) -> ImageEntry:
    """The run of a zipped run folder.

    Raises:
        ValueError: likewise, or a zip that is too large or points elsewhere.
    """
    if len(content) > importing.MAX_FILE_BYTES:
        raise ValueError(f"has more than {importing.MAX_UPLOAD_MB} MB")
    digest = hashlib.sha256(content).hexdigest()[:8]
    with tempfile.TemporaryDirectory(prefix="toylab-import-") as temporary:
        folder = Path(temporary) / "run"
        importing.unpack(content, folder)
        try:
            return _read(folder, f"imported{digest}", "imported")
        except ValueError as error:
            raise ValueError(one_line(error).replace(f"{folder.resolve()}/", "")) from None


def _read(folder: Path, run_id: str, origin: str, label: str = "") -> ImageEntry:
    from toylab.evaluation import REFERENCES
    from toylab.training.experiment import build_experiment

    found = run_folder.read_run(folder)
    try:
        config = RunConfig.from_dict(found.header.settings)
        if len(found.header.changes) > importing.MAX_CHANGES:
            raise ValueError(f"has more than {importing.MAX_CHANGES} live changes")
        if config.dataset not in REFERENCES:
            raise ValueError(f"is on {config.dataset!r}, not on images: {', '.join(REFERENCES)}")
        shape, missing = _shape(config, found.generated.shape[1])
        if not missing:  # every name and option is one that is known
            build_experiment(with_changes(config, found.header.changes))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{run_folder.CONFIG}: {one_line(error)}") from None
    assert shape.image is not None
    run, note = None, missing or _too_large(config)
    if found.checkpoint is None:
        note = note or "its parameters are not there"
    if not note:
        from toylab.training import load

        run = load(folder)
        if origin == "imported":
            run.path = None  # it goes with the temporary folder
    count = GRID_ROWS * columns_of(shape.num_classes)
    shown = [to_bytes(each[:count].reshape(-1, *shape.image)) for each in (found.generated, found.reference)]
    return ImageEntry(
        id=run_id,
        label=(label or name_of(config)) + (", changed while training" if found.header.changes else ""),
        config=config,
        status=found.header.status,
        step=found.header.step,
        changes=found.header.changes,
        history=found.history,
        origin=origin,
        run=run,
        grids={found.header.nfe: shown[0]} if len(shown[0]) else {},
        real=shown[1] if missing else image_work.real_images(config.dataset, shape.num_classes),
        classes=shape.num_classes,
        note=note,
    )


def _shape(config: RunConfig, dim: int) -> "tuple[DataShape, str]":
    """The shape of the data, and what is missing of them here: then it is that of square grey images."""
    from toylab.data import create_dataset
    from toylab.types import DataShape

    try:
        dataset = create_dataset(config.dataset, config.dataset_options)
        if dataset.is_stand_in:
            raise ValueError(f"is on a stand-in for {config.dataset}, which nothing is trained on")
        shape, missing = dataset.shape, ""
    except FileNotFoundError as error:
        side = round(np.sqrt(dim))
        shape, missing = DataShape(dim, (side, side, 1), 0), one_line(error)
        if side * side != dim:
            raise ValueError(f"samples of dimension {dim} are no square images") from None
    if shape.dim != dim:
        raise ValueError(f"images of {config.dataset} have {shape.dim} pixels, the samples {dim}")
    return shape, missing


def _too_large(config: RunConfig) -> str:
    """Why the parameters of a run are not loaded, or nothing."""
    try:
        importing.check_state_size(config)
    except ValueError as error:
        return one_line(error)
    return ""
