"""How a run may end other than by being done: what is said, and what is not worth a word."""

from toylab.config import RunConfig


def divergence(step: int, config: RunConfig, label: str = "") -> str:
    """One line that names the step and the settings at it, and the lane where it has a ``label``."""
    begin = f"{label}: diverged" if label else "Diverged"
    return f"{begin} at step {step:,} with beta = {config.beta:g} and learning rate {config.learning_rate:g}."


def is_shutdown(error: Exception) -> bool:
    """Whether ``error`` only says that the process ends: the engine's thread pools close before all else does."""
    return isinstance(error, RuntimeError) and "interpreter shutdown" in str(error)
