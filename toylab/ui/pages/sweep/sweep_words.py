"""What the page Sweep says: where the grid stands, what its scores carry, and why there may be none."""

from toylab.experiments.results import finite_mean
from toylab.formatting import counted, duration, interval, short
from toylab.ui.jobs import JobState, SweepSnapshot, divergence
from toylab.ui.jobs.sweep_job import SCORE_N
from toylab.ui.pages.sweep import sweep_charts
from toylab.ui.widgets.stage import Kind, waiting


def status_line(snapshot: SweepSnapshot, kind: Kind = "job") -> str:
    """State and progress in words that tests and screen readers find too."""
    if kind == "preview":
        return f"**READY** · {len(snapshot.configs)} cells"
    state = "stored sweep" if kind == "stored" else snapshot.state.value
    parts = [f"**{state.upper()}**", f"{snapshot.num_done} of {len(snapshot.configs)} cells"]
    if snapshot.state is JobState.RUNNING and snapshot.eta is not None:
        parts.append(f"{duration(snapshot.eta)} to go")
    return " · ".join(parts)


def sentence(snapshot: SweepSnapshot, kind: Kind = "job", place: int = 0) -> str:
    """What the grid says, with n, seeds and floor; never more than the seeds carry."""
    if snapshot.message:
        return snapshot.message
    if kind == "preview":
        return "Press Start: every cell is a run of its own, and the same seed means the same data and noise."
    means = sweep_charts.summary(snapshot, "sw1").to_dict("records")
    if not means:
        return _unscored(snapshot, place)
    best = min(means, key=lambda row: row["mean"])
    seeds = int(best["n"])
    floor = finite_mean(score.floor for score in snapshot.scores if score is not None)
    ends = interval(best["low"], best["high"], short, none="")
    far = "" if snapshot.state is JobState.DONE else " so far"
    text = (
        f"Lowest mean distance{far}: β = {best['beta']:g}, {' '.join(filter(None, (short(best['mean']), ends)))} over "
        f"{counted(seeds, 'seed')} (n = {SCORE_N:,}, floor {short(floor)})."
    )
    if seeds < 2:
        return f"{text} One seed says little about β."
    rivals = [f"{row['beta']:g}" for row in means if row is not best and row["low"] <= best["mean"]]
    if rivals:
        return f"{text} The interval of β = {', '.join(rivals)} reaches that far down: more seeds would tell."
    return text


def _unscored(snapshot: SweepSnapshot, place: int) -> str:
    """Why there is no score yet, or none at all."""
    lost = [
        divergence(score.diverged_at, config)
        for config, score in zip(snapshot.configs, snapshot.scores, strict=True)
        if score is not None and score.diverged_at >= 0
    ]
    if lost:
        every = "Every cell" if len(lost) == len(snapshot.configs) else "Every finished cell"
        return f"{every} diverged, so there is no score. {lost[0]} Choose a smaller learning rate."
    if snapshot.state is JobState.STOPPED:
        return "Stopped before a cell was finished: there is no score. Start begins again."
    if snapshot.state is JobState.QUEUED:
        return waiting(place)
    if snapshot.state is JobState.PAUSED:
        return "Paused. The first cells are not finished yet."
    return "The first cells are training; each is scored when it ends."
