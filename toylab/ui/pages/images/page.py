"""Images: runs of transformers side by side from one noise: samples, scores with floors, curves, settings, cost."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from toylab.storage.cache import report_internal
from toylab.ui import session
from toylab.ui.charts import compare_charts
from toylab.ui.jobs import QueueFull
from toylab.ui.pages.images import image_choosing, image_panels, image_words, image_work
from toylab.ui.runs.image_entries import EVALUATIONS, ImageEntry, packaged
from toylab.ui.runs.image_files import Source, read_source
from toylab.ui.text import plain
from toylab.ui.widgets.parts import guarded, heading

TITLE = "Images"
ORDER = 45
POLL_SECONDS = 0.5


def render() -> None:
    """Draw the page."""
    image_choosing.wish()
    with st.container(key="images"):
        heading(TITLE, "The same engine on a transformer: what β does to handwritten digits, from one noise")
        chosen = image_choosing.choose()
        good, notice = st.session_state.pop("images_notice", (True, ""))
        if notice:
            (st.success if good else st.error)(notice)
        nfe = _evaluations()
        if not chosen:
            st.markdown("Choose at least one run.")
            return
        pending = not _work(chosen, nfe).complete
        st.fragment(_shown, run_every=POLL_SECONDS if pending else None)(chosen, nfe, pending)


def _evaluations() -> int:
    """How many network evaluations a sample takes; the address may say."""
    nfe = st.segmented_control(
        "Network evaluations per image",
        EVALUATIONS,
        default=EVALUATIONS[0],
        format_func=lambda count: "1 (one step)" if count == 1 else str(count),
        key="images_nfe",
        bind="query-params",
        required=True,
    )
    return nfe if nfe in EVALUATIONS else EVALUATIONS[0]


class Work(NamedTuple):
    """What is known so far.

    Args:
        runs: letter -> run.
        problems: letter -> why it cannot be shown, in one line.
        done: name -> future of what has ended.
        complete: whether nothing is to come.
    """

    runs: dict[str, ImageEntry]
    problems: dict[str, str]
    done: dict[str, Future]
    complete: bool


def _work(chosen: Mapping[str, ImageEntry | Source], nfe: int) -> Work:
    """Read what was chosen, then draw, count and score what did not come with it, one thing at a time."""
    work = Work({}, {}, {}, True)
    for letter, each in chosen.items():
        if isinstance(each, ImageEntry):
            work.runs[letter] = each
            continue
        future = _ended(f"image-read-{each.id}", each.stamp, partial(read_source, each))
        if future is None:
            return work._replace(complete=False)
        entry, problem = _result(future)
        if entry is None:
            work.problems[letter] = problem
        else:
            work.runs[letter] = entry
    work = work._replace(runs=dict(sorted(work.runs.items())))
    for name, key, task in _tasks(work.runs, nfe):
        if (future := _ended(name, key, task)) is None:
            return work._replace(complete=False)
        work.done[name] = future
    return work


def _tasks(runs: Mapping[str, ImageEntry], nfe: int) -> list[tuple[str, Any, Any]]:
    """What the worker has to do, pictures first: slot, key and task of each."""
    live = [(entry, entry.run) for entry in runs.values() if entry.run is not None]
    draw = [
        (f"image-draw-{entry.id}-{nfe}", _key(entry), partial(image_work.draw, run, nfe))
        for entry, run in live
        if nfe not in entry.grids
    ]
    count = [
        (f"image-cost-{entry.id}", _key(entry), partial(image_work.count, entry.config)) for entry, _ in live
    ]
    score = [
        (f"image-score-{entry.id}-{nfe}", _key(entry), partial(image_work.numbers, run, nfe))
        for entry, run in live
        if entry.scored
    ]
    return [*draw, *count, *score]


def _key(entry: ImageEntry) -> tuple[str, str, int]:
    """What a folder holds: the same path may be trained into again with other settings."""
    return entry.id, str(entry.config), entry.step


def _ended(name: str, key: Any, task: Any) -> Future | None:
    """The computation of that name once it has ended; where the queue was full, the next look asks again."""
    future = session.compute(name, key, task)
    waits = not future.done() or future.cancelled() or isinstance(future.exception(), QueueFull)
    return None if waits else future


def _result(future: Future | None) -> tuple[Any, str]:
    """(result, "") or (None, one line)."""
    if future is None:
        return None, ""
    error = future.exception()
    if error is None:
        return future.result(), ""
    if isinstance(error, (ValueError, FileNotFoundError)):
        return None, str(error).split("\n", 1)[0]
    if not hasattr(error, "told"):  # reported once, not with every drawing
        error.told = report_internal(error)  # type: ignore[attr-defined]
    return None, error.told  # type: ignore[attr-defined]


@guarded
def _shown(chosen: Mapping[str, ImageEntry | Source], nfe: int, pending: bool) -> None:
    """Everything below the controls, as it arrives; ``pending`` is what the page was drawn for."""
    work = _work(chosen, nfe)
    if pending and work.complete:
        st.rerun(scope="app")  # without the timer from now on
    for letter, problem in work.problems.items():
        st.error(f"{letter} cannot be shown: {plain(problem, 300)}")
    if not work.runs:
        if not work.problems:
            st.markdown("Reading the run folders.")
        return
    scores, why = _scores(work, nfe)
    found = _contrasts(work, nfe, scores)
    _grids(work, nfe, scores)
    st.markdown(f"{image_words.reading(work.runs, nfe)} {image_words.finding(found, work.runs)}")
    _table(work, nfe, scores, why)
    _differences(work, found)
    image_panels.curves(work.runs)
    image_panels.settings(work.runs, _costs(work))


def _grids(work: Work, nfe: int, scores: Mapping[str, image_words.Scores]) -> None:
    """Real images, and samples of every run beside them."""
    first = next(iter(work.runs.values()))
    with st.container(key="images_grids", horizontal=True):
        note = image_words.floor_note(scores.get(first.id))
        alt = f"Real images of {first.config.dataset}"
        image_panels.grid("real", f"**Real images**{note}", first.real, first.classes, alt)
        for letter, entry in work.runs.items():
            images, problem = entry.grids.get(nfe), ""
            if images is None:
                images, problem = _result(work.done.get(f"image-draw-{entry.id}-{nfe}"))
                problem = problem or (
                    f"No samples in {nfe} evaluations: {entry.note}" if entry.run is None else ""
                )
            title = (
                f"{plain(image_words.arm_name(entry.config))}{image_words.score_note(scores.get(entry.id))}"
            )
            alt = f"Samples of run {letter}, {entry.label}, {nfe} network evaluations each"
            image_panels.grid(letter, title, images, entry.classes, alt, plain(problem, 200))


def _scores(work: Work, nfe: int) -> tuple[dict[str, image_words.Scores], dict[str, str]]:
    """id -> scores of the chosen runs, and id -> why there are none."""
    scores: dict[str, image_words.Scores] = {}
    why: dict[str, str] = {}
    for entry in work.runs.values():
        if nfe in entry.scores:
            scores[entry.id] = entry.scores[nfe]
            continue
        if not entry.scored:
            state = f"{entry.status} at step {entry.step:,}" if entry.status != "done" else entry.note
            why[entry.id] = f"no score: {state}"
            continue
        found, problem = _result(work.done.get(f"image-score-{entry.id}-{nfe}"))
        if found is None:
            why[entry.id] = problem or "scoring"
        else:
            scores[entry.id] = found
    return scores, why


def _table(work: Work, nfe: int, scores: Mapping[str, image_words.Scores], why: Mapping[str, str]) -> None:
    """Scores of every run, and what real images get."""
    st.subheader("Scores", anchor=False)
    rows = [
        image_words.score_row(
            f"{letter}: {plain(entry.label)}", scores.get(entry.id), plain(why.get(entry.id, ""), 200)
        )
        for letter, entry in work.runs.items()
    ]
    measured = next((scores[entry.id] for entry in work.runs.values() if entry.id in scores), None)
    if measured is not None:
        rows.append(image_words.floor_row(measured))
    _draw_table("images_scores", rows, "Run", "Scores of the chosen runs and of real images")
    if measured is not None:
        st.caption(image_words.score_caption(measured, nfe))


def _contrasts(work: Work, nfe: int, scores: Mapping[str, image_words.Scores]) -> list[image_words.Contrast]:
    """Differences to the first run's settings, once all is there: over some of the seeds they would be others."""
    if not work.complete or len(work.runs) < 2:
        return []
    everyone = _everyone(work.runs)
    known = {entry.id: entry.scores[nfe] for entry in everyone if nfe in entry.scores} | dict(scores)
    return image_words.contrasts(work.runs, everyone, known)


