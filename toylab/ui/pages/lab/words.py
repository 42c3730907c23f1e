"""The sentence under the Lab's squares: what to look at now."""

import math

import numpy as np

from toylab.formatting import short
from toylab.ui.jobs import JobState, Snapshot
from toylab.ui.widgets.stage import Kind, waiting


def sentence(snapshot: Snapshot, place: int = 0, kind: Kind = "job") -> str:
    """What the picture shows and what to watch; changes with the state and with what was measured."""
    config, state = snapshot.config, snapshot.state
    if snapshot.message:
        return snapshot.message
    if kind == "preview":
        return "This is the data. Press Start: two nets learn it side by side, and only β differs."
    if state is JobState.QUEUED:
        return waiting(place)
    if state is JobState.COMPILING:
        return "Compiling this combination of data and net; the points move in a few seconds."
    if state is JobState.DONE:
        tail = (
            "Press Start to train both live."
            if kind == "stored"
            else "One seed: try others before you conclude."
        )
        return f"{verdict(snapshot)} {tail}"
    if state is JobState.STOPPED:
        return f"Stopped at step {snapshot.step:,}: unfinished, so a report gives it no score. Start begins again."
    if state is JobState.PAUSED:
        return f"Paused at step {snapshot.step:,}. Step on, or move β and resume."
    if config.beta == 0:
        return "At β = 0 both lanes are the same run. Move the slider and watch them part."
    return progress(snapshot)


def progress(snapshot: Snapshot) -> str:
    """While training: first the way out from the centre, then the noise of the gradient."""
    ratio = _variance_ratio(snapshot)
    if snapshot.step < 0.12 * snapshot.steps or not math.isfinite(ratio):
        return "Same weights, same noise, same data; only β differs. Watch which points reach the data first."
    if ratio >= 1.3:
        return f"Lately your gradient has {_times(ratio)} less variance: compare the points gone astray."
    if ratio <= 1 / 1.3:
        return f"Lately your gradient has {_times(1 / ratio)} more variance: watch its points lag behind."
    return "Lately both gradients have about the same variance: expect no large difference."


def _variance_ratio(snapshot: Snapshot) -> float:
    """Baseline over chosen, the median of the last rows: each row is a noisy estimate from eight batches.

    Rows from before the last change of beta are of another run; those at its step too, since they were taken before.
    """
    if len(snapshot.histories) < 2 or not len(snapshot.histories[0]):
        return math.nan
    changed = max((event.step for event in snapshot.events if event.name == "beta"), default=-1)
    chosen, baseline = (
        table["grad_variance"].to_numpy()[table.index.to_numpy() > changed][-7:]
        for table in snapshot.histories
    )
    return float(np.median(baseline / chosen)) if len(chosen) and np.all(chosen > 0) else math.nan


def _times(ratio: float) -> str:
    return f"about {float(f'{ratio:.1g}'):,.0f} times" if ratio >= 2 else "somewhat"


def verdict(snapshot: Snapshot) -> str:
    """Distances of both lanes with what they are worth: the floor and the number of samples."""
    chosen, baseline = snapshot.scores
    if not math.isfinite(chosen + baseline):
        return "Finished; no distance was measured."
    return (
        f"Distance to the data: {short(baseline)} at β = 0, {short(chosen)} at β = {snapshot.config.beta:g}; "
        f"fresh data would score {short(snapshot.floor)}."
    )
