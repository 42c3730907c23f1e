"""``toylab advise RUN|DATA``."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from toylab.cli import parsing
from toylab.cli.dispatch import DIVERGED, DONE
from toylab.cli.output import note, print_json, text_table
from toylab.cli.parsing import check_number
from toylab.cli.settings import read_values, settings_class, settings_of
from toylab.cli.start import start_jax
from toylab.cli.train import base_settings, no_divergence_warning, with_points, with_settings
from toylab.config import RunConfig
from toylab.formatting import interval, number


@dataclass(frozen=True)
class Flags:
    """Which beta to use for a run folder, a dataset or a file of points, how sure that is, and what would change it.

    For data, a short run is trained first with the settings given as flags.
    """

    about: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN|DATA")]
    """A run folder, the name of a dataset, or a csv, npy or npz file of points in the plane."""
    pilot_steps: int = 0
    """Steps of each pilot run; 0 takes 3000, or the run's own if fewer."""
    seeds: str = "0:3"
    """Seeds of the pilot runs, a list or a range."""
    probes: bool = False
    """Random probes and an independent proxy in the place of the exact velocity."""
    preset: str | None = None
    """Named settings to start from (`toylab list presets`); other flags win."""
    score_n: int = 16_384
    """Samples behind each score."""
    json: bool = False
    """Print one JSON object."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags, with numbers in range.

    Raises:
        ValueError: a bad flag or value.
    """
    flags = parsing.parse("advise", with_settings(Flags, settings_class(base_settings(argv))), argv)
    check_number("pilot-steps", flags.pilot_steps, 0, 10_000_000)
    check_number("score-n", flags.score_n, 1, 1_000_000)
    return flags


def run(flags: Flags) -> int:
    """Measure, try, and say."""
    seeds = read_values(int, flags.seeds)
    settings = settings_of(flags.settings)  # type: ignore[attr-defined]
    start_jax()
    # Below here since they import JAX, which --help and a bad flag do not wait for.
    from toylab.experiments.advise import advise

    with no_divergence_warning():
        subject = _subject(flags.about, settings, RunConfig().to_dict())
        if subject is None:
            return DIVERGED
        advice = advise(subject, flags.pilot_steps or None, seeds, flags.probes, flags.score_n)
    if flags.json:
        print_json(
            {
                **advice._asdict(),
                "measured": advice.measured._asdict(),
                "quality": advice.quality.to_dict("records"),
            }
        )
        return DONE
    print(advice)
    header = ["beta", "sw1", "95% interval", "floor", "n", "seeds", "diverged", "gain", "95% interval"]
    rows = [
        [
            f"{row['beta']:g}",
            number(row["sw1"]),
            interval(row["low"], row["high"]),
            number(row["floor"], 3),
            str(row["n"]),
            str(row["seeds"]),
            str(row["diverged"]),
            number(row["gain"], 3),
            interval(row["gain_low"], row["gain_high"], partial(number, digits=3)),
        ]
        for row in advice.quality.to_dict("records")
    ]
    print(f"\n{text_table(header, rows)}")
    return DONE


def _subject(about: str, settings: dict[str, Any], base: dict[str, Any]):
    """The run that advice is asked about: loaded, or trained on the data that was named."""
    # JAX, as above.
    from toylab.data import datasets
    from toylab.training import load, train

    path = Path(about)
    if path.is_dir():
        return load(path)
    if path.is_file():
        settings = with_points(settings, base, path)
    elif about in datasets.names():
        settings = {**settings, "dataset": about}
    else:
        raise ValueError(
            f"{about!r} is no run folder, file or dataset; datasets: {', '.join(datasets.names())}"
        )
    config = RunConfig.from_dict(settings)
    note(f"training a run of {config.steps} steps on {config.dataset} first")
    run = train(config)
    if run.status == "diverged":
        note(f"that run diverged at step {run.diverged_at}: lower --learning-rate or set --grad-clip")
        return None
    return run
