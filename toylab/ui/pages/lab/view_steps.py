"""The view "More steps": samples of one net in 1, 2, 4 and 16 steps from the same noise, and what each is worth."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from toylab.config import RunConfig
from toylab.ui.charts import curves, theme
from toylab.ui.pages.lab import view_charts
from toylab.ui.pages.lab.view_base import Shown, plus_minus, settings_of
from toylab.ui.text.words import short
from toylab.ui.widgets import thumbnails

if TYPE_CHECKING:
    from toylab.diagnostics.views import FewSteps
    from toylab.training import Run

NUM_SHOWN = 1024
SMALL = 205
"""Side of a small square: two rows of them, with titles, are as high as a large one."""


def compute(runs: "Sequence[Run]") -> "tuple[RunConfig, tuple[FewSteps, ...]]":
    """Scores of both lanes, in few and in many steps."""
    # Here as below, since it brings in JAX.
    from toylab.diagnostics import views

    return settings_of(runs[0]), tuple(views.few_step_samples(run) for run in runs[:2])


def view(content: "tuple[RunConfig, tuple[FewSteps, ...]]") -> Shown:
    """The small squares, and the distance over steps."""
    config, lanes = content
    chosen = lanes[0]
    palette, frame = theme.palette(), thumbnails.square_around(chosen.reference)
    table = _score_table(lanes)
    first = chosen.scores[0]

    def draw() -> None:
        with st.container(key="view_steps", horizontal=True, wrap=False):
            with st.container(key="view_few"):
                for row in range(0, len(chosen.steps), 2):
                    with st.container(key=f"view_few_{row}", horizontal=True, wrap=False):
                        for index in range(row, min(row + 2, len(chosen.steps))):
                            _small_square(config, chosen, index, frame, palette)
            with st.container(key="view_scores"):
                st.markdown(
                    f"**Distance to the data** (sliced W1) :orange[● β = 0] :blue[● β = {config.beta:g}]"
                )
                view_charts.distance_over_steps(
                    table,
                    first.floor,
                    palette,
                    key="chart_steps",
                    alt=f"Distance to the data over steps; chosen lane {_listed(chosen)}",
                )
                st.caption(
                    f"Means over {first.num_keys} sets of n = {first.n:,} samples; bars: one standard error."
                )

    return Shown(steps_sentence(chosen), draw)


def _small_square(
    config: RunConfig, few: "FewSteps", index: int, frame: tuple, palette: theme.Palette
) -> None:
    count = few.steps[index]
    with st.container(key=f"view_few_square_{count}"):
        name = f"{count} step{'s' if count > 1 else ''}"
        st.markdown(f":blue[●] **{name}** · {plus_minus(few.scores[index].value, few.scores[index].stderr)}")
        curves.square(
            few.reference[:NUM_SHOWN],
            few.samples[index][:NUM_SHOWN],
            frame,
            palette.chosen,
            palette,
            key=f"chart_few_{count}",
            alt=f"Samples in {name} over the data of {config.dataset}",
            side=SMALL,
        )


def _score_table(lanes: "Sequence[FewSteps]") -> pd.DataFrame:
    rows = [
        {
            "steps": float(count),
            "value": score.value,
            "low": max(score.value - score.stderr, score.value / 10),
            "high": score.value + score.stderr,
            "lane": lane,
        }
        for lane, few in zip(("chosen", "baseline"), lanes, strict=False)
        for count, score in zip(few.steps, few.scores, strict=True)
        if math.isfinite(score.value)
    ]
    return pd.DataFrame(rows, columns=["steps", "value", "low", "high", "lane"])


def steps_sentence(few: "FewSteps") -> str:
    """One step against many: which is better, where zero is outside the interval of their difference."""
    gain, many = few.gain, few.steps[-1]
    if not math.isfinite(gain.mean):
        return "Some samples are not finite: there is no distance to compare."
    said = f"{plus_minus(abs(gain.mean), (gain.high - gain.low) / 2)}, 95 % interval of {gain.n} pairs"
    if gain.low > 0:
        return f"{many} steps end nearer the data than one (by {said}): the velocity is known better than the jump."
    if gain.high < 0:
        return (
            f"One step ends nearer the data than {many} (by {said}): the jump is known better than the way."
        )
    return (
        f"One step and {many} do not differ beyond noise ({said}): more steps do not mend what is wrong here."
    )


def _listed(few: "FewSteps") -> str:
    pairs = zip(few.steps, few.scores, strict=True)
    return ", ".join(f"{short(score.value)} in {count}" for count, score in pairs)
