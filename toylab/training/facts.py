"""What tells a run apart, in words: settings, where it stands, and its score with what is needed to read it."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toylab.training.run import Run


def facts_of(run: "Run") -> dict[str, str]:
    """Label -> text of what tells a run apart: dataset, method, beta, seed, steps, score."""
    config = run.config
    rule = "" if config.coefficient == "constant" else f", rule {config.coefficient}"
    changed = ", changed while training" if run.changes else ""
    options = "".join(f", {name} {value}" for name, value in config.net_options.items())
    net = (
        {} if config.net == "mlp" else {"Net": f"{config.net}{options}; {run.state.params.size:,} parameters"}
    )
    return {
        "Dataset": config.dataset,
        "Method": config.method,
        **net,
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
