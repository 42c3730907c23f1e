"""``toylab evaluate RUN``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from toylab.cli import parsing
from toylab.cli.output import print_json, text_table
from toylab.cli.sample import MAX_NFE, check_number
from toylab.cli.settings import Whole
from toylab.formatting import number

if TYPE_CHECKING:
    from toylab.training import Run

MAX_N, MAX_KEYS = 1_000_000, 1_000
NUM_KEYS = 4


@dataclass(frozen=True)
class Flags:
    """Measure a run against fresh data; every score comes with its standard error, its n and its floor."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Run folder."""
    metrics: str = "sliced_w1,sliced_w2"
    """Comma-separated names (`toylab list metrics`), or all."""
    features: str = ""
    """Score images by a net's features instead: fdd-v1 (digits), ffd-v1 (fashion), or inception:PATH, which is FID."""
    reference: Path | None = None
    """With --features: an npz with mu and sigma of the features of real images, in the place of those images."""
    guidance: float | None = None
    """With --features: scale of classifier-free guidance of the samples."""
    n: Whole | None = None
    """Samples per key; by default 32768 (10000 images), or what the metric can afford."""
    num_keys: Whole | None = None
    """Independent samples behind each standard error; by default 4, of images 1."""
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
    if flags.num_keys is not None:
        check_number("num-keys", flags.num_keys, 1, MAX_KEYS)
    if not flags.features and (flags.reference or flags.guidance is not None):
        raise ValueError("--reference and --guidance go with --features")
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
