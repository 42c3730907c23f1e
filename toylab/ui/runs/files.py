"""Run folders and exported files from outside, checked before use: as zip, as settings with history, or from runs/.

Sizes, paths, JSON and arrays are checked by `toylab.storage.untrusted`. Here the settings are: nothing is built or
loaded before its size is known to be small.
"""

import hashlib
import itertools
import tempfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

from toylab.config import RunConfig, with_changes
from toylab.data import create_dataset
from toylab.data.images import image_sets
from toylab.experiments.results import run_label
from toylab.plots.images import GRID_ROWS, columns_of, to_bytes
from toylab.storage import run_folder
from toylab.storage.run_folder import Header, read_history, read_samples
from toylab.storage.untrusted import named, one_line, parse_json_object, read_json, unzip_folder
from toylab.types import DataShape
from toylab.ui.runs import stored
from toylab.ui.runs.entry import Entry, Folder, Images, Kind, Points, image_label, label_of

CSV, NPZ, JSON, ZIP = "-history.csv", "-samples.npz", "-settings.json", ".zip"
"""Endings of exported files; the same beginning says that files are of one run."""
RUNS = Path("runs")
"""Where `toylab train` and the button Save run put run folders."""
MAX_SEEN, MAX_OFFERED = 400, 24
"""Folders of `RUNS` that are looked at, and those on images that are offered, the newest first."""
MAX_CONFIG_BYTES = 2**16
"""Of a config.json that is read only to label a folder in a list."""

MAX_UPLOAD_MB = 16
MAX_FILE_BYTES = MAX_UPLOAD_MB * 2**20
MAX_UNPACKED_BYTES = 48 * 2**20
MAX_FILES = 64
"""Of a zip."""
MAX_STATE_BYTES = 48 * 2**20
"""Of a run's state: a net of 128 units has less than one MB."""
MAX_UNITS = 16_384
"""Width times depth of a net: a larger one takes seconds to trace, before its size is known."""
MAX_ROWS, MAX_NUMBERS = 20_000, 4_096
"""Of a list of points, and of a list of plain numbers, among the options of a dataset."""
MAX_WHOLE = 1_000
"""Of whole numbers among them: of components, for example. A seed may be larger."""
MAX_CHANGES = 1_000
KINDS = (JSON, CSV, NPZ)
NO_PARAMETERS = "its parameters are not in the file"


def read_files(files: Sequence[tuple[str, bytes]], kind: Kind = "points") -> list[Entry]:
    """Every run in ``files`` (name, content): a zip each, or the JSON, csv and npz of one run by their names.

    Raises:
        ValueError: a file that is refused, or one without its counterpart; one line that names it.
    """
    found, loose = [], {}
    for name, content in files:
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"{name}: has more than {MAX_UPLOAD_MB} MB")
        if name.lower().endswith(".zip"):
            found.append(named(name, read_zip, content, kind))
            continue
        stem, ending = _parted(name)
        if kind == "images":
            raise ValueError(f"{name}: not a zip; a run on images is imported as a zipped run folder")
        if ending in loose.setdefault(stem, {}):
            raise ValueError(f"{name}: is there twice")
        loose[stem][ending] = content
    if len(loose) > 1 and all(sum(ending in parts for parts in loose.values()) <= 1 for ending in KINDS):
        loose = {
            next(iter(loose)): {
                ending: content for parts in loose.values() for ending, content in parts.items()
            }
        }
    for stem, parts in loose.items():
        if JSON not in parts or CSV not in parts:
            raise ValueError(f"{stem}: a run is a settings.json with a history.csv, or a run folder as zip")
        found.append(named(stem, read_loose, parts[JSON], parts[CSV], parts.get(NPZ)))
    return found


def read_zip(content: bytes, kind: Kind = "points") -> Entry:
    """The run of a zipped run folder.

    Raises:
        ValueError: not one, too large, or damaged; one line.
    """
    with tempfile.TemporaryDirectory(prefix="toylab-import-") as temporary:
        folder = Path(temporary) / "run"
        unzip_folder(
            content,
            folder,
            run_folder.CONFIG,
            run_folder.OWN,
            max_files=MAX_FILES,
            max_bytes=MAX_UNPACKED_BYTES,
        )
        try:
            return read_folder(folder, kind, _id("imported", content), "imported")
        except ValueError as error:
            raise ValueError(one_line(error).replace(f"{folder.resolve()}/", "")) from None


