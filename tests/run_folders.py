"""Run folders for tests: small, with known content."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toylab.storage import atomic
from toylab.storage.run_folder import Header, write_run

CONFIG = {"dataset": "two_moons", "beta": 0.5, "dataset_options": {"std": 0.1}, "seed": 3}


ENVIRONMENT = {"python": "3.12", "versions": {"numpy": "2.0"}, "git": None}


def history() -> pd.DataFrame:
    index = pd.Index([0, 10, 25], name="step")
    return pd.DataFrame({"loss": [1 / 3, 0.1, 1e-300], "sw1": [0.5, np.nan, np.inf]}, index)


def points(seed: int, n: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 2)).astype(np.float32)


def checkpoint(folder: Path) -> None:
    (folder / "arrays").mkdir(parents=True)
    (folder / "arrays" / "0").write_bytes(b"weights")


def write(path: Path, **changes: Any) -> Path:
    content = {
        "header": Header(CONFIG),
        "history": history(),
        "generated": points(1),
        "reference": points(2, 30),
        "environment": ENVIRONMENT,
        "write_checkpoint": checkpoint,
    }
    return write_run(path, **(content | changes))


def leftovers(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if atomic.is_temporary(entry.name)]
