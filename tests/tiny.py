"""Settings of tests that train: so small that compiling is all they cost."""

import numpy as np

import toylab as tl

TINY = tl.RunConfig(steps=60, batch_size=32, width=16, depth=2, embed_dim=8, log_every=20, eval_samples=64)
"""Of a run; with three measurements of samples and gradients on the way."""
UNMEASURED = TINY.replace(eval_samples=0)
"""Where nobody looks at measurements: their programs take longer to compile than the training step."""
TINY_FLAGS = [
    "--steps", "60", "--batch-size", "16", "--width", "8", "--depth", "2", "--embed-dim", "4",
    "--eval-samples", "64", "--log-every", "10",
]  # fmt: skip
"""The same for the command line, smaller still."""


def params_of(run: tl.Run) -> np.ndarray:
    return np.asarray(run.state.params)