def _differences(work: Work, found: list[image_words.Contrast]) -> None:
    if not found:
        return
    st.markdown("**Differences between the settings**")
    rows = [image_words.contrast_row(contrast, work.runs) for contrast in found]
    _draw_table("images_differences", rows, "Runs", "Differences of the scores, with intervals")
    st.caption(image_words.contrast_caption(found))


def _everyone(runs: Mapping[str, ImageEntry]) -> Sequence[ImageEntry]:
    """The chosen runs, and those that come with the app: other seeds of one setting count, chosen or not."""
    return list({entry.id: entry for entry in (*packaged(), *runs.values())}.values())


def _draw_table(key: str, rows: list[dict[str, str]], index: str, alt: str) -> None:
    with st.container(key=key):
        st.table(pd.DataFrame(rows).set_index(index), border="horizontal", width="content", alt=alt)


def _costs(work: Work) -> dict[str, str]:
    """letter -> what the run costs, in one line."""
    lines = {}
    for letter, entry in work.runs.items():
        cost, problem = entry.cost, ""
        if cost is None:
            cost, problem = _result(work.done.get(f"image-cost-{entry.id}"))
        if cost is not None:
            lines[letter] = image_words.cost_line(cost, entry.config)
        else:
            lines[letter] = plain(problem or entry.note or "counting", 200)
    return lines


