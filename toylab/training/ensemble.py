"""Ensemble: experiments and their states as lanes on devices, advanced together by one compiled program."""

from collections.abc import Sequence
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.coefficients import Memory
from toylab.devices import parallel
from toylab.devices.sharded_lane import SplitLane, automatic_layout
from toylab.devices.sharding import ALONE, LAYOUTS, AskedLayout, Split, check_divisible
from toylab.methods import AbstractTwoStageMethod
from toylab.nets import Guided, OfClass, flat_net
from toylab.nets.sampling import SAMPLERS, balanced_labels
from toylab.training.experiment import Experiment, structure
from toylab.training.mixing import mixed
from toylab.training.objective import covariance_trace, replica_gradients
from toylab.training.state import TrainState, Window, init_state, lane_keys
from toylab.training.step import train_lane
from toylab.types import Label, PRNGKey, Scalar


class Ensemble:
    """Runs of one structure, one lane each.

    Args:
        experiments: at least one; all of one `structure`, except for their data where lanes are batched (see
            `mixing`).
        states: where to start, for example from checkpoints; freshly initialised by default.
        layout: spread a single lane over all devices: see `toylab.devices.sharding`. ``auto`` does so where
            `sharded_lane.automatic_layout` says so, and never for several lanes.
        devices: devices of the layout; by default those of all processes.

    Raises:
        ValueError: no experiment, structures that differ, or a layout for what cannot be spread.
    """

    def __init__(
        self,
        experiments: Sequence[Experiment],
        states: Sequence[TrainState] | None = None,
        layout: AskedLayout | None = None,
        devices: Sequence[parallel.Device] | None = None,
    ):
        if not experiments:
            raise ValueError("an ensemble needs at least one experiment")
        experiments = mixed(experiments)
        if len({structure(experiment) for experiment in experiments}) > 1:
            raise ValueError(
                "experiments of one ensemble must share their structure (dataset, method, sizes, ...)"
            )
        parallel.make_room()
        self.num_lanes = len(experiments)
        self._lanes = _lanes_of(experiments, layout, jax.devices() if devices is None else devices)
        self._host_experiments = list(experiments)
        self._experiments = self._lanes.put(experiments)
        if states is None:
            # On one device: one program per device would double the compilation before the first step.
            with parallel.single_precision():
                states = [jax.device_get(parallel.compiled(init_state)(each)) for each in experiments]
        self._states = self._lanes.put(states)

    def advance(self, num_steps: int) -> None:
        """Train every lane for ``num_steps`` further steps; lanes that are done or diverged stand still."""
        self._states = self._lanes.update(
            _trainer(self._lanes.split),
            self._experiments,
            self._states,
            shared=(np.asarray(num_steps, np.int32),),
        )

    def replace(self, lane: int, experiment: Experiment) -> None:
        """Train one lane with another experiment of its structure from the next step on; nothing recompiles."""
        self._host_experiments[lane] = experiment
        self._experiments = self._lanes.put(self._host_experiments)

    def experiment(self, lane: int) -> Experiment:
        """The experiment that one lane trains with; its data may be wrapped (see `mixed`)."""
        return self._host_experiments[lane]

    def states(self) -> list[TrainState]:
        """The state of each lane as numpy arrays."""
        return self._lanes.get(self._states)

    def diverged_at(self) -> list[int]:
        """For each lane the step at which it diverged, or -1."""
        steps = self._lanes.get(self._lanes.pick(lambda state: state.diverged_at, self._states))
        return [int(step) for step in steps]

    def memories(self) -> list[Memory]:
        """The memory of each lane's coefficient rule."""
        return self._lanes.get(self._lanes.pick(lambda state: state.memory, self._states))

    def take_window(self) -> list[Window]:
        """Sums since the last call, one per lane, and start new ones."""
        windows = self._lanes.get(self._lanes.pick(lambda state: state.window, self._states))
        self._states = self._lanes.update(_with_empty_window, self._states)
        return windows

    def sample(self, n: int, nfe: int | None = None, seed: int = 0) -> Float[np.ndarray, "lanes n dim"]:
        """``n`` samples of each lane's moving average in ``nfe`` evaluations (or the method's own), same noise."""
        shared = (np.asarray(seed, np.int32),)
        nfe = self._host_experiments[0].method.eval_nfe if nfe is None else nfe
        return np.stack(
            self._lanes.get(self._lanes.map(_sampler(n, nfe), self._experiments, self._states, shared=shared))
        )

    def gradient_variance(self, num_batches: int = 8) -> Float[np.ndarray, " lanes"]:
        """Trace of the covariance of each lane's batch gradient at its current parameters and beta."""
        traces = self._lanes.map(_variance_probe(num_batches), self._experiments, self._states)
        return np.stack(self._lanes.get(traces))


