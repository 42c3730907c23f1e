"""Samples and scores of Compare: computed on the worker, drawn as they arrive."""

import math
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from toylab.formatting import short
from toylab.metrics.score import Score
from toylab.storage.cache import report_internal
from toylab.ui import scene, session, settings
from toylab.ui.charts import compare_charts, curves, theme
from toylab.ui.jobs import QueueFull
from toylab.ui.pages.compare import comparing
from toylab.ui.pages.compare.comparing import METRIC, NUM_KEYS, Entry
from toylab.ui.text import plain
from toylab.ui.widgets.parts import guarded

if TYPE_CHECKING:
    from toylab.training import Run

POLL_SECONDS = 0.5
WIDE, NARROW = 392, 296
"""Side of a square of samples, for up to three runs and for more."""


def draw(chosen: Mapping[str, Entry], baseline: str, count: int) -> None:
    """Samples, scores and differences of the chosen runs; by itself as long as some are to come.

    Args:
        chosen: letter -> run.
        baseline: letter of the pinned one.
        count: samples behind each key of a score.
    """
    pending = not _work(chosen, count).complete
    st.fragment(_results, run_every=POLL_SECONDS if pending else None)(chosen, baseline, count, pending)


class Work(NamedTuple):
    """What the worker has done so far.

    Args:
        done: name -> future of what has ended.
        complete: whether nothing is to come.
    """

    done: dict[str, Future]
    complete: bool


def _work(chosen: Mapping[str, Entry], count: int) -> Work:
    """Samples and then scores of every run whose parameters are here, one at a time: others wait too."""
    drawn = [(f"samples-{e.id}", e.id, partial(_draw, e.run)) for e in chosen.values() if e.run is not None]
    scored = [
        (f"score-{e.id}", (e.id, count), partial(_score, e.run, count))
        for e in chosen.values()
        if e.run is not None and e.scored
    ]
    done: dict[str, Future] = {}
    for name, key, task in [*drawn, *scored]:
        future = session.compute(name, key, task)
        if not future.done() or future.cancelled() or isinstance(future.exception(), QueueFull):
            return Work(done, False)  # where the queue was full, the next look asks again
        done[name] = future
    return Work(done, True)


def _draw(run: "Run") -> tuple[np.ndarray, np.ndarray]:
    """One set of samples and of data; the same noise for every run."""
    nfe = run.experiment.method.eval_nfe
    samples = run.sample(comparing.SHOWN_SAMPLES, nfe=nfe, seed=comparing.SHOWN_SEED)
    return samples, run.dataset.sample(comparing.MAX_DRAWN, seed=1)


def _score(run: "Run", count: int) -> Score:
    from toylab.evaluation import evaluate

    return evaluate(run, (METRIC,), n=count, num_keys=NUM_KEYS)[METRIC]


@guarded
def _results(chosen: Mapping[str, Entry], baseline: str, count: int, pending: bool) -> None:
    """Samples and scores, as they arrive; ``pending`` is what the page was drawn for."""
    work = _work(chosen, count)
    if pending and work.complete:
        st.rerun(scope="app")  # without the timer from now on
    st.subheader("Samples", anchor=False)
    _samples(chosen, work.done)
    st.subheader("Distance to the data", anchor=False)
    _scores(chosen, baseline, count, work)


def _samples(chosen: Mapping[str, Entry], work: Mapping[str, Future]) -> None:
    drawn = {letter: _points(entry, work) for letter, entry in chosen.items()}
    frame = _frame([data for _, data, _ in drawn.values()])
    side = WIDE if len(chosen) <= 3 else NARROW
    palette, colours = theme.palette(), theme.series()
    with st.container(key="compare_squares", horizontal=True):
        for letter, (samples, data, note) in drawn.items():
            with st.container(key=f"compare_square_{letter}", width="content"):
                st.markdown(f"{plain(chosen[letter].label, 48)}{f', {note}' if note else ''}")
                curves.square(
                    data[: comparing.MAX_DRAWN],
                    samples[: comparing.MAX_DRAWN] if samples is not None else None,
                    frame,
                    colours[compare_charts.LETTERS.index(letter)],
                    palette,
                    key=f"compare_square_chart_{letter}",
                    alt=f"One-step samples of run {letter}, {chosen[letter].label}, over its data",
                    side=side,
                )
    packaged = sum(entry.origin == "packaged" for entry in chosen.values())
    noise = (
        "from the same noise"
        if packaged in (0, len(chosen))
        else "from the same noise but for the packaged run"
    )
    st.caption(f"The same axes; {noise}. Grey: data.")


def _points(entry: Entry, work: Mapping[str, Future]) -> tuple[np.ndarray | None, np.ndarray, str]:
    """(samples, data, what to say of them)."""
    future = work.get(f"samples-{entry.id}")
    data = entry.data if entry.data is not None else np.zeros((0, 2), np.float32)
    if (
        not len(data)
        and entry.config.dataset in settings.dataset_names()
        and not entry.config.dataset_options
    ):
        data = scene.packaged_points(entry.config.dataset)
    if future is None:
        samples = entry.samples
        missing = "drawing" if entry.run is not None else "no samples in the file"
        return samples, data, missing if samples is None else ""
    result, problem = _result(future)
    if result is None:
        return None, data, problem
    samples, data = result
    finite = np.all(np.isfinite(samples), axis=1)
    lost = int(np.count_nonzero(~finite))
    return samples[finite], data, f"{lost:,} of {len(samples):,} not finite" if lost else ""


