"""Slider over beta in a notebook, for runs that are already trained; a static picture without widgets."""

import base64
from collections.abc import Sequence
from typing import Any

from toylab.plots.figures import png_bytes, samples_figure
from toylab.training import Run

DPI = 80
SAMPLES = 4096


class BetaSlider:
    """Notebook view of runs that differ in beta: a slider that shows one run at a time, or one panel per run.

    As the last line of a cell it shows the slider. Without a running kernel or without ipywidgets it shows the panels.

    Args:
        runs: runs on one dataset with distinct beta; they are shown in the order of beta.

    Raises:
        ValueError: no run, two runs of equal beta, or data of fewer than two coordinates.
    """

    def __init__(self, runs: Sequence[Run]):
        self.runs = sorted(runs, key=lambda run: run.config.beta)
        betas = [run.config.beta for run in self.runs]
        if not runs or len(set(betas)) < len(betas):
            raise ValueError(f"a slider needs at least one run, and a distinct beta for each, got {betas}")

    def figure(self):
        """The panels as a figure: samples over data, one panel per beta."""
        first = self.runs[0]
        nfe = first.experiment.method.eval_nfe
        samples = {f"beta = {run.config.beta:g}": run.sample(SAMPLES, nfe) for run in self.runs}
        return samples_figure(samples, first.dataset.sample(SAMPLES, seed=1))

    def widget(self) -> Any:
        """The slider and the picture of the selected run, as an ipywidgets box.

        Raises:
            ImportError: ipywidgets is not installed (``pip install toylab[notebook]``).
        """
        # ipywidgets is an optional dependency.
        import ipywidgets

        pictures = {f"{run.config.beta:g}": png_bytes(run.plot(), dpi=DPI) for run in self.runs}
        labels = list(pictures)
        slider = ipywidgets.SelectionSlider(options=labels, value=labels[-1], description="beta")
        image = ipywidgets.Image(value=pictures[labels[-1]], format="png")
        slider.observe(lambda change: setattr(image, "value", pictures[change["new"]]), names="value")
        return ipywidgets.VBox([slider, image])

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        """The static picture, and the widget if there is one; a front end takes the richest form that it can show."""
        picture = base64.b64encode(png_bytes(self.figure(), dpi=DPI)).decode("ascii")
        still = {"text/plain": repr(self), "image/png": picture}
        try:
            live: Any = self.widget()._repr_mimebundle_(**kwargs)
        except ImportError:
            return still
        return {**live, **still}

    def __repr__(self) -> str:
        return f"BetaSlider({', '.join(f'{run.config.beta:g}' for run in self.runs)})"
