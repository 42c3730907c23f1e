"""What stands for the true velocity where nobody knows it: a net trained by flow matching alone."""

import equinox as eqx
import jax.numpy as jnp

from toylab.methods import Context, Example
from toylab.nets import flat_net
from toylab.training import Run
from toylab.training.experiment import Experiment
from toylab.training.objective import guided_pair
from toylab.training.state import TrainState
from toylab.types import Point

Reference = tuple[Experiment, TrainState]
"""Settings and state of a reference run, as compiled functions take them."""


def check_reference(run: Run, reference: Run) -> None:
    """Raise ValueError where ``reference`` cannot have learned the velocity that ``run`` is about."""
    if not eqx.tree_equal(reference.dataset, run.dataset):
        raise ValueError(f"the reference was trained on {_data_of(reference)}, not {_data_of(run)}")
    if reference.experiment.guidance is not None:
        raise ValueError("the reference was trained with guidance, so it knows no velocity of the data")
    if run.config.label_dropout and not reference.config.label_dropout:
        raise ValueError("the reference has seen no hidden class, the run has: give it a label_dropout too")


def _data_of(run: Run) -> str:
    options = (f"{name}={value}" for name, value in run.config.dataset_options.items())
    return " ".join([run.config.dataset, *options])[:80]


def reference_velocity(reference: Reference, example: Example) -> Point:
    """v(x_t, t) of the example's class, by the moving average of the reference."""
    experiment, state = reference
    net = flat_net(experiment.net).bind(jnp.asarray(state.params_ema))
    return Context(net, net).of_class(example.label).net(example.x_t, example.t, example.t)


def seen_velocity(experiment: Experiment, example: Example, context: Context, velocity: Point) -> Point:
    """E[v_cond | x_t] of an example as its method sees it, from the ``velocity`` of the data.

    Guidance is linear in v_cond: it moves the mean as it moves the example.
    """
    return guided_pair(experiment, example.with_velocity(velocity), context)[0].v_cond
