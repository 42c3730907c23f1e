"""toylab: a laboratory for one-step generative models.

>>> import toylab as tl
>>> tl.available("proxies")
['batch_posterior', 'conditional', 'ema', 'online', 'oracle']
"""

import importlib
from typing import TYPE_CHECKING, Any

from toylab.config import RunConfig
from toylab.version import __version__

if TYPE_CHECKING:  # for type checkers: these imports take 2.7 s, and `import toylab` 0.1 s without them
    from toylab import diagnostics, metrics, plots
    from toylab.catalogue import available
    from toylab.config import preset
    from toylab.data import dataset
    from toylab.data.oracle import Oracle, oracle
    from toylab.evaluation import evaluate
    from toylab.slider import BetaSlider
    from toylab.training import Run, TrainingInterrupted, load, train, train_many

__all__ = [
    "BetaSlider",
    "Oracle",
    "Run",
    "RunConfig",
    "TrainingInterrupted",
    "__version__",
    "available",
    "dataset",
    "diagnostics",
    "evaluate",
    "load",
    "metrics",
    "oracle",
    "plots",
    "preset",
    "train",
    "train_many",
]

# Imported at first use, so that reading a run folder or printing help does not import JAX.
_HOMES = {
    "BetaSlider": "toylab.slider",
    "Oracle": "toylab.data.oracle",
    "Run": "toylab.training",
    "TrainingInterrupted": "toylab.training",
    "available": "toylab.catalogue",
    "dataset": "toylab.data",
    "evaluate": "toylab.evaluation",
    "load": "toylab.training",
    "oracle": "toylab.data.oracle",
    "preset": "toylab.config",
    "train": "toylab.training",
    "train_many": "toylab.training",
}
_MODULES = ("diagnostics", "metrics", "plots")


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"toylab.{name}")
    raise AttributeError(f"module 'toylab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