STYLE = """
.st-key-images h3 { font-size: 1.08rem; padding: 0.9rem 0 0.1rem; letter-spacing: -0.005em; }
.st-key-images_grids {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 1fr)); gap: 1rem; align-items: start;
}
.st-key-images_grids > div { width: 100%; min-width: 0; }
.st-key-images_grids img { width: 100%; image-rendering: pixelated; border-radius: 3px; }
.st-key-images_grid_real p { padding-bottom: 4px; }
.st-key-images_grids p { font-size: 0.92rem; font-variant-numeric: tabular-nums; }
.st-key-images table { font-variant-numeric: tabular-nums; }
.st-key-images th, .st-key-images td { text-align: left !important; white-space: nowrap; }
.st-key-images thead th { padding-left: 5.6px !important; }
.st-key-images_scores, .st-key-images_differences, .st-key-images_settings { overflow-x: auto; max-width: 100%; }
.st-key-images [data-tag], .st-key-images [data-tag] * { color: var(--ground) !important; }
.st-key-images_curves { gap: 1.2rem; }
.st-key-images_curves > div { min-width: 270px; flex: 1 1 270px; }
""" + "".join(
    f"""
.st-key-images_grid_{letter} p:first-of-type::before {{
  content: "{letter}"; display: inline-block; width: 30px; margin-right: 0.5em; padding-bottom: 4px;
  text-align: center; font-weight: 700; color: var(--series{index});
  background: {compare_charts.swatch(dash, index)} bottom / 100% 3px no-repeat;
}}"""
    for index, (letter, dash) in enumerate(zip(compare_charts.LETTERS, compare_charts.DASHES, strict=True))
)
