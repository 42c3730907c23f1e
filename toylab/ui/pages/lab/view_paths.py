"""The view "Trajectories": where the net and the exact flow carry the same noise."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from toylab.config import RunConfig
from toylab.ui.charts import theme
from toylab.ui.components.player import player
from toylab.ui.pages.lab.view_base import Shown, plus_minus, settings_of, wide_frame

if TYPE_CHECKING:
    from toylab.diagnostics.views import Trajectories
    from toylab.training import Run


def compute(runs: "Sequence[Run]") -> "tuple[RunConfig, Trajectories]":
    """Paths of the chosen lane and of the exact flow."""
    from toylab.diagnostics import views

    return settings_of(runs[0]), views.trajectories(runs[0], (1, 16), n=160, num_times=17)


def view(content: "tuple[RunConfig, Trajectories]") -> Shown:
    """The player, and how far apart the ends are."""
    config, paths = content

    def draw() -> None:
        with st.container(key="view_paths"):
            labels = [f"{count} step{'s' if count > 1 else ''}" for count in paths.steps]
            player(
                (f"The net, β = {config.beta:g}", dict(zip(labels, paths.model, strict=True))),
                ("The exact flow", {"exact": paths.oracle}),
                paths.reference,
                wide_frame(paths.reference),
                theme.palette(),
                key="player",
                alt=f"{len(paths.oracle)} paths from noise to the data of {config.dataset}",
            )

    ends = " or ".join(
        f"{plus_minus(*gap)} ({count} step{'s' if count > 1 else ''})"
        for count, gap in zip(paths.steps, paths.gaps, strict=True)
    )
    return Shown(
        f"From the same noise the net ends {ends} from the end of the exact flow: mean ± standard error, "
        f"n = {len(paths.oracle)}.",
        draw,
    )
