"""Run notebooks with short training, all in one kernel: programs of one structure are compiled once.

A process of its own, since a kernel's sockets outlive the test that used them.
"""

import subprocess
import sys
import time
from pathlib import Path

import jupyter_client
import nbclient
import nbformat

# What a fresh kernel would have, but for modules, compiled programs, and scores of fewer samples.
FRESH = """
%reset -f
from toylab import evaluation
from toylab.devices import parallel
evaluation.DEFAULT_N = 1024
parallel.enable_compilation_cache()
%reset -f
"""


def main(paths: list[Path]) -> None:
    """Run them in order; a cell that raises ends it."""
    manager = jupyter_client.KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(paths[0].parent), stderr=subprocess.DEVNULL)
    try:
        for path in paths:
            begin = time.perf_counter()
            notebook = nbformat.read(path, as_version=4)
            notebook.cells.insert(0, nbformat.v4.new_code_cell(FRESH))
            nbclient.NotebookClient(notebook, km=manager, timeout=600).execute()
            shown = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
            assert any("image/png" in data for data in shown), f"{path.name} shows no figure"
            print(f"{path.name}: {time.perf_counter() - begin:.1f} s", flush=True)
    finally:
        manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
