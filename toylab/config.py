"""Every setting of a run in one frozen, validated, JSON-able record."""

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
    """One training run: data, objective, optimisation, net, and what to measure.

    Time runs from data (t = 0) to noise (t = 1), r <= t. Names of datasets, methods, proxies and coefficient rules
    are looked up when the run is built; numbers are checked here.

    Raises:
        ValueError: a value out of range; the message names the value and what is allowed.
    """

    dataset: str = "eight_gaussians"
    """Name of the data distribution (`toylab list datasets`)."""
    dataset_options: dict[str, Any] = field(default_factory=dict)
    """Options of the dataset, for example {"separation": 8.0}."""
    method: str = "meanflow"
    """Name of the training objective (`toylab list methods`)."""
    method_options: dict[str, Any] = field(default_factory=dict)
    """Options of the method."""
    beta: float = 0.5
    """Coefficient of the tangent, any finite real: 0 is vanilla MeanFlow, 1 uses the proxy alone."""
    coefficient: str = "constant"
    """Rule for beta over training (`toylab list coefficients`)."""
    coefficient_options: dict[str, Any] = field(default_factory=dict)
    """Options of the coefficient rule, for example {"end": 0.0, "until": 0.6}."""
    proxy: str = "ema"
    """Estimate of the marginal velocity in the tangent (`toylab list proxies`)."""
    proxy_options: dict[str, Any] = field(default_factory=dict)
    """Options of the tangent's proxy."""
    target: str = "conditional"
    """Regression target: the conditional velocity, or the name of a proxy."""
    target_options: dict[str, Any] = field(default_factory=dict)
    """Options of the target's proxy."""
    steps: int = 10_000
    """Optimiser steps."""
    batch_size: int = 256
    """Examples per step."""
    learning_rate: float = 3e-3
    """Peak learning rate."""
    lr_schedule: str = "cosine"
    """Learning rate over training: constant, or cosine down to 1% of the peak."""
    optimizer: str = "adam"
    """Update rule."""
    adam_beta2: float = 0.999
    """Decay of the mean square of Adam and AdamW; transformers on images often use 0.95."""
    grad_clip: float = 0.0
    """Largest global norm of a gradient; 0 switches clipping off."""
    ema_decay: float = 0.999
    """Decay of the exponential moving average of the parameters: the proxy 'ema' and the sampler."""
    p_equal: float = 0.25
    """Share of a batch with r = t (plain flow matching)."""
    max_gap: float = 1.0
    """Largest gap t - r that is trained on; one-step sampling uses gap 1."""
    time_sampler: str = "uniform"
    """Distribution of the pair of times (`toylab list time_samplers`)."""
    time_options: dict[str, Any] = field(default_factory=dict)
    """Options of the time sampler."""
    adaptive_power: float = 0.0
    """Power p of the adaptive weight 1 / (|residual|^2 + c)^p; 0 is no weight."""
    adaptive_constant: float = 0.01
    """Constant c of the adaptive weight."""
    anchor_weight: float = 0.0
    """Weight of the small-gap flow-matching anchor; 0 switches it off."""
    anchor_min: float = 1e-4
    """Smallest gap of the anchor."""
    anchor_max: float = 1e-2
    """Largest gap of the anchor."""
    label_dropout: float = 0.0
    """Share of examples whose class is hidden from the net, so that it learns the velocity of all classes as well."""
    guidance: float = 1.0
    """Scale omega of classifier-free guidance in the training target; 1 without."""
    guidance_mix: float = 0.0
    """Share kappa of the net's own class velocity in that target; the effective scale is omega / (1 - kappa)."""
    net: str = "mlp"
    """Net u(x, r, t) (`toylab list nets`)."""
    net_options: dict[str, Any] = field(default_factory=dict)
    """Options of the net, for example {"size": "B", "patch": 4}."""
    width: int = 128
    """Units per hidden layer (net mlp)."""
    depth: int = 3
    """Hidden layers (net mlp)."""
    activation: str = "gelu"
    """Non-linearity of the hidden layers (net mlp)."""
    embed_dim: int = 32
    """Size of the sinusoidal embedding of each time (net mlp)."""
    embed_scale: float = 1.0
    """Factor on time before it is embedded (1 in the 2-D protocol, 1000 in many image nets; net mlp)."""
    output_scale: float = 1e-2
    """Factor on the output layer's initial weights: near zero starts at u = 0 (net mlp)."""
    seed: int = 0
    """Seed of initialisation, data, noise and times; the same seed gives common random numbers across lanes."""
    log_every: int = 0
    """Steps between rows of the history; 0 picks a fiftieth of the run."""
    eval_samples: int = 2048
    """Samples of each evaluation during training; 0 measures nothing but the loss."""

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
            raise ValueError(f"anchor_min {self.anchor_min} lies above anchor_max {self.anchor_max}")
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
        """A copy with some fields changed, validated again."""
        if unknown := sorted(set(changes) - set(FIELDS)):
            raise ValueError(f"unknown setting {unknown[0]!r}; choices: {', '.join(FIELDS)}")
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RunConfig":
        """The inverse of `to_dict`; unknown keys and wrong types raise ValueError."""
        if unknown := sorted(set(values) - set(FIELDS)):
            raise ValueError(f"unknown setting {unknown[0]!r}; choices: {', '.join(FIELDS)}")
        return cls(**values)


