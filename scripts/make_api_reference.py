"""Write the API reference from the docstrings to build/api/index.html, which is not committed.

python scripts/make_api_reference.py [FOLDER]
"""

import sys
from pathlib import Path

import pdoc

import toylab


def main() -> None:
    """Document every public module except those of the app."""
    # toylab imports its names at first use, but pdoc lists only names that are already set.
    for name in toylab.__all__:
        setattr(toylab, name, getattr(toylab, name))
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/api")
    pdoc.render.configure(math=True)
    pdoc.pdoc("toylab", "!toylab.ui", output_directory=folder)
    print(folder / "index.html")


if __name__ == "__main__":
    main()
