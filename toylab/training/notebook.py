"""A run as a notebook shows it: what it is and what it scored, in a table of HTML, with its picture."""

import base64
import html
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toylab.training.run import Run


def facts_of(run: "Run") -> dict[str, str]:
    """Label -> text of what tells a run apart: dataset, method, beta, seed, steps, score."""
    config = run.config
    rule = "" if config.coefficient == "constant" else f", rule {config.coefficient}"
    changed = ", changed while training" if run.changes else ""
    return {
        "Dataset": config.dataset,
        "Method": config.method,
        "Beta": f"{config.beta:g}{rule}{changed}",
        "Seed": str(config.seed),
        "Steps": f"{run.step:,} of {config.steps:,}, {run.status}",
        "Sliced W1": _score(run),
    }


def _score(run: "Run") -> str:
    """The last score of the history, with what is needed to read it."""
    if run.history.empty or not run.config.eval_samples:
        return "not measured"
    value, floor = (float(run.history[name].iloc[-1]) for name in ("sw1", "sw1_floor"))
    if not math.isfinite(value):
        return "not measured, samples ran away"
    nfe = run.experiment.method.eval_nfe
    evaluations = "1 evaluation" if nfe == 1 else f"{nfe} evaluations"
    return (
        f"{value:.4f} at step {run.history.index[-1]:,} (n {run.config.eval_samples:,}, floor {floor:.4f}, "
        f"{evaluations} per sample, one seed)"
    )


def notebook_html(facts: Mapping[str, str], png: bytes | None = None) -> str:
    """A table of ``facts``, every text escaped, and a picture below it."""
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left">{html.escape(label)}</th>'
        f'<td style="text-align:left">{html.escape(text)}</td></tr>'
        for label, text in facts.items()
    )
    picture = ""
    if png is not None:
        said = html.escape(
            "Samples over data, and the history: "
            + "; ".join(f"{label} {text}" for label, text in facts.items())
        )
        data = base64.b64encode(png).decode("ascii")
        picture = f'<img alt="{said}" style="max-width:100%" src="data:image/png;base64,{data}">'
    return f"<div><table>{rows}</table>{picture}</div>"
