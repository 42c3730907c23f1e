"""What the page Methods shows of each method, proxy and rule: its registry entry, its cost, its measured scores."""

import inspect
import json
import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, NamedTuple

from toylab.coefficients import coefficients
from toylab.config import RunConfig, preset
from toylab.experiments.compare import contestants
from toylab.methods import AbstractTwoStageMethod, methods
from toylab.proxies import proxies
from toylab.registry import Registry
from toylab.training.cost import network_evaluations
from toylab.training.experiment import without_unused_settings
from toylab.ui import ASSETS
from toylab.ui.references import Reference, references


class Family(NamedTuple):
    """One kind of thing that can be chosen."""

    kind: str
    registry: Registry
    prefix: str
    """Of its contestants in a comparison."""


FAMILIES = {
    family.kind: family
    for family in (
        Family("methods", methods, ""),
        Family("proxies", proxies, "proxy "),
        Family("rules", coefficients, "rule "),
    )
}


class Member(NamedTuple):
    """One member of a family."""

    name: str
    contestant: str
    summary: str
    body: tuple[str, ...]
    """The docstring's paragraphs between its first line and its first section."""
    arguments: str
    source: str
    """What the docstring says of its source, and how sure it is."""
    formula: str
    changes: tuple[str, ...]
    confidence: str
    unbiased: bool
    uses_beta: bool
    two_stages: bool
    published: Mapping[str, Any]
    adapted: Mapping[str, Any]
    reference: Reference | None
    options: Mapping[str, Any]


def names(kind: str) -> list[str]:
    """The registered names of a kind."""
    return FAMILIES[kind].registry.names()


@cache
def member(kind: str, name: str) -> Member:
    """The record of one member.

    Raises:
        ValueError: no such name; the message names the choices.
    """
    family = FAMILIES[kind]
    entry = family.registry.entry(name)
    build = entry.build
    summary, body, sections = _parts(inspect.getdoc(build) or "")
    return Member(
        name=name,
        contestant=f"{family.prefix}{name}",
        summary=summary,
        body=body,
        arguments=sections.get("Args", ""),
        source=sections.get("Source", ""),
        formula=getattr(build, "formula", ""),
        changes=tuple(getattr(build, "changes", ())),
        confidence=getattr(build, "confidence", ""),
        unbiased=getattr(build, "unbiased", True),
        uses_beta=getattr(build, "uses_beta", False),
        two_stages=isinstance(build, type) and issubclass(build, AbstractTwoStageMethod),
        published=dict(getattr(build, "published", {})),
        adapted=dict(getattr(build, "adapted", {})),
        reference=references().get(entry.citation),
        options=family.registry.options(name),
    )


_SECTION = re.compile(r"^(Args|Raises|Returns|Source):[ \n]", re.MULTILINE)


def _parts(docstring: str) -> tuple[str, tuple[str, ...], dict[str, str]]:
    """First line, paragraphs, and sections by name."""
    pieces = _SECTION.split(docstring)
    sections = {name: inspect.cleandoc(text) for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", pieces[0].strip())]
    return paragraphs[0], tuple(filter(None, paragraphs[1:])), sections


# Cost, in network evaluations; counted by a script, since tracing all methods takes seconds.

BASELINE = "vanilla"


def cost_settings() -> RunConfig:
    """The settings under which costs are counted: those of the comparison in results/methods."""
    return RunConfig(**{**preset("one_step"), "steps": 20_000})


def count_costs(only: Collection[str] = ()) -> dict[str, float]:
    """Network evaluations per example and step of contestants, by default all, counted off the traced programs.

    Two stages, and the pairs made between them, are spread over all steps.
    """
    found = {}
    for entrant in contestants(["all"], ["all"], ["all"]):
        if only and entrant.name not in only:
            continue
        config = without_unused_settings(cost_settings().replace(**entrant.settings))
        total = network_evaluations(config).total
        found[entrant.name] = round(total / (config.steps * config.batch_size), 4)
    return found


@cache
def costs() -> dict[str, float]:
    """The counts that came with the package."""
    return json.loads((ASSETS / "costs.json").read_text())


def relative_cost(contestant: str) -> float | None:
    """Evaluations per example and step, vanilla MeanFlow as 1; None for one added since the script ran."""
    known = costs()
    return known[contestant] / known[BASELINE] if contestant in known else None


# Measured scores: packaged copies of results/*/compare.json.

FILES = {"methods": "compare_methods.json", "rules": "compare_rules.json"}
"""Comparison -> packaged file; each is a copy of results/NAME/compare.json."""


class Measured(NamedTuple):
    """One contestant on one dataset, sliced W1 over seeds with its 95% interval."""

    dataset: str
    score: float | None
    """None where every run diverged."""
    low: float
    high: float
    floor: float
    n: int
    seeds: int
    diverged: int
    nfe: int
    vanilla: float
    gain: float | None
    """Share of vanilla MeanFlow's score that is gone, paired by seed; None where it cannot be paired."""
    gain_low: float
    gain_high: float


@cache
def _tables() -> dict[str, list[dict[str, Any]]]:
    return {name: json.loads((ASSETS / file).read_text())["table"] for name, file in FILES.items()}


@cache
def measured(contestant: str) -> tuple[Measured, ...]:
    """What was measured of a contestant, dataset by dataset; empty where nothing was."""
    found = []
    for table in _tables().values():
        vanilla = {row["dataset"]: row["sw1"] for row in table if row["contestant"] == "vanilla"}
        found += [_row(row, vanilla) for row in table if row["contestant"] == contestant]
    return tuple(found)


def _row(row: dict[str, Any], vanilla: dict[str, float]) -> Measured:
    same = ("low", "high", "floor", "n", "seeds", "diverged", "nfe", "gain", "gain_low", "gain_high")
    return Measured(
        dataset=row["dataset"],
        score=row["sw1"],
        vanilla=vanilla[row["dataset"]],
        **{name: row[name] for name in same},
    )