def read_loose(settings: bytes, history: bytes, samples: bytes | None = None) -> Entry:
    """The run of an exported settings JSON, history csv and, if there, samples npz: without parameters.

    Raises:
        ValueError: one of them is refused; one line that names it.
    """
    header = named("settings", lambda: Header.from_json(parse_json_object(settings)))
    config = named("settings", _plane_config, header)
    with tempfile.TemporaryDirectory(prefix="toylab-import-") as temporary:
        path = Path(temporary) / "file"
        path.write_bytes(history)
        table = named("history", read_history, path)
        arrays: dict[str, Any] = {"generated": None, "reference": None}
        if samples is not None:
            path.write_bytes(samples)
            arrays = named("samples", read_samples, path)
            named("samples", _check_plane, arrays["reference"].shape[1])
    return Entry(
        id=_id("imported", settings, history),
        label=_changed(run_label(config), header),
        config=config,
        status=header.status,
        step=header.step,
        changes=header.changes,
        history=table,
        origin="imported",
        content=Points(arrays["generated"], arrays["reference"]),
        note=NO_PARAMETERS,
    )


def folders() -> list[Entry]:
    """The run folders on images in `RUNS` and in the folders there (as sweeps make them), the newest first.

    Only their config.json is read: `Entry.unread` says so.
    """
    places = itertools.chain(RUNS.glob(f"*/{run_folder.CONFIG}"), RUNS.glob(f"*/*/{run_folder.CONFIG}"))
    found = []
    for place in itertools.islice(places, MAX_SEEN):
        try:
            status = place.stat()
        except OSError:  # deleted meanwhile
            continue
        stamp = status.st_mtime_ns, status.st_size
        if (entry := _unread(place, stamp)) is not None:
            found.append((stamp, entry))
    found.sort(key=lambda each: each[0], reverse=True)
    return [entry for _, entry in found[:MAX_OFFERED]]


@lru_cache(maxsize=2 * MAX_SEEN)
def _unread(place: Path, stamp: tuple[int, int]) -> Entry | None:
    """The entry of a run folder on images whose config.json is ``place``; None for any other folder."""
    try:
        header = Header.from_json(read_json(place, MAX_CONFIG_BYTES))
        config = RunConfig.from_dict(header.settings)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    if config.dataset not in image_sets.names():
        return None
    return Entry(
        id=_id("folder", str(place.parent).encode()),
        label=f"{image_label(config)} in {place.parent}",
        config=config,
        status=header.status,
        step=header.step,
        changes=header.changes,
        history=stored.NO_HISTORY,
        origin="folder",
        content=Images(),
        unread=Folder(place.parent, stamp),
    )


def read_folder(
    folder: Path, kind: Kind = "points", run_id: str = "", origin: str = "folder", label: str = ""
) -> Entry:
    """The run in a folder.

    Args:
        folder: of the run.
        kind: what it must generate.
        run_id: of the entry.
        origin: of the entry; the path of an imported run is forgotten, its folder is temporary.
        label: of the entry, where it is not to follow from the settings.

    Raises:
        ValueError: the folder is refused, or holds a run of another kind; one line.
    """
    found = run_folder.read_run(folder)
    if kind == "points":
        named(run_folder.SAMPLES, _check_plane, found.generated.shape[1])
    check: Callable[[run_folder.RunFolder], tuple[RunConfig, Points | Images, str]]
    check = _points if kind == "points" else _images
    config, content, note = named(run_folder.CONFIG, check, found)
    run = None
    if found.checkpoint is None:
        note = note or NO_PARAMETERS
    elif not note:
        from toylab.training import load  # about a second to import: not before the first page is drawn

        run = load(folder)
        if origin == "imported":
            run.path = None
    if not label and kind == "points" and run is not None:
        label = label_of(run)
    else:
        label = _changed(label or (run_label if kind == "points" else image_label)(config), found.header)
    return Entry(
        id=run_id,
        label=label,
        config=config,
        status=found.header.status,
        step=found.header.step,
        changes=found.header.changes,
        history=found.history,
        origin=origin,
        content=content,
        run=run,
        note=note,
    )


def _points(found: run_folder.RunFolder) -> tuple[RunConfig, Points, str]:
    """Settings and content of a run in the plane; one whose state is large is refused."""
    config = _plane_config(found.header)
    if found.checkpoint is not None and (reason := _too_large(config)):
        raise ValueError(reason)
    return config, Points(found.generated, found.reference), ""


def _images(found: run_folder.RunFolder) -> tuple[RunConfig, Images, str]:
    """Settings and content of a run on images, and why its parameters are not loaded, where they are not."""
    from toylab.evaluation import REFERENCES  # these two take a second to import
    from toylab.training.experiment import build_experiment

    config = _small_config(found.header)
    if config.dataset not in REFERENCES:
        raise ValueError(f"is on {config.dataset!r}, not on images: {', '.join(REFERENCES)}")
    shape, missing = _shape(config, found.generated.shape[1])
    if not missing:  # every name and option must be a known one
        _built(lambda: build_experiment(with_changes(config, found.header.changes)))
    assert shape.image is not None
    count = GRID_ROWS * columns_of(shape.num_classes)
    shown = [to_bytes(each[:count].reshape(-1, *shape.image)) for each in (found.generated, found.reference)]
    content = Images(
        grids={found.header.nfe: shown[0]} if len(shown[0]) else {},
        real=shown[1] if missing else stored.real_images(config.dataset, shape.num_classes),
        classes=shape.num_classes,
    )
    return config, content, missing or _too_large(config)


