"""One run on parts of eight CPU devices: what it makes, what it sends, what it keeps, and how it moves between them.

    python tests/many_devices.py OUT KIND

A process of its own, since the number of devices is fixed when JAX starts; one for all ways, since starting and
compiling is all it costs.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

out, kind = sys.argv[1:]
os.environ["JAX_NUM_CPU_DEVICES"] = "8"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402
import numpy as np  # noqa: E402
from jax.sharding import NamedSharding, PartitionSpec  # noqa: E402

from toylab.config import RunConfig  # noqa: E402
from toylab.devices import parallel, sharded_lane  # noqa: E402
from toylab.devices.sharding import AXIS  # noqa: E402
from toylab.storage.checkpoint import restore_tree, save_tree  # noqa: E402
from toylab.training import ensemble as ensembles  # noqa: E402
from toylab.training.experiment import build_experiment  # noqa: E402
from toylab.training.step import train_lane  # noqa: E402

parallel.enable_compilation_cache()
STEPS = 6
SHARED = {
    "steps": STEPS,
    "batch_size": 64,
    "p_equal": 0.75,
    "beta": 0.5,
    "eval_samples": 0,
    "learning_rate": 1e-3,
}
# Eight coordinates: so that the parameters divide by eight, and a compiler may be left to guess.
MIXTURE = {"dataset": "dgmm", "dataset_options": {"dim": 8}, "width": 32, "depth": 2, "embed_dim": 8}
DIGITS = {
    "dataset": "digits",
    "net": "dit",
    "net_options": {"size": "nano", "patch": 4},
    "label_dropout": 0.1,
}
CONFIGS = {"mlp": RunConfig(**SHARED, **MIXTURE), "dit": RunConfig(**SHARED, **DIGITS)}
WAYS = {
    "mlp": ["1-none", "2-data", "8-auto", "8-zero3", "1-zero3"],
    "dit": ["1-none", "8-auto", "8-zero3"],
}
"""Devices and layouts; the net of images costs more to compile."""
MOVES = {
    "mlp": [["8-zero3", "2-data", "1-none"], ["8-auto", "2-data", "1-zero3"]],
    "dit": [["8-zero3", "8-auto", "1-none"]],
}
"""Where a run goes on after each third of its steps."""


def on(way):
    """An ensemble of one lane there. Where it may choose, it takes the devices for accelerators."""
    count, layout = way.split("-")
    chosen = jax.devices()[: int(count)]
    if layout == "auto":
        automatic, given = sharded_lane.automatic_layout, ensembles.automatic_layout
        ensembles.automatic_layout = lambda platform, *rest: automatic("gpu", *rest)
        try:
            return ensembles.Ensemble([experiment], layout="auto", devices=chosen)
        finally:
            ensembles.automatic_layout = given
    return ensembles.Ensemble([experiment], layout=None if layout == "none" else layout, devices=chosen)


def trained(ensemble, steps):
    """Losses of that many steps, one by one."""
    losses = []
    for _ in range(steps):
        ensemble.advance(1)
        losses.append(float(ensemble.take_window()[0].loss))
    return losses


def sent(ensemble):
    """What a stretch of training sends, and what a device keeps of the parameters."""
    lanes, arguments = ensemble._lanes, (ensemble._experiments, ensemble._states)
    fn = ensembles._trainer(lanes.split)
    program = lanes.lower(fn, *arguments, shared=(np.asarray(1, np.int32),)).compile().as_text()
    params = ensemble._states.params
    share = params.addressable_shards[0].data.nbytes / (4 * len(ensemble.states()[0].params))
    return {"devices": lanes.split.count, "collectives": sharded_lane.collectives(program), "share": share}


def guessed(ensemble):
    """What it would send with the same vectors in parts, and a compiler that is left to guess how to use them."""
    lanes, (whole,) = ensemble._lanes, ensemble.states()
    parts, everywhere = (NamedSharding(lanes._mesh, PartitionSpec(*axes)) for axes in ((AXIS,), ()))
    placed = jax.tree.map(
        lambda leaf: jax.device_put(leaf, parts if leaf.shape == whole.params.shape else everywhere), whole
    )
    program = jax.jit(train_lane).lower(ensemble._experiments, placed, np.asarray(1, np.int32)).compile()
    return sharded_lane.collectives(program.as_text())


def moved(ways):
    """Losses and the last state of a run that is saved after each part of its steps and goes on elsewhere."""
    losses, state = [], start
    for way in ways:
        ensemble = made[way]
        ensemble._states = ensemble._lanes.put([state])
        losses += trained(ensemble, STEPS // len(ways))
        (state,) = ensemble.states()
        with tempfile.TemporaryDirectory() as folder:
            save_tree(Path(folder) / "state", state)
            state = restore_tree(Path(folder) / "state", state)
    return losses, state


experiment = build_experiment(CONFIGS[kind])
arrays, facts, made = {}, {}, {}
for way in WAYS[kind]:
    made[way] = ensemble = on(way)
    (start,) = ensemble.states()
    if way != "1-none":
        facts[way] = sent(ensemble)
    if way == "8-zero3" and kind == "mlp":
        facts["guessed"] = guessed(ensemble)
    losses, (state,) = trained(ensemble, STEPS), ensemble.states()
    arrays[way, "losses"], arrays[way, "params"], arrays[way, "ema"] = losses, state.params, state.params_ema
    arrays[way, "samples"] = ensemble.sample(16)[0]
for ways in MOVES[kind]:
    losses, state = moved(ways)
    arrays["+".join(ways), "losses"], arrays["+".join(ways), "params"] = losses, state.params
np.savez(out, facts=json.dumps(facts), **{"/".join(name): array for name, array in arrays.items()})
