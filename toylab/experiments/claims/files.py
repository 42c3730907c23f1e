"""The files of a ledger: claims.json, claims.md, claims.html and a figure per claim."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toylab.experiments.claims.figures import claim_figure
from toylab.experiments.claims.pages import markdown, page
from toylab.experiments.claims.reading import MAX_BYTES
from toylab.plots.figures import png_bytes
from toylab.storage.atomic import atomic_write_bytes, atomic_write_json, atomic_write_text
from toylab.storage.untrusted import read_json

FIGURES = "figures"


def seconds_spent(folder: Path) -> dict[str, float]:
    """Claim -> seconds of the ledger in ``folder``; empty where there is none, or none that can be read."""
    try:
        rows = read_json(folder / "claims.json", MAX_BYTES)["claims"]
        return {str(row["id"]): float(row["seconds"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def write_json(content: Mapping[str, Any], folder: Path) -> None:
    """Only claims.json: cheap enough after every row."""
    atomic_write_json(folder / "claims.json", content)


def write_ledger(content: Mapping[str, Any], folder: Path) -> list[str]:
    """Write everything; returns the names of the files, relative to ``folder``."""
    (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    figures = {
        row["id"]: png_bytes(claim_figure(row), dpi=110) for row in content["claims"] if row["effects"]
    }
    for name, image in figures.items():
        atomic_write_bytes(folder / FIGURES / f"{name}.png", image)
    write_json(content, folder)
    atomic_write_text(folder / "claims.md", markdown(content))
    atomic_write_text(folder / "claims.html", page(content, figures))
    return ["claims.json", "claims.md", "claims.html", *(f"{FIGURES}/{name}.png" for name in figures)]
