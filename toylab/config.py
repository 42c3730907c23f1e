"""Settings of a run: one frozen, validated dataclass that converts to JSON; presets and live changes."""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, get_origin

LR_SCHEDULES = ("constant", "cosine")
OPTIMIZERS = ("adam", "adamw", "sgd")
ACTIVATIONS = ("gelu", "relu", "silu", "tanh")


@dataclass(frozen=True)
class RunConfig:
    """Settings of one training run: data, objective, optimisation, net, measurements.

    Time runs from data (t = 0) to noise (t = 1), r <= t. Numbers are checked here. Names of datasets, methods, proxies
    and coefficient rules are looked up when the run is built.

    Raises:
        ValueError: a value out of range; the message names the value and what is allowed.
    """

    dataset: str = "eight_gaussians"
    """Name of the data distribution (`toylab list datasets`)."""
    dataset_options: dict[str, Any] = field(default_factory=dict)
    """Options of the dataset, for example {"separation": 8.0}."""
    method: str = "meanflow"
    """Training objective (`toylab list methods`)."""
    method_options: dict[str, Any] = field(default_factory=dict)
    """Options of the method."""
    beta: float = 0.5
    """Coefficient of the tangent, in [-100, 100]: 0 is vanilla MeanFlow, 1 uses the proxy alone."""
    coefficient: str = "constant"
    """Rule that sets beta by step, times and points (`toylab list coefficients`)."""
    coefficient_options: dict[str, Any] = field(default_factory=dict)
    """Options of the coefficient rule, for example {"end": 0.0, "until": 0.6}."""
    proxy: str = "ema"
    """Estimate of the marginal velocity in the tangent (`toylab list proxies`)."""
    proxy_options: dict[str, Any] = field(default_factory=dict)
    """Options of the proxy in the tangent."""
    target: str = "conditional"
    """Velocity in the regression target: conditional, or the name of a proxy."""
    target_options: dict[str, Any] = field(default_factory=dict)
    """Options of the proxy in the target."""
    steps: int = 10_000
    """Number of optimiser steps."""
    batch_size: int = 256
    """Examples per step."""
    learning_rate: float = 3e-3
    """Peak learning rate."""
    lr_schedule: str = "cosine"
    """Schedule of the learning rate: constant, or cosine decay to 1% of the peak."""
    optimizer: str = "adam"
    """Optimiser."""
    adam_beta2: float = 0.999
    """Decay of the second moment in Adam and AdamW; transformers on images often use 0.95."""
    grad_clip: float = 0.0
    """Clip gradients to this global norm; 0 disables clipping."""
    ema_decay: float = 0.999
    """Decay of the moving average (EMA) of the parameters, which the proxy 'ema' and the sampler use."""
    p_equal: float = 0.25
    """Fraction of a batch with r = t (flow matching)."""
    max_gap: float = 1.0
    """Largest gap t - r in training; one-step sampling uses gap 1."""
    time_sampler: str = "uniform"
    """Distribution of the pair of times (`toylab list time_samplers`)."""
    time_options: dict[str, Any] = field(default_factory=dict)
    """Options of the time sampler."""
    adaptive_power: float = 0.0
    """Power p of the adaptive weight 1 / (|residual|^2 + c)^p; 0 disables it."""
    adaptive_constant: float = 0.01
    """Constant c of the adaptive weight."""
    anchor_weight: float = 0.0
    """Weight of the additional flow-matching loss at small gaps (anchor); 0 disables it."""
    anchor_min: float = 1e-4
    """Smallest gap of the anchor."""
    anchor_max: float = 1e-2
    """Largest gap of the anchor."""
    label_dropout: float = 0.0
    """Fraction of examples whose label is dropped, so that the net learns the unconditional velocity too."""
    guidance: float = 1.0
    """Scale omega of classifier-free guidance in the training target; 1 is no guidance."""
    guidance_mix: float = 0.0
    """Share kappa of the class velocity of the net in the guided target; the effective scale is omega / (1 - kappa)."""
    net: str = "mlp"
    """Architecture of the net u(x, r, t) (`toylab list nets`)."""
    net_options: dict[str, Any] = field(default_factory=dict)
    """Options of the net, for example {"size": "B", "patch": 4}."""
    width: int = 128
    """Units per hidden layer (net mlp)."""
    depth: int = 3
    """Number of hidden layers (net mlp)."""
    activation: str = "gelu"
    """Activation function of the hidden layers (net mlp)."""
    embed_dim: int = 32
    """Size of the sinusoidal embedding of each time (net mlp)."""
    embed_scale: float = 1.0
    """Factor on time before the embedding: 1 in the 2-D protocol, 1000 in many image nets (net mlp)."""
    output_scale: float = 1e-2
    """Factor on the initial weights of the output layer; a small one starts near u = 0 (net mlp)."""
    seed: int = 0
    """Seed of initialisation, data, noise and times; lanes with the same seed share all random numbers."""
    log_every: int = 0
    """Steps between rows of the history; 0 is a fiftieth of the run."""
    eval_samples: int = 2048
    """Samples per evaluation during training; 0 records the loss only."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, _coerce(item.name, item.type, getattr(self, item.name)))
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must lie in [{_bound(low)}, {_bound(high)}], got {_short(value)}")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}; choices: {', '.join(choices)}")
        if self.anchor_min > self.anchor_max:
            raise ValueError(f"anchor_min {self.anchor_min} must not exceed anchor_max {self.anchor_max}")
        if self.embed_dim % 2:
            raise ValueError(f"embed_dim must be even (sines and cosines), got {self.embed_dim}")

    @property
    def log_interval(self) -> int:
        """Steps between rows of the history."""
        return self.log_every or max(1, self.steps // 50)

    @property
    def num_equal(self) -> int:
        """Rows of a batch with r = t."""
        return round(self.p_equal * self.batch_size)

    def replace(self, **changes: Any) -> "RunConfig":
        """A validated copy with some fields changed; an unknown name raises ValueError."""
        if unknown := sorted(set(changes) - set(FIELDS)):
            raise ValueError(f"unknown setting {unknown[0]!r}; choices: {', '.join(FIELDS)}")
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RunConfig":
        """The inverse of `to_dict`; an unknown key or a wrong type raises ValueError."""
        if unknown := sorted(set(values) - set(FIELDS)):
            raise ValueError(f"unknown setting {unknown[0]!r}; choices: {', '.join(FIELDS)}")
        return cls(**values)


class Change(NamedTuple):
    """A live change: from ``step`` on, the setting ``name`` is ``value``."""

    step: int
    name: str
    value: float


def with_changes(config: RunConfig, changes: Iterable[Change]) -> RunConfig:
    """``config`` after the live ``changes``, which are given oldest first.

    Raises:
        ValueError: a value out of range, or an unknown setting.
    """
    values = {change.name: change.value for change in changes}
    # No copy without changes: it would validate every point of a point cloud again.
    return config.replace(**values) if values else config


FIELDS: tuple[str, ...] = tuple(item.name for item in dataclasses.fields(RunConfig))

RANGES: dict[str, tuple[float, float]] = {
    "beta": (-100, 100),
    "steps": (1, 100_000_000),
    "batch_size": (1, 1_048_576),
    "learning_rate": (0, 10),
    "adam_beta2": (0, 1),
    "grad_clip": (0, 1e12),
    "ema_decay": (0, 1),
    "p_equal": (0, 1),
    "max_gap": (1e-6, 1),
    "adaptive_power": (0, 4),
    "adaptive_constant": (1e-12, 1e6),
    "anchor_weight": (0, 1e6),
    "anchor_min": (0, 1),
    "anchor_max": (0, 1),
    "label_dropout": (0, 1),
    "guidance": (0, 100),
    "guidance_mix": (0, 0.99),
    "width": (1, 8192),
    "depth": (1, 64),
    "embed_dim": (2, 1024),
    "embed_scale": (1e-6, 1e6),
    "output_scale": (0, 100),
    "seed": (0, 2**31 - 1),
    "log_every": (0, 100_000_000),
    "eval_samples": (0, 65_536),
}
"""Allowed range of each numeric field, ends included."""

CHOICES: dict[str, tuple[str, ...]] = {
    "lr_schedule": LR_SCHEDULES,
    "optimizer": OPTIMIZERS,
    "activation": ACTIVATIONS,
}
"""Fields with a fixed list of values."""


def _coerce(name: str, kind: Any, value: Any) -> Any:
    """``value`` as the type of the field; raises ValueError for another type, NaN and infinity."""
    kind = get_origin(kind) or kind
    if kind is dict:
        return _plain_options(name, value)
    if kind is str:
        if not isinstance(value, str):
            raise ValueError(f"{name} must be a string, got {_short(value)}")
        return value
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise ValueError(f"{name} must be a number, got {_short(value)}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        # An array, or an integer of hundreds of digits: the message shows a short form of either.
        raise ValueError(f"{name} must be a number, got {_short(value)}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value}")
    if kind is int and number != int(number):
        raise ValueError(f"{name} must be a whole number, got {value}")
    return int(value) if kind is int else number


def _bound(value: float) -> str:
    """A bound with all its digits where six are not enough: 2147483647, not 2.14748e+09."""
    return f"{value:g}" if float(f"{value:g}") == value else str(value)


def _short(value: Any) -> str:
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a number of more than 30 digits"  # Python raises an error for thousands of them.
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _plain_options(name: str, value: Any) -> dict[str, Any]:
    """Options as JSON types; arrays become lists."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name} must be a mapping of names to values, got {_short(value)}")
    plain = {key: item.tolist() if hasattr(item, "tolist") else item for key, item in value.items()}
    for key, item in plain.items():
        try:
            plain[key] = json.loads(json.dumps(item, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"{name}: {key} must be plain JSON without NaN or infinity: {error}") from error
    return plain


class Preset(NamedTuple):
    """A named group of settings: a one-line summary, and the settings that differ from the defaults."""

    summary: str
    settings: dict[str, Any]


PRESETS: dict[str, Preset] = {
    "default": Preset("the defaults of RunConfig: good samples after about ten seconds of training", {}),
    "paper_2d": Preset(
        "the 2-D protocol of Lu and Wang 2026: 200k steps, training gaps up to 0.5, sampling with gap 1",
        # Every setting, so that a changed default does not alter a published protocol.
        {
            "method": "meanflow",
            "coefficient": "constant",
            "proxy": "ema",
            "target": "conditional",
            "steps": 200_000,
            "batch_size": 256,
            "learning_rate": 1e-3,
            "lr_schedule": "cosine",
            "optimizer": "adam",
            "grad_clip": 0.0,
            "ema_decay": 0.999,
            "p_equal": 0.25,
            "max_gap": 0.5,
            "time_sampler": "uniform",
            "adaptive_power": 0.0,
            "anchor_weight": 0.0,
            "width": 128,
            "depth": 3,
            "activation": "silu",
            "embed_dim": 32,
            "embed_scale": 1.0,
            "output_scale": 1e-2,
        },
    ),
    "separated": Preset(
        "two distant modes, small batch, few steps: the regime where beta matters most",
        {
            "dataset": "two_gaussians",
            "dataset_options": {"separation": 8.0, "std": 0.2},
            "steps": 15_000,
            "batch_size": 32,
            "learning_rate": 3e-3,
            "activation": "silu",  # The results in results/separated were measured with it.
        },
    ),
    "one_step": Preset(
        "the protocol of the comparisons in results/: half of the intervals reach the data, small batch, few steps",
        {
            "time_sampler": "to_data",
            "time_options": {"share": 0.5},
            "activation": "gelu",
            "batch_size": 64,
            "learning_rate": 3e-3,
            "steps": 10_000,
        },
    ),
    "quick": Preset(
        "a few seconds, to check that everything works",
        {"steps": 1_000, "batch_size": 128, "learning_rate": 5e-3, "ema_decay": 0.99},
    ),
}
"""Name -> preset."""


def preset(name: str) -> dict[str, Any]:
    """The settings of the preset ``name``, as arguments of `RunConfig`.

    Raises:
        ValueError: no such preset; the message names the choices.

    >>> preset("separated")["batch_size"]
    32
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; choices: {', '.join(sorted(PRESETS))}")
    return dict(PRESETS[name].settings)
