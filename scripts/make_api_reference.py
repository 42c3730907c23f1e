"""Write the API reference from the docstrings: build/api/index.html, not kept in the repository.

python scripts/make_api_reference.py [FOLDER]
"""

import sys
from pathlib import Path

import pdoc

import toylab


def main() -> None:
    """Every public module but the app's."""
    # toylab looks its names up on first use; pdoc lists only those that are there.
    for name in toylab.__all__:
        setattr(toylab, name, getattr(toylab, name))
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/api")
    pdoc.render.configure(math=True)
    pdoc.pdoc("toylab", "!toylab.ui", output_directory=folder)
    print(folder / "index.html")


if __name__ == "__main__":
    main()