def _lanes_of(
    experiments: Sequence[Experiment], layout: AskedLayout | None, devices: Sequence[parallel.Device]
) -> parallel.AbstractLanes:
    """The lanes of an ensemble: beside each other on the local devices, or one lane spread over ``devices``."""
    if layout is not None and layout not in LAYOUTS:
        raise ValueError(f"unknown layout {layout!r}; choices: {', '.join(LAYOUTS)}")
    first, num_lanes = experiments[0], len(experiments)
    num_pairs = first.batch_size - first.num_equal
    if layout == "auto":
        rows, processes = (num_pairs, first.num_equal), jax.process_count()
        chosen = automatic_layout(devices[0].platform, len(devices), processes, *rows)
        layout = chosen if num_lanes == 1 else None
    if layout is None:
        return parallel.lanes(num_lanes)
    if num_lanes > 1:
        raise ValueError(f"layout {layout!r} spreads a single run, got {num_lanes}: train them one by one")
    if layout == "zero3" and isinstance(first.method, AbstractTwoStageMethod):
        raise ValueError("two-stage methods do not support zero3; use layout data")
    check_divisible(num_pairs, first.num_equal, len(devices))
    return SplitLane(devices, layout, flat_net(first.net).num_params)


# Cached here and below: compiled programs are keyed on the function, so equal arguments must give the same one.
@lru_cache(maxsize=16)
def _trainer(split: Split):
    return train_lane if split == ALONE else partial(train_lane, split=split)


def _with_empty_window(state: TrainState) -> TrainState:
    return state._replace(window=jax.tree.map(jnp.zeros_like, state.window))


@lru_cache(maxsize=64)
def _sampler(n: int, nfe: int):
    def sample(experiment: Experiment, state: TrainState, seed: Array) -> Float[Array, "n dim"]:
        return draw_samples(experiment, state.params_ema, jax.random.key(seed), n, nfe)

    return sample


def draw_samples(
    experiment: Experiment, params, key: PRNGKey, n: int, nfe: int, guidance: Scalar | None = None
) -> Float[Array, "n dim"]:
    """``n`` samples from Gaussian noise in ``nfe`` network evaluations each.

    With classes, sample i is of class i modulo their number.

    Args:
        experiment: settings.
        params: parameters of the net.
        key: random key of the noise.
        n: number of samples; static.
        nfe: network evaluations of each; static.
        guidance: scale of classifier-free guidance, which doubles the evaluations; None without.
    """
    net = flat_net(experiment.net).bind(params)
    trajectory = SAMPLERS[experiment.method.sampler]
    # float32 by name: noise of another dtype would be another draw, and samples must not depend on the caller's x64.
    noise = jax.random.normal(key, (n, experiment.net.dim), jnp.float32)
    if not experiment.net.num_classes:
        return jax.vmap(lambda eps: trajectory(net, eps, nfe)[-1])(noise)

    def sample(eps: Float[Array, " dim"], label: Label) -> Float[Array, " dim"]:
        of_class = OfClass(net, label) if guidance is None else Guided(net, label, guidance)
        return trajectory(of_class, eps, nfe)[-1]

    return jax.vmap(sample)(noise, balanced_labels(n, experiment.net.num_classes))


@lru_cache(maxsize=16)
def _variance_probe(num_batches: int):
    def measure(experiment: Experiment, state: TrainState) -> Scalar:
        # Keys of their own, apart from those of training: fresh batches at every step, the same ones for lanes that
        # share a seed, so that a difference between lanes is not one of their batches.
        keys = jax.random.split(
            jax.random.fold_in(lane_keys(experiment).diagnostics, state.step), num_batches
        )
        return covariance_trace(replica_gradients(experiment, state, keys))

    return measure
