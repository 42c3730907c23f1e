"""``toylab sample RUN``."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from jaxtyping import Float

from toylab.cli import parsing
from toylab.cli.output import note, print_json
from toylab.cli.parsing import check_number
from toylab.cli.settings import Whole
from toylab.cli.start import start_jax
from toylab.storage.atomic import atomic_write_bytes

MAX_SAMPLES, MAX_NFE = 10_000_000, 10_000
"""The limits of `Run.sample`."""


@dataclass(frozen=True)
class Flags:
    """Draw samples from a run and write them to a file, or as csv to standard output."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Run folder."""
    n: Whole = 4096
    """Number of samples."""
    nfe: Whole = 1
    """Network evaluations per sample."""
    guidance: float | None = None
    """Scale of classifier-free guidance, for data with classes; doubles the network evaluations."""
    seed: Whole = 0
    """Seed of the noise; the same seed gives every run the same noise."""
    out: Path | None = None
    """File to write: .npz (array 'generated'), .csv, or .png for images; by default csv to standard output."""
    json: bool = False
    """Print one JSON object: path and settings of the file, or the samples themselves without --out."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags, checked: numbers in range, a known file ending."""
    flags = parsing.parse("sample", Flags, argv)
    check_number("n", flags.n, 1, MAX_SAMPLES)
    check_number("nfe", flags.nfe, 1, MAX_NFE)
    check_number("seed", flags.seed, 0, 2**31 - 1)
    if flags.out is not None and flags.out.suffix not in (*_ENCODERS, PICTURE):
        raise ValueError(f"--out {flags.out} must end in {', '.join(_ENCODERS)} or {PICTURE}")
    return flags


def run(flags: Flags) -> int:
    """Draw the samples and write them."""
    # 2.7 s to import, which --help and a bad flag must not wait for.
    from toylab.training import load

    start_jax()
    trained = load(flags.run)
    image = trained.dataset.shape.image
    if flags.out is not None and flags.out.suffix == PICTURE and image is None:
        raise ValueError(f"--out {flags.out}: {trained.config.dataset} has no images; choose .npz or .csv")
    points = trained.sample(flags.n, nfe=flags.nfe, seed=flags.seed, guidance=flags.guidance)
    facts = {"n": len(points), "dim": points.shape[1], "nfe": flags.nfe, "seed": flags.seed}
    if flags.out is not None:
        atomic_write_bytes(flags.out, _encoded(flags.out.suffix, points, image))
        note(f"{flags.n} samples written to {flags.out}")
        if flags.json:
            print_json({"path": str(flags.out), **facts})
    elif flags.json:
        print_json({**facts, "samples": points.tolist()})
    else:
        print(_csv(points).decode(), end="")
    return 0


def _encoded(suffix: str, points: Float[np.ndarray, "n dim"], image: tuple[int, int, int] | None) -> bytes:
    if suffix == PICTURE and image is not None:
        # Matplotlib takes 0.9 s to import, and only this format needs it.
        from toylab.plots.images import grid_png

        return grid_png(points.reshape(-1, *image))
    return _ENCODERS[suffix](points)


def _csv(points: Float[np.ndarray, "n dim"]) -> bytes:
    text = io.StringIO()
    header = ",".join(f"x{axis}" for axis in range(points.shape[1]))
    # Nine significant digits represent every float32 exactly.
    np.savetxt(text, points, delimiter=",", header=header, comments="", fmt="%.9g")
    return text.getvalue().encode()


def _npz(points: Float[np.ndarray, "n dim"]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, generated=points)
    return buffer.getvalue()


_ENCODERS = {".npz": _npz, ".csv": _csv}
PICTURE = ".png"
