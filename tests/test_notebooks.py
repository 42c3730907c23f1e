"""The notebooks run from top to bottom, and what is committed of them is whole, small and free of noise."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SHORT = "TOYLAB_NOTEBOOK_STEPS"
"""Shortens every training in the notebooks."""
MAX_BYTES = 700_000

by_name = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind="code"):
    return [
        cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind
    ]


def test_there_are_seven():
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06", "07"]


@by_name
def test_what_is_committed_was_run_in_order(path):
    assert path.stat().st_size < MAX_BYTES
    code = cells(path)
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    kinds = {key for cell in code for output in cell["outputs"] for key in output.get("data", {})}
    assert "image/png" in kinds
    assert not any(output["output_type"] in ("error", "stream") and output.get("name") != "stdout"
                   for cell in code for output in cell["outputs"])  # fmt: skip


@by_name
def test_what_is_committed_has_no_noise(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d", text), "a time stamp"
    assert not re.search(r"/(tmp|home|root|work)/", text), "a path of the machine that ran it"
    assert "widget-view" not in text
    assert SHORT in text


@pytest.mark.slow
def test_they_run(tmp_path):
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("shortened_notebooks.py")), *map(str, NOTEBOOKS)],
        env={**os.environ, SHORT: "8", "TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stderr[-3000:]
