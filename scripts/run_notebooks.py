"""Run the notebooks and save their outputs; the committed notebooks are made by this command.

    python scripts/run_notebooks.py [NAME ...]        # for example 03

Each notebook runs in its folder, in a fresh kernel, at full length. Output that differs between identical runs (times,
widget ids, paths) is removed.
"""

import argparse
import os
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
SHORT = "TOYLAB_NOTEBOOK_STEPS"
"""Environment variable with which tests shorten every training in the notebooks."""
TIMEOUT = 600
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def main() -> None:
    """Run the named notebooks, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="prefixes of file names; all by default")
    chosen = parser.parse_args().names
    os.environ.pop(SHORT, None)
    for path in sorted(FOLDER.glob("*.ipynb")):
        if chosen and not path.name.startswith(tuple(chosen)):
            continue
        begin = time.perf_counter()
        notebook = executed(nbformat.read(path, as_version=4), FOLDER)
        seconds = time.perf_counter() - begin
        nbformat.write(without_noise(notebook), path)
        print(f"{path.name}: {seconds:.0f} s, {path.stat().st_size / 1e3:.0f} kB")


def executed(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of a fresh kernel; an exception in a cell is raised."""
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute()


def without_noise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without widget states, with cell ids by position and the same metadata in all notebooks."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for index, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{index:02d}", nbformat.from_dict({})
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
    return notebook


if __name__ == "__main__":
    main()
