"""``toylab evaluate RUN``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from toylab.cli import parsing
from toylab.cli.output import print_json, text_table
from toylab.cli.parsing import check_number
from toylab.cli.sample import MAX_NFE
from toylab.cli.settings import Whole
from toylab.cli.start import start_jax
from toylab.formatting import number

if TYPE_CHECKING:  # 2.7 s to import, which --help and a bad flag must not wait for
    from toylab.training import Run

MAX_N, MAX_KEYS = 1_000_000, 1_000
NUM_KEYS = 4


@dataclass(frozen=True)
class Flags:
    """Score a run against fresh data; every score has its standard error, its n and its floor."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Run folder."""
    metrics: str = "sliced_w1,sliced_w2"
    """Comma-separated names (`toylab list metrics`), or all."""
    features: str = ""
    """Score images by the features of a net instead: fdd-v1 (digits), ffd-v1 (fashion), or inception:PATH (FID)."""
    reference: Path | None = None
    """With --features: an npz file with mu and sigma of the features of real images, used instead of those images."""
    guidance: float | None = None
    """With --features: scale of classifier-free guidance."""
    n: Whole | None = None
    """Samples per key; by default 32768 (10000 for images), fewer where the metric is expensive."""
    num_keys: Whole | None = None
    """Independent sample sets per standard error; by default 4, for images 1."""
    nfe: Whole | None = None
    """Network evaluations per sample; by default that of the method: 1, more for flow matching."""
    seed: Whole = 0
    """Seed of noise, data and projections."""
    json: bool = False
    """Print one JSON object: metric -> value, stderr, n, floor, num_keys, nfe."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags, with numbers in range."""
    flags = parsing.parse("evaluate", Flags, argv)
    if flags.n is not None:
        check_number("n", flags.n, 1, MAX_N)
    if flags.num_keys is not None:
        check_number("num-keys", flags.num_keys, 1, MAX_KEYS)
    if not flags.features and (flags.reference or flags.guidance is not None):
        raise ValueError("--reference and --guidance require --features")
    if flags.nfe is not None:
        check_number("nfe", flags.nfe, 1, MAX_NFE)
    check_number("seed", flags.seed, 0, 2**20)
    return flags


def run(flags: Flags) -> int:
    """Measure and print the scores."""
    # 0.5 s to import, which --help and a bad flag must not wait for.
    from toylab.metrics import metrics

    names = [name.strip() for name in flags.metrics.split(",")]
    if names != ["all"]:
        for name in names:
            metrics.entry(name)
    # 2.7 s to import, which an unknown metric must not wait for either.
    from toylab.evaluation import applicable_metrics, evaluate
    from toylab.training import load

    start_jax()
    trained = load(flags.run)
    if flags.features:
        return _score_images(trained, flags)
    if names == ["all"]:
        names = applicable_metrics(trained.dataset)
    scores = evaluate(
        trained, names, n=flags.n, num_keys=flags.num_keys or NUM_KEYS, nfe=flags.nfe, seed=flags.seed
    )
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


def _score_images(trained: "Run", flags: Flags) -> int:
    # As in `run`: 2.7 s to import.
    from toylab.evaluation import NUM_IMAGES, evaluate_images
    from toylab.features import score_line

    scores = evaluate_images(
        trained,
        flags.features,
        n=flags.n or NUM_IMAGES,
        num_keys=flags.num_keys or 1,
        nfe=flags.nfe,
        seed=flags.seed,
        guidance=flags.guidance,
        reference=flags.reference,
    )
    if flags.json:
        print_json({name: score.to_json() for name, score in scores.items()})
    else:
        for name, score in scores.items():
            print(score_line(name, score))
    return 0
