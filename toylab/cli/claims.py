"""``toylab claims``: what the paper says, measured, with a verdict per claim."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from toylab.cli import parsing
from toylab.cli.dispatch import DONE, INTERRUPTED
from toylab.cli.folders import check_writable
from toylab.cli.output import note, plain, print_json, text_table
from toylab.cli.start import start_jax
from toylab.cli.sweep_cells import parse_shard
from toylab.cli.train import no_divergence_warning


@dataclass(frozen=True)
class Flags:
    """The ledger of claims: train what each claim needs, measure it, and judge it by a stated rule.

    claims.json, claims.md, claims.html and figures/ go into --out, runs below it. A run that diverges is a result
    here, not a failure of the command.
    """

    budget: Literal["smoke", "quick", "paper"] = "smoke"
    """smoke: two minutes; quick: twenty on two cores; paper: the full protocol, for a GPU."""
    only: str = ""
    """Claims, comma-separated; by default every claim of the budget."""
    out: Path | None = None
    """Folder of the ledger; runs/claims_BUDGET by default."""
    resume: bool = False
    """Continue in a folder that holds runs already."""
    shard: str = "0/1"
    """Part i/n of the runs, i from 0; claims whose runs are all there are judged."""
    json: bool = False
    """Print claims.json."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags.

    Raises:
        ValueError: a bad flag or value.
    """
    flags = parsing.parse("claims", Flags, argv)
    index, count = parse_shard(flags.shard)
    if not index < count:
        raise ValueError(f"--shard must look like 0/4, with i below n, got {flags.shard!r}")
    return flags


def run(flags: Flags) -> int:
    """Train, measure, judge, write."""
    start_jax()
    # Below here since they import JAX, which --help and a bad flag do not wait for.
    from toylab.experiments import claims
    from toylab.experiments.claims.files import seconds_spent, write_json, write_ledger
    from toylab.experiments.claims.ledger import RUNS, content

    chosen = claims.budget(flags.budget)
    entries = claims.chosen_claims(chosen, _names(flags.only))
    out = flags.out or Path(f"runs/claims_{chosen.name}")
    if not flags.resume and (out / RUNS).is_dir() and any((out / RUNS).iterdir()):
        raise ValueError(f"{out} holds runs already: choose another --out, or continue with --resume")
    check_writable(out / RUNS)
    num_cells = len(claims.planned_cells(entries, chosen))
    note(f"{len(entries)} claims, {num_cells} runs, budget {chosen.name}: {chosen.summary}")
    try:
        with no_divergence_warning():
            ledger = claims.run_ledger(
                chosen,
                entries,
                out,
                parse_shard(flags.shard),
                seconds_spent(out) if flags.resume else {},
                on_row=lambda rows: write_json(plain(content(chosen, rows)), out),
                note=note,
            )
    except KeyboardInterrupt:  # while training, after saving, or between two claims
        note(f"interrupted, state saved in {out}; the same command with --resume continues")
        return INTERRUPTED
    ledger = plain(ledger)
    write_ledger(ledger, out)
    note(f"written: claims.json, claims.md, claims.html, figures in {out}")
    if flags.json:
        print_json(ledger)
    else:
        print(as_text(ledger))
    return DONE


def as_text(ledger: dict[str, Any]) -> str:
    """The ledger for a terminal: the first effect of each claim, and the verdict on all of them."""
    # The package imports JAX, as above.
    from toylab.experiments.claims.pages import FOOTNOTE, headline, num_held, verdict_text

    header = ["claim", "verdict", "hold", "claimed", "measured", "95% interval", "seeds", "n", "floor"]
    rows = [[row["id"], verdict_text(row), num_held(row), *headline(row)] for row in ledger["claims"]]
    return f"{text_table(header, rows, 2)}\n\n{FOOTNOTE}"


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
