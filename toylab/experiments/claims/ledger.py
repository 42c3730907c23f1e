"""Ledgers: train the missing runs of claims, measure their effects, give verdicts; restartable."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from toylab.config import preset
from toylab.experiments.claims.base import AbstractClaim, claims
from toylab.experiments.claims.budgets import Budget
from toylab.experiments.claims.rules import RULE, UNMEASURED, claim_verdict, summary
from toylab.experiments.claims.store import Store
from toylab.experiments.sweep import Cell, Scoring, cell_name, is_finished, run_sweep, shard
from toylab.storage.provenance import environment

# Folder of the runs below that of a ledger.
RUNS = "runs"
# Settings of the protocol that claims are about.
TREATMENTS = frozenset({"method", "coefficient", "proxy", "target", "anchor_weight", "adaptive_power"})
Rows = list[dict[str, Any]]


def chosen_claims(chosen: Budget, only: Sequence[str] = ()) -> dict[str, AbstractClaim]:
    """Claims of a budget in the order of the ledger, or those named in ``only``.

    Raises:
        ValueError: an unknown claim, or one that the budget does not measure; the message names the choices.
    """
    every = {name: claims.create(name) for name in claims.names()}
    inside = {name: claim for name, claim in every.items() if chosen.name in claim.budgets}
    for name in only:
        claims.entry(name)
        if name not in inside:
            raise ValueError(
                f"budget {chosen.name} does not measure {name!r}; choices: {', '.join(sorted(inside))}"
            )
    names = sorted(only or inside, key=lambda name: every[name].position)
    return {name: every[name] for name in dict.fromkeys(names)}


def cells_of(claim: AbstractClaim, chosen: Budget) -> list[Cell]:
    """The runs of one claim."""
    if claim.unmeasured:
        return []
    named = {cell_name(config): config for config in claim.configs(chosen)}
    return [Cell(name, config) for name, config in named.items()]


def planned_cells(entries: Mapping[str, AbstractClaim], chosen: Budget) -> list[Cell]:
    """The runs of all claims, each once: many claims read the same runs."""
    cells = {cell.name: cell for claim in entries.values() for cell in cells_of(claim, chosen)}
    return list(cells.values())


def scoring_of(claim: AbstractClaim, chosen: Budget) -> Scoring:
    """The final evaluation of the runs of a claim."""
    return Scoring(("sliced_w1",), claim.score_n or chosen.score_n, chosen.score_keys)


def run_ledger(
    chosen: Budget,
    entries: Mapping[str, AbstractClaim],
    out: Path,
    part: tuple[int, int] = (0, 1),
    spent: Mapping[str, float] = MappingProxyType({}),
    on_row: Callable[[Rows], None] = lambda rows: None,
    note: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train, measure and judge claim by claim; the ledger is complete after each of them.

    Args:
        chosen: the budget.
        entries: the claims, as from `chosen_claims`.
        out: folder of the ledger; runs go below it, and finished ones are kept.
        part: index and count: train only this part of the runs, and judge the claims whose runs are there.
        spent: claim -> seconds that an earlier, stopped ledger in ``out`` took for it; they count.
        on_row: called with all rows so far, after each.
        note: called with a line on progress.

    Returns:
        the content of claims.json.

    Raises:
        TrainingInterrupted: as `toylab.train`, after saving.
    """
    mine = {cell.name for cell in shard(planned_cells(entries, chosen), *part)}
    store, rows = Store(out / RUNS, chosen.points), []
    for name, claim in entries.items():
        begin = time.perf_counter()
        cells = cells_of(claim, chosen)
        run_sweep([cell for cell in cells if cell.name in mine], out / RUNS, scoring_of(claim, chosen))
        rows.append(row(name, claim, chosen, store, cells))
        rows[-1]["seconds"] = round(spent.get(name, 0.0) + time.perf_counter() - begin, 2)
        note(f"{len(rows)} of {len(entries)}: {name}: {rows[-1]['verdict']} ({rows[-1]['seconds']:.0f} s)")
        on_row(rows)
    return content(chosen, rows)


def row(
    name: str, claim: AbstractClaim, chosen: Budget, store: Store, cells: Sequence[Cell]
) -> dict[str, Any]:
    """One row of the ledger, from the runs that are there; its verdict follows from its own ``effects``."""
    reason = claim.unmeasured
    if not reason:
        scoring = scoring_of(claim, chosen)
        missing = sum(not is_finished(store.folder / cell.name, scoring) for cell in cells)
        reason = f"{missing} of {len(cells)} runs are not trained yet" if missing else ""
    effects = [] if reason else [effect.to_json() for effect in claim.measure(store, chosen)]
    summaries = [summary(effect) for effect in effects]
    head, first = (effects[0], summaries[0]) if effects else ({}, {})
    return {
        "id": name,
        "statement": claim.statement,
        "source": claim.source,
        "citation": claim.citation,
        "claimed": head.get("claimed") if effects else claim.claimed,
        "measured": first.get("mean"),
        "interval": first.get("interval", [None, None]),
        "n": head.get("n", 0),
        "seeds": [int(seed) for seed in head.get("values", {})],
        "floor": head.get("floor"),
        "verdict": claim_verdict(effects),
        "protocol": claim.protocol(chosen),
        "deviations": deviations(cells),
        "seconds": 0.0,
        "reason": reason,
        "note": claim.note,
        "effects": [{**effect, **found} for effect, found in zip(effects, summaries, strict=True)],
        "num_runs": len(cells),
        "steps": sum(cell.config.steps for cell in cells),
        "figure": f"figures/{name}.png" if effects else None,
        "command": f"toylab claims --budget {chosen.name} --only {name}",
    }


def deviations(cells: Sequence[Cell]) -> list[str]:
    """Settings of the runs that differ from the paper's 2-D protocol, other than those that a claim is about."""
    published = {name: value for name, value in preset("paper_2d").items() if name not in TREATMENTS}
    found = {}
    for name, value in published.items():
        used = sorted({str(getattr(cell.config, name)) for cell in cells} - {str(value)})
        if used:
            found[name] = f"{name} {', '.join(used)} instead of {value}"
    return list(found.values())


def content(chosen: Budget, rows: Rows) -> dict[str, Any]:
    """The content of claims.json."""
    made = environment()
    return {
        "budget": chosen.name,
        "summary": chosen.summary,
        "date": made["date"],
        "versions": made["versions"],
        "environment": made,
        "rule": RULE,
        "claims": rows,
    }


def num_judged(rows: Rows) -> int:
    """Rows with a verdict."""
    return sum(row["verdict"] != UNMEASURED for row in rows)
