"""Who takes part in a race: a method, or MeanFlow with its coefficient, proxies and rule; as settings and as text."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from toylab.catalogue import available
from toylab.config import RunConfig
from toylab.experiments.compare import contestants
from toylab.training.experiment import without_unused_settings
from toylab.ui import settings
from toylab.ui.jobs import MAX_LANES, Lane

MEANFLOW = "meanflow"


class Entrant(NamedTuple):
    """One lane of a race; of methods other than MeanFlow, the method alone counts."""

    method: str = MEANFLOW
    beta: float = 1.0
    proxy: str = "ema"
    target: str = "conditional"
    rule: str = "constant"

    @property
    def label(self) -> str:
        """What people read."""
        if self.method != MEANFLOW:
            return self.method.replace("_", " ")
        if self.beta == 0 and self.rule == "constant" and self.target == "conditional":
            return "MeanFlow, β = 0"
        parts = [f"β = {self.beta:g}", self.proxy.replace("_", " ")]
        if self.rule != "constant":
            parts.append(f"{self.rule.replace('_', ' ')} rule")
        if self.target != "conditional":
            parts.append(f"target {self.target.replace('_', ' ')}")
        return ", ".join(parts)


PRESETS: Mapping[str, tuple[Entrant, ...]] = {
    "four coefficients": tuple(Entrant(beta=beta) for beta in (0.0, 0.5, 1.0, 1.5)),
    "four proxies": (
        Entrant(beta=0.0),
        Entrant(proxy="ema"),
        Entrant(proxy="batch_posterior", target="batch_posterior"),
        Entrant(proxy="oracle", target="oracle"),
    ),
    "published fixes": (
        Entrant(beta=0.0),
        Entrant("improved_meanflow"),
        Entrant("alphaflow"),
        Entrant("terminal_velocity_matching"),
    ),
    "rules for β": (
        Entrant(beta=0.0),
        Entrant(),
        Entrant(rule="linear"),
        Entrant(rule="per_sample"),
    ),
}
"""Races worth seeing; the first lane is what the others are held against."""
FIRST = "four coefficients"


def choices(field: str) -> tuple[str, ...]:
    """What a field of an `Entrant` may be; MeanFlow and what is usual first."""
    if field in {"proxy", "target"}:
        return settings.PROXIES
    first = {"method": MEANFLOW, "rule": "constant"}[field]
    names = available({"method": "methods", "rule": "coefficients"}[field])
    return (first, *(name for name in names if name != first))


def valid(raw: Mapping[str, Any]) -> Entrant:
    """An entrant of raw values, each replaced by its default where it is none of the choices."""
    default = Entrant()
    named = {
        field: value if (value := raw.get(field)) in choices(field) else getattr(default, field)
        for field in ("method", "proxy", "target", "rule")
    }
    return Entrant(**named, beta=settings.snap_beta(raw.get("beta", default.beta)))


def to_text(entrants: Sequence[Entrant]) -> str:
    """A race for the address bar: ``meanflow:0,alphaflow,meanflow:1:ema:conditional:linear``."""
    return ",".join(_text(entrant) for entrant in entrants)


def from_text(text: str) -> tuple[Entrant, ...]:
    """The race that ``text`` names, at most four lanes; every part is checked, and () where there is nothing."""
    fields = ("method", "beta", "proxy", "target", "rule")
    parts = [part for part in text[:500].split(",") if part.strip()][:MAX_LANES]
    return tuple(valid(dict(zip(fields, part.strip().split(":"), strict=False))) for part in parts)


def lanes(base: RunConfig, entrants: Sequence[Entrant]) -> list[Lane]:
    """The lanes to train: ``base`` with each entrant's settings, labelled so that no two are alike.

    Other methods than MeanFlow take what they need in a short budget and none of their other published settings, as
    in `toylab compare`.
    """
    made: list[Lane] = []
    for entrant, label in zip(entrants, labels(entrants), strict=True):
        made.append(Lane(label, config_of(base, entrant)))
    return made


def labels(entrants: Sequence[Entrant]) -> list[str]:
    """A label for each, numbered where two are alike."""
    found: list[str] = []
    for entrant in entrants:
        count = sum(label.split(" (")[0] == entrant.label for label in found)
        found.append(f"{entrant.label} ({count + 1})" if count else entrant.label)
    return found


def config_of(base: RunConfig, entrant: Entrant) -> RunConfig:
    """``base`` as this entrant trains it."""
    if entrant.method != MEANFLOW:
        _, contestant = contestants([entrant.method])
        chosen = dict(contestant.settings)
    else:
        chosen = {
            "method": MEANFLOW,
            "beta": entrant.beta,
            "proxy": entrant.proxy,
            "target": entrant.target,
            "coefficient": entrant.rule,
        }
    return without_unused_settings(base.replace(**chosen))


def _text(entrant: Entrant) -> str:
    if entrant.method != MEANFLOW:
        return entrant.method
    parts = [MEANFLOW, f"{entrant.beta:g}", entrant.proxy, entrant.target, entrant.rule]
    default = Entrant()
    while len(parts) > 2 and parts[-1] == getattr(default, Entrant._fields[len(parts) - 1]):
        parts.pop()
    return ":".join(parts)
