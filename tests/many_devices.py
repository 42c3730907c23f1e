"""One run in a process with its own number of CPU devices: what it makes, what it sends, what it keeps.

    python tests/many_devices.py OUT DEVICES LAYOUT KIND

A process of its own, since the number of devices is fixed when JAX starts.
"""

import json
import os
import sys

out, devices, layout, kind = sys.argv[1:]
os.environ["JAX_NUM_CPU_DEVICES"] = devices
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402
import numpy as np  # noqa: E402
from jax.sharding import NamedSharding, PartitionSpec  # noqa: E402

from toylab import parallel  # noqa: E402
from toylab.config import RunConfig  # noqa: E402
from toylab.split import AXIS  # noqa: E402
from toylab.spread import collectives  # noqa: E402
from toylab.training.ensemble import Ensemble, _trainer  # noqa: E402
from toylab.training.experiment import build_experiment  # noqa: E402
from toylab.training.objective import draw_batch  # noqa: E402
from toylab.training.step import train_lane  # noqa: E402

parallel._CPU_OPTIONS |= {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
parallel.enable_compilation_cache()
SHARED = {
    "steps": 6,
    "batch_size": 64,
    "p_equal": 0.75,
    "beta": 0.5,
    "eval_samples": 0,
    "learning_rate": 1e-3,
}
DIGITS = {
    "dataset": "digits",
    "net": "dit",
    "net_options": {"size": "nano", "patch": 4},
    "label_dropout": 0.1,
}
CONFIGS = {
    "mlp": RunConfig(**SHARED, width=32, depth=2, embed_dim=8),
    "dit": RunConfig(**SHARED, **DIGITS),
}

experiment = build_experiment(CONFIGS[kind])
ensemble = Ensemble([experiment], layout=None if layout == "none" else layout)
facts = {"devices": len(jax.devices())}
if layout != "none":
    lanes = ensemble._lanes
    arguments = (ensemble._experiments, ensemble._states)
    steps = (np.asarray(2, np.int32),)
    lowered = lanes.lower(_trainer(lanes.split), *arguments, shared=steps)
    facts["collectives"] = collectives(lowered.compile().as_text())
    if layout == "zero3" and kind == "dit":
        # The mutation: the same vectors in parts, and a compiler that is left to guess how to use them.
        (whole,) = ensemble.states()
        parts, everywhere = (NamedSharding(lanes._mesh, PartitionSpec(*axes)) for axes in ((AXIS,), ()))
        placed = jax.tree.map(
            lambda leaf: jax.device_put(leaf, parts if leaf.shape == whole.params.shape else everywhere),
            whole,
        )
        guessed = jax.jit(train_lane).lower(ensemble._experiments, placed, steps[0]).compile()
        facts["guessed"] = collectives(guessed.as_text())
    params = ensemble._states.params
    facts["share"] = params.addressable_shards[0].data.nbytes / (4 * len(ensemble.states()[0].params))
losses = []
for _ in range(6):
    ensemble.advance(1)
    losses.append(float(ensemble.take_window()[0].loss))
state = ensemble.states()[0]
with parallel.single_precision():
    batch = jax.jit(draw_batch)(experiment, jax.random.key(0), np.asarray(3, np.int32))
np.savez(
    out, losses=losses, params=state.params, ema=state.params_ema, samples=ensemble.sample(16)[0],
    batch=batch.pairs.eps, facts=json.dumps(facts),
)  # fmt: skip