class Change(NamedTuple):
    """A live change: from ``step`` on, the setting ``name`` is ``value``."""

    step: int
    name: str
    value: float


def with_changes(config: RunConfig, changes: Iterable[Change]) -> RunConfig:
    """``config`` as it stands after ``changes``, oldest first.

    Raises:
        ValueError: a value out of range, or an unknown setting.
    """
    values = {change.name: change.value for change in changes}
    return config.replace(**values) if values else config  # a copy checks every point of a cloud again


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
"""Closed ranges of the numeric fields."""

CHOICES: dict[str, tuple[str, ...]] = {
    "lr_schedule": LR_SCHEDULES,
    "optimizer": OPTIMIZERS,
    "activation": ACTIVATIONS,
}
"""Fields with a fixed list of values."""


def _coerce(name: str, kind: Any, value: Any) -> Any:
    """``value`` as the field's type, or a ValueError that names it; NaN and infinity are refused."""
    kind = get_origin(kind) or kind
    if kind is dict:
        return _plain_options(name, value)
    if kind is str:
        if not isinstance(value, str):
            raise ValueError(f"{name} must be a name, got {_short(value)}")
        return value
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise ValueError(f"{name} must be a number, got {_short(value)}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        # An array of several numbers, or an integer of hundreds of digits: neither may fill the screen.
        raise ValueError(f"{name} must be a number, got {_short(value)}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value}")
    if kind is int and number != int(number):
        raise ValueError(f"{name} must be a whole number, got {value}")
    return int(value) if kind is int else number


def _bound(value: float) -> str:
    """A bound in full where six digits are not enough: 2147483647, not 2.14748e+09."""
    return f"{value:g}" if float(f"{value:g}") == value else str(value)


def _short(value: Any) -> str:
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a number of more than 30 digits"  # Python refuses to print those of thousands
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _plain_options(name: str, value: Any) -> dict[str, Any]:
    """Options as plain JSON types (arrays become lists)."""
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
    """One line on the purpose, and the settings that differ from the defaults."""

    summary: str
    settings: dict[str, Any]


PRESETS: dict[str, Preset] = {
    "default": Preset("the defaults of RunConfig: good samples in about ten seconds of training", {}),
    "paper_2d": Preset(
        "the 2-D protocol of Lu and Wang 2026: 200k steps, gaps up to 0.5 while sampling uses 1",
        # All of it, so that no change of a default moves a published protocol.
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
        "two far modes, small batch, short budget: the regime in which beta decides",
        {
            "dataset": "two_gaussians",
            "dataset_options": {"separation": 8.0, "std": 0.2},
            "steps": 15_000,
            "batch_size": 32,
            "learning_rate": 3e-3,
            "activation": "silu",  # the committed results were measured with it
        },
    ),
    "one_step": Preset(
        "the protocol of our comparisons: half of the pairs end at the data, small batch, short budget",
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
        "a few seconds: to see that everything works",
        {"steps": 1_000, "batch_size": 128, "learning_rate": 5e-3, "ema_decay": 0.99},
    ),
}
"""The presets by name."""


def preset(name: str) -> dict[str, Any]:
    """The settings of the preset called ``name``, to be passed to `RunConfig`.

    Raises:
        ValueError: no such preset; the message names the choices.

    >>> preset("separated")["batch_size"]
    32
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; choices: {', '.join(sorted(PRESETS))}")
    return dict(PRESETS[name].settings)
