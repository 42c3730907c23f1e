"""``toylab evaluate RUN``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from toylab.cli import parsing
from toylab.cli.output import number, print_json, text_table
from toylab.cli.sample import MAX_NFE, check_number
from toylab.cli.settings import Whole

MAX_N, MAX_KEYS = 1_000_000, 1_000


@dataclass(frozen=True)
class Flags:
    """Measure a run against fresh data; every score comes with its standard error, its n and its floor."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Run folder."""
    metrics: str = "sliced_w1,sliced_w2"
    """Comma-separated names (`toylab list metrics`), or all."""
    n: Whole | None = None
    """Samples per key; by default 32768, or what the metric can afford."""
    num_keys: Whole = 4
    """Independent pairs of samples and data behind each standard error."""
    nfe: Whole | None = None
    """Network evaluations per sample; by default the method's own, 1 but for flow matching."""
    seed: Whole = 0
    """Of noise, data and projections."""
    json: bool = False
    """Print one JSON object: metric -> value, stderr, n, floor, num_keys, nfe."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags, with numbers in range."""
    flags = parsing.parse("evaluate", Flags, argv)
    if flags.n is not None:
        check_number("n", flags.n, 1, MAX_N)
    check_number("num-keys", flags.num_keys, 1, MAX_KEYS)
    if flags.nfe is not None:
        check_number("nfe", flags.nfe, 1, MAX_NFE)
    check_number("seed", flags.seed, 0, 2**20)
    return flags


def run(flags: Flags) -> int:
    """Measure and print."""
    from toylab.metrics import metrics

    names = [name.strip() for name in flags.metrics.split(",")]
    if names != ["all"]:
        for name in names:
            metrics.entry(name)  # unknown names need no training code
    from toylab.cli.start import start_jax

    start_jax()
    from toylab.evaluation import applicable_metrics, evaluate
    from toylab.training import load

    trained = load(flags.run)
    if names == ["all"]:
        names = applicable_metrics(trained.dataset)
    scores = evaluate(trained, names, n=flags.n, num_keys=flags.num_keys, nfe=flags.nfe, seed=flags.seed)
    if flags.json:
        print_json({name: score.to_json() for name, score in scores.items()})
        return 0
    rows = [
        [
            name,
            number(score.value),
            number(score.stderr, 2),
            number(score.floor),
            str(score.n),
            str(score.nfe),
        ]
        for name, score in scores.items()
    ]
    print(text_table(["metric", "value", "stderr", "floor", "n", "nfe"], rows))
    return 0
