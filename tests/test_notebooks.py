"""The notebooks run from top to bottom, and what is committed of them is whole, small and free of noise."""

import json
import re
import subprocess
from pathlib import Path

import jupyter_client
import nbclient
import nbformat
import pytest
from conftest import QUICKLY_COMPILED

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


@pytest.fixture(scope="module")
def kernel():
    """One kernel for all of them: programs of one structure are compiled once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SHORT, "60")
        manager = jupyter_client.KernelManager(kernel_name="python3")
        manager.start_kernel(cwd=str(FOLDER), stderr=subprocess.DEVNULL)
    yield manager
    manager.shutdown_kernel(now=True)


# What a fresh kernel would have, but for modules and compiled programs.
FRESH = f"""
%reset -f
from toylab import parallel
parallel._CPU_OPTIONS |= {QUICKLY_COMPILED}
parallel.enable_compilation_cache()
%reset -f
"""


@pytest.mark.slow
@by_name
def test_it_runs(path, kernel):
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(FRESH))
    nbclient.NotebookClient(notebook, km=kernel, timeout=300).execute()
    assert any(
        "image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])
    )