def _result(future: Future) -> tuple[Any, str]:
    """(result, "") or (None, one line)."""
    error = future.exception()
    if error is None:
        return future.result(), ""
    if isinstance(error, ValueError):
        return None, str(error).split("\n", 1)[0]
    if not hasattr(error, "told"):  # reported once, not with every drawing
        error.told = report_internal(error)  # type: ignore[attr-defined]
    return None, error.told  # type: ignore[attr-defined]


def _frame(arrays: list[np.ndarray]) -> tuple[float, float, float]:
    """One square that shows all data: centre x, centre y and half its side."""
    arrays = [array for array in arrays if len(array)]
    if not arrays:
        return 0.0, 0.0, 3.0
    low = np.min([np.quantile(array, 0.005, axis=0) for array in arrays], axis=0)
    high = np.max([np.quantile(array, 0.995, axis=0) for array in arrays], axis=0)
    centre, half = (low + high) / 2, float(np.max(high - low)) / 2
    return float(centre[0].round(1)), float(centre[1].round(1)), max(round(half * 1.28, 1), 0.1)


def _scores(chosen: Mapping[str, Entry], baseline: str, count: int, work: Work) -> None:
    letters, entries = list(chosen), list(chosen.values())
    scores: dict[int, Score] = {}
    rows = []
    for place, (letter, entry) in enumerate(chosen.items()):
        score, why = None, _why_unscored(entry) or "…"
        if (future := work.done.get(f"score-{entry.id}")) is not None:
            score, why = _result(future)
        if score is not None and not math.isfinite(score.value):
            score, why = None, "samples not finite"
        if score is not None:
            scores[place] = score
        rows.append(_score_row(letter, entry, score, why))
    if not work.complete:
        st.markdown(f"Scoring: {len(scores)} of {sum(entry.scored for entry in entries)} runs are done.")
    with st.container(key="compare_scores"):
        st.table(
            pd.DataFrame(rows).set_index("Run"),
            border="horizontal",
            width="content",
            alt="Scores of the chosen runs",
        )
    st.caption(
        f"Sliced W1 between n = {count:,} samples and as many fresh data points: mean and standard error over "
        f"{NUM_KEYS} independent pairs, the same for every run; lower is better. Floor: two fresh data samples. "
        "In training: the last value of the curve, one pair, with its own n."
    )
    if not work.complete:
        return  # a difference over some of the seeds would be another one
    found, without = comparing.differences(entries, scores, letters.index(baseline))
    if found:
        st.markdown("**Difference to the baseline**")
        with st.container(key="compare_differences"):
            st.table(
                pd.DataFrame([_difference_row(d, letters) for d in found]).set_index("Runs"),
                border="horizontal",
                width="content",
                alt="Differences of the distances to the baseline's, with intervals",
            )
        if any(not difference.seeds for difference in found):
            st.caption(
                "One seed: the interval says how well these two nets are measured, not what another seed would "
                "give. Train the same settings with more seeds in the Lab; runs of equal settings are then paired."
            )
    if len(chosen) < 2:
        return
    if letters.index(baseline) not in scores:
        st.markdown(f"No differences: the baseline {baseline} has no score.")
    elif without:
        st.markdown(
            "No difference of " + ", ".join(f"{letters[place]} ({why})" for place, why in without) + "."
        )


def _why_unscored(entry: Entry) -> str:
    if entry.status != "done":
        return f"no score: {entry.status} at step {entry.step:,}"
    return "no score: its parameters are not here" if entry.run is None else ""


def _score_row(letter: str, entry: Entry, score: Score | None, why: str) -> dict[str, str]:
    last = compare_charts.rows_of(entry.history, "sw1")["value"]
    training = f"{short(float(last.iloc[-1]))} (n = {entry.config.eval_samples:,})" if len(last) else "–"
    return {
        "Run": f"{letter}: {plain(entry.label)}",
        "Distance": plain(why) if score is None else with_error(score.value, score.stderr),
        "Floor": "–" if score is None else short(score.floor),
        "Network evaluations": "–" if score is None else str(score.nfe),
        "In training": training,
    }


def with_error(value: float, stderr: float) -> str:
    """A mean with its standard error, to the digits that the error supports: 0.1432 ± 0.0021."""
    digits = decimals(stderr)
    return f"{value:.{digits}f} ± {stderr:.{digits}f}" if math.isfinite(stderr) else short(value)


def decimals(spread: float) -> int:
    """Decimals at which ``spread`` has two digits."""
    if not math.isfinite(spread) or spread <= 0:
        return 4
    return min(8, max(0, 1 - math.floor(math.log10(spread))))


def _difference_row(difference: comparing.Difference, letters: list[str]) -> dict[str, str]:
    mean, low, high, _ = difference.interval
    digits = decimals((high - low) / 2)
    told = f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]".replace("-", "−")
    ours, theirs = (", ".join(letters[p] for p in side) for side in (difference.places, difference.baseline))
    count = len(difference.seeds)
    basis = (
        f"{count} seeds, paired ({', '.join(map(str, difference.seeds))})"
        if count
        else f"one seed, {NUM_KEYS} evaluation keys"
    )
    return {
        "Runs": f"{ours} minus {theirs}",
        "Difference, 95% interval": told.replace("[", "\\[").replace("]", "\\]"),
        "Reading": comparing.verdict(difference.interval),
        "From": basis,
    }
