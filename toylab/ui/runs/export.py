"""A run as files: its folder, as zip too, history as csv, samples as npz, settings as JSON, figures, and the Python."""

import dataclasses
import hashlib
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from toylab.config import RunConfig
from toylab.plots import figures
from toylab.storage import run_folder
from toylab.storage.run_folder import history_text
from toylab.ui.runs import files
from toylab.ui.runs.files import CSV, JSON, NPZ, ZIP

if TYPE_CHECKING:  # takes a second to import: not before the first page is drawn
    from toylab.training import Run

MAX_SNIPPET = 2000
"""Longer settings (own points) are read from the exported JSON instead of being spelt out."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class File(NamedTuple):
    """A file to download."""

    label: str
    name: str
    mime: str
    content: bytes


def make_files(run: "Run", label: str) -> list[File]:
    """All files of a run; takes about a second, most of it the folder.

    Raises:
        ValueError: what was written cannot be read back.
        OSError: there is no room for a temporary folder.
    """
    name = file_name(run)
    with tempfile.TemporaryDirectory(prefix="toylab-export-") as temporary:
        folder = saved_copy(run, Path(temporary) / name)
        archive = zip_folder(folder)
        _check(archive, run)
        settings, samples = (
            (folder / run_folder.CONFIG).read_bytes(),
            (folder / run_folder.SAMPLES).read_bytes(),
        )
        read = run_folder.read_run(folder)
    made = [
        File("Run folder (zip)", name + ZIP, "application/zip", archive),
        File("Settings (JSON)", name + JSON, "application/json", settings),
        File("History (csv)", name + CSV, "text/csv", history_csv(run.history)),
        File("Samples (npz)", name + NPZ, "application/octet-stream", samples),
    ]
    if read.generated.shape[1] >= 2 and len(read.generated):
        figure = figures.samples_figure({label: read.generated}, read.reference)
        made += _figure_files("Samples", f"{name}-samples", figure)
    if len(run.history):
        figure = figures.history_figure({label: run.history})
        made += _figure_files("Curves", f"{name}-curves", figure)
    return made


def save(runs: "Sequence[Run]", folder: Path | None = None) -> list[Path]:
    """Write run folders below ``folder``, by default `files.RUNS`; their paths.

    Raises:
        OSError: the disk refuses.
    """
    paths = [(folder or files.RUNS) / folder_name(run) for run in runs]
    for path, run in zip(paths, runs, strict=True):
        run.save(path)
    return paths


def folder_name(run: "Run") -> str:
    """A readable name that differs for runs that differ in anything: a run never overwrites another one."""
    config = run.config
    told = json.dumps([config.to_dict(), run.step, run.changes], sort_keys=True)
    digest = hashlib.sha256(told.encode()).hexdigest()[:6]
    changed = "-changed" if run.changes else ""
    return _safe(f"{config.dataset}-beta{config.beta:g}{changed}-{config.proxy}-seed{config.seed}-{digest}")


def saved_copy(run: "Run", path: Path) -> Path:
    """Save ``run`` at ``path``; ``run.path`` stays as it is."""
    from toylab.training import Run  # takes a second to import

    return Run(run.config, run.state, run.history, changes=run.changes).save(path)


def zip_folder(folder: Path) -> bytes:
    """A folder as a zip with that folder in it; the same content gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                place = f"{folder.name}/{path.relative_to(folder).as_posix()}"
                info = zipfile.ZipInfo(place, (1980, 1, 1, 0, 0, 0))
                info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(info, path.read_bytes())
    return buffer.getvalue()


def history_csv(history: pd.DataFrame) -> bytes:
    """The history as csv; a column name that a spreadsheet would take for a formula begins with an apostrophe."""
    return history_text(history.rename(columns=_neutral)).encode()


def _neutral(name: str) -> str:
    return f"'{name}" if str(name).startswith(FORMULA_STARTS) else name


def _figure_files(label: str, name: str, figure) -> list[File]:
    vector = io.BytesIO()
    figure.savefig(vector, format="svg", metadata={"Date": None})
    return [
        File(f"{label} (PNG)", f"{name}.png", "image/png", figures.png_bytes(figure)),
        File(f"{label} (SVG)", f"{name}.svg", "image/svg+xml", vector.getvalue()),
    ]


def _check(archive: bytes, run: "Run") -> None:
    """See that the zip gives the run back, by the way that it will be read.

    Raises:
        ValueError: it does not.
    """
    back = files.read_zip(archive).run
    if back is None or back.config != run.config or back.changes != run.changes or back.step != run.step:
        raise ValueError("the exported run reads back as another one; nothing is offered")
    if not np.array_equal(back.state.params, run.state.params, equal_nan=True):
        raise ValueError("the exported parameters read back as others; nothing is offered")


def file_name(run: "Run") -> str:
    """The run in characters that every file system accepts."""
    config = run.config
    beta = f"beta{config.beta:g}-{config.proxy}" if config.method == "meanflow" else config.method
    state = "" if run.status == "done" else f"-{run.status}"
    changed = "-changed" if run.changes else ""
    return _safe(f"{config.dataset}-{beta}-seed{config.seed}{changed}{state}")


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def python_code(run: "Run") -> str:
    """The Python that makes the run: exactly the settings that are not the defaults, as it began."""
    settings = changed_settings(run.config)
    lines = [f"    {name}={value!r},\n" for name, value in settings.items()]
    config = f"config = tl.RunConfig(\n{''.join(lines)})" if lines else "config = tl.RunConfig()"
    imports = "import toylab as tl"
    if len(config) > MAX_SNIPPET:
        imports = "import json\nfrom pathlib import Path\n\nimport toylab as tl"
        config = (
            f'content = json.loads(Path("{file_name(run)}{JSON}").read_text())  # the exported settings\n'
            'config = tl.RunConfig.from_dict(content["settings"])'
        )
    notes = _notes(run)
    return f"{imports}\n\n{config}\n{notes}run = tl.train(config)\nsamples = run.sample(4096)\n"


def _notes(run: "Run") -> str:
    notes = []
    if run.changes:
        moves = "; ".join(
            f"{name} = {value:g} from step {step:,} on" for step, name, value in run.changes[:8]
        )
        more = f"; and {len(run.changes) - 8} more" if len(run.changes) > 8 else ""
        notes.append(f"# Not repeated here: changed while training: {moves}{more}")
    if run.status == "unfinished":
        notes.append(f"# The run was stopped at step {run.step:,}; this one goes on to the end.")
    if run.status == "diverged":
        notes.append(f"# The run diverged at step {run.diverged_at:,}; this one may do so too.")
    return "".join(f"{note}\n" for note in notes)


def changed_settings(config: RunConfig) -> Mapping[str, object]:
    """The settings that differ from the defaults, in the order of the fields."""
    default = RunConfig()
    names = [item.name for item in dataclasses.fields(config)]
    return {name: getattr(config, name) for name in names if getattr(config, name) != getattr(default, name)}