def _shape(config: RunConfig, dim: int) -> tuple[DataShape, str]:
    """The shape of the data, and why they are not here: then the shape is that of square grey images."""
    # Before it is built: the stand-in for Fashion-MNIST takes 250 MB.
    if config.dataset_options.get("stand_in"):
        raise ValueError(f"is on a stand-in for {config.dataset}, which nothing is trained on")
    try:
        dataset = create_dataset(config.dataset, config.dataset_options)
        shape, missing = dataset.shape, ""
    except FileNotFoundError as error:
        side = round(np.sqrt(dim))
        shape, missing = DataShape(dim, (side, side, 1), 0), one_line(error)
        if side * side != dim:
            raise ValueError(f"samples of dimension {dim} are no square images") from None
    if shape.dim != dim:
        raise ValueError(f"images of {config.dataset} have {shape.dim} pixels, the samples {dim}")
    return shape, missing


def _small_config(header: Header) -> RunConfig:
    """The settings, with a bounded number of live changes."""
    config = _built(lambda: RunConfig.from_dict(header.settings))
    if len(header.changes) > MAX_CHANGES:
        raise ValueError(f"has {len(header.changes)} live changes, at most {MAX_CHANGES} are read")
    return config


def _plane_config(header: Header) -> RunConfig:
    """The settings, every name and option of them known to make a small experiment of the plane."""
    from toylab.training.experiment import build_experiment  # takes a second to import

    config = _small_config(header)
    # Before anything is built: a set of images takes 250 MB.
    if config.dataset in image_sets.names():
        raise ValueError(f"is on images ({config.dataset}), only the plane is drawn")
    _check_options(config.dataset_options)
    _check_plane(_built(lambda: build_experiment(with_changes(config, header.changes))).dataset.dim)
    return config


def _check_plane(dim: int) -> None:
    if dim != 2:
        raise ValueError(f"has dimension {dim}, only the plane is drawn")


def _check_options(options: dict[str, Any]) -> None:
    """Refuse options of a dataset that would ask for much memory when it is made."""
    for name, value in options.items():
        if name == "dim" and value != 2:
            raise ValueError(f"has dimension {str(value)[:20]}, only the plane is drawn")
        too_many = isinstance(value, int) and abs(value) > MAX_WHOLE and name != "seed"
        if too_many or (isinstance(value, list) and not _small(value)):
            raise ValueError(f"option {name!r} of the dataset exceeds the import size limit")


def _small(values: list) -> bool:
    if any(isinstance(row, list) for row in values):
        return len(values) <= MAX_ROWS and all(
            isinstance(row, list)
            and len(row) <= 2
            and all(not isinstance(x, list) or len(x) <= 2 for x in row)
            for row in values
        )
    return len(values) <= MAX_NUMBERS


def _too_large(config: RunConfig) -> str:
    """Why the parameters of a run are not loaded, or nothing: a folder of a few bytes can claim gigabytes.

    The size follows from the settings; nothing is allocated.
    """
    from toylab.training.experiment import build_experiment  # these take a second to import
    from toylab.training.state import init_state

    if config.width * config.depth > MAX_UNITS:
        return f"a net of width {config.width} and depth {config.depth} exceeds the import size limit"
    shapes = jax.eval_shape(init_state, build_experiment(config))
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
    if size > MAX_STATE_BYTES:
        return f"its state has {size / 2**20:.0f} MB, at most {MAX_STATE_BYTES >> 20} are read"
    return ""


def _built(build: Callable[[], Any]) -> Any:
    """``build()``; an option of a foreign type is a ValueError."""
    try:
        return build()
    except TypeError as error:
        raise ValueError(one_line(error)) from None


def _parted(name: str) -> tuple[str, str]:
    """Stem and kind of an exported file; a renamed one goes by its suffix."""
    lower = name.lower()
    for ending in KINDS:
        if lower.endswith(ending):
            return name[: -len(ending)], ending
    for suffix, ending in ((".json", JSON), (".csv", CSV), (".npz", NPZ)):
        if lower.endswith(suffix):
            return name[: -len(suffix)], ending
    raise ValueError(f"{name}: not a zip, json, csv or npz file")


def _changed(label: str, header: Header) -> str:
    return label + (", changed while training" if header.changes else "")


def _id(origin: str, *contents: bytes) -> str:
    return origin + hashlib.sha256(b"".join(contents)).hexdigest()[:8]
