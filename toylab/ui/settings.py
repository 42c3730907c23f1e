"""What the lab's controls may be set to, and the way from their raw values to a `RunConfig`.

Values come from widgets and from the address bar. Whatever they are, the result is valid: numbers are clamped
and snapped to the control's steps, unknown names fall back to the default.
"""

import inspect
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from toylab.config import RunConfig
from toylab.data import datasets
from toylab.proxies import proxies
from toylab.registry import Registry
from toylab.ui import own_data
from toylab.ui.own_data import OwnPoints

BETA_MIN, BETA_MAX, BETA_STEP = -1.0, 2.0, 0.05
MAX_SEED = 9999
STEPS = (1_000, 2_000, 4_000, 6_000, 10_000, 20_000)
LEARNING_RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
BATCH_SIZES = (64, 256, 512)
WIDTHS = (32, 64, 128, 256)
# The usual proxies first, then those that a new file has added.
_USUAL_PROXIES = ("ema", "online", "conditional", "batch_posterior", "oracle")
PROXIES = (*_USUAL_PROXIES, *(name for name in proxies.names() if name not in _USUAL_PROXIES))
MAX_GAPS = (0.25, 0.5, 0.75, 1.0)
SHARES_EQUAL = (0.0, 0.25, 0.5, 0.75)

DEFAULTS: dict[str, Any] = {
    "dataset": "two_gaussians",
    "beta": 1.0,
    "seed": 0,
    "steps": 6_000,
    "lr": 3e-3,
    "batch": 64,
    "proxy": "ema",
    "gap": 1.0,
    "equal": 0.25,
    "width": 128,
}
"""Where the controls start: a small batch and a short budget, since that is where beta matters."""

CONTROLS = (*DEFAULTS, *own_data.MIXTURE)
"""Every raw value that `read_config` looks at."""

LOG_EVERY = {64: 200, 256: 100, 512: 50}
"""Steps between rows of the history: about three rows a second, at a tenth of the speed (two cores)."""
EVAL_SAMPLES = 1024
ACTIVATION = "silu"
"""The published protocol's, not RunConfig's: with GELU the baseline is far better here, and the lanes differ less."""


@cache
def dataset_names() -> tuple[str, ...]:
    """Datasets of the plane that need no options, the default first."""
    names = [name for name in datasets.names() if not _required(datasets, name)]
    names = [name for name in names if datasets.create(name).dim == 2]
    return tuple(sorted(names, key=lambda name: (name != DEFAULTS["dataset"], name)))


def dataset_choices() -> tuple[str, ...]:
    """What the picker offers: the built-in sets, then the kinds of own data."""
    return (*dataset_names(), *own_data.KINDS)


def read_config(raw: Mapping[str, Any], own: OwnPoints | None = None) -> RunConfig:
    """The run that raw control values ask for; every value in range and on its step.

    Args:
        raw: values of `CONTROLS`, those that there are.
        own: the reader's points, where the dataset is drawn or uploaded. Without enough of them the run is one of the
            default set: ask `own_data.problem` before it is started.
    """
    batch = nearest(raw.get("batch"), BATCH_SIZES, "batch")
    chosen = one_of(raw.get("dataset"), dataset_choices(), "dataset")
    data: dict[str, Any] | None = {"dataset": chosen}
    if chosen in own_data.KINDS:
        data = own_data.dataset_of(chosen, raw, own)
    return RunConfig(
        **(data or {"dataset": DEFAULTS["dataset"]}),
        beta=snap_beta(raw.get("beta")),
        seed=int(_number(raw.get("seed"), 0, MAX_SEED, DEFAULTS["seed"])),
        steps=nearest(raw.get("steps"), STEPS, "steps"),
        learning_rate=nearest(raw.get("lr"), LEARNING_RATES, "lr"),
        batch_size=batch,
        proxy=one_of(raw.get("proxy"), PROXIES, "proxy"),
        max_gap=nearest(raw.get("gap"), MAX_GAPS, "gap"),
        p_equal=nearest(raw.get("equal"), SHARES_EQUAL, "equal"),
        width=nearest(raw.get("width"), WIDTHS, "width"),
        activation=ACTIVATION,
        log_every=LOG_EVERY[batch],
        eval_samples=EVAL_SAMPLES,
    )


def snap_beta(value: Any) -> float:
    """``value`` in [-1, 2] on a multiple of 0.05, both ends exact."""
    number = _number(value, BETA_MIN, BETA_MAX, DEFAULTS["beta"])
    return round(round(number / BETA_STEP) * BETA_STEP, 2)


def nearest(value: Any, choices: tuple, name: str) -> Any:
    """The choice nearest to ``value``, the default of ``name`` where that is no number."""
    number = _number(value, min(choices), max(choices), DEFAULTS[name])
    return min(choices, key=lambda choice: abs(choice - number))


def one_of(value: Any, choices: tuple[str, ...], name: str) -> str:
    """``value`` where it is a choice, else the default of ``name``."""
    return value if isinstance(value, str) and value in choices else DEFAULTS[name]


def _number(value: Any, low: float, high: float, default: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    return min(max(number, low), high) if math.isfinite(number) else default


def _required(registry: Registry, name: str) -> bool:
    return any(default is inspect.Parameter.empty for default in registry.options(name).values())
