"""Lanes on devices: a stack of experiments and their states, advanced together by one compiled program."""

from collections.abc import Sequence
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab import parallel
from toylab.nets import flat_net
from toylab.sampling import SAMPLERS
from toylab.training.experiment import Experiment, stack, structure
from toylab.training.objective import covariance_trace, replica_gradients
from toylab.training.step import TrainState, Window, init_state, lane_keys, progress_of, train_lane
from toylab.types import PRNGKey

LIVE_SETTINGS = {
    "beta": lambda experiment: experiment.coefficient.beta,
    "learning_rate": lambda experiment: experiment.learning_rate,
}
"""Settings that may change while a lane trains, and where they live."""


class Ensemble:
    """Runs of one structure, one lane each.

    Args:
        experiments: at least one; all of one `structure`.
        states: where to start, for example from checkpoints; freshly initialised by default.

    Raises:
        ValueError: no experiment, or structures that differ.
    """

    def __init__(self, experiments: Sequence[Experiment], states: Sequence[TrainState] | None = None):
        if not experiments:
            raise ValueError("an ensemble needs at least one experiment")
        if len({structure(experiment) for experiment in experiments}) > 1:
            raise ValueError("experiments of one ensemble must share their structure (dataset, method, sizes, ...)")
        self.num_lanes = len(experiments)
        self._mesh = parallel.lane_mesh(self.num_lanes)
        self._num_padding = parallel.padded(self.num_lanes, self._mesh) - self.num_lanes
        self._host_experiments = [*experiments, *[experiments[-1]] * self._num_padding]
        self._place_experiments()
        if states is None:
            self._states = parallel.over_lanes(init_state, self._mesh)(self._experiments)
        else:
            stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *states, *[states[-1]] * self._num_padding)
            self._states = parallel.place(stacked, self._mesh)
        self._retire_padding()

    def advance(self, num_steps: int) -> None:
        """Train every lane for ``num_steps`` further steps; lanes that are done or diverged stand still."""
        train = parallel.over_lanes(train_lane, self._mesh, num_shared=1, donate=(1,))
        self._states = jax.block_until_ready(train(self._experiments, self._states, np.int32(num_steps)))

    def set(self, lane: int, **changes: float) -> None:
        """Change a live setting (`beta`, `learning_rate`) of one lane from the next step on; nothing recompiles."""
        for name, value in changes.items():
            if name not in LIVE_SETTINGS:
                raise ValueError(f"{name!r} cannot change during a run; choices: {', '.join(sorted(LIVE_SETTINGS))}")
            old = self._host_experiments[lane]
            self._host_experiments[lane] = eqx.tree_at(LIVE_SETTINGS[name], old, np.asarray(value, np.float64))
        self._place_experiments()

    def experiment(self, lane: int) -> Experiment:
        """The experiment of one lane as it stands, live changes included."""
        return self._host_experiments[lane]

    def states(self) -> list[TrainState]:
        """The state of each lane as numpy arrays."""
        host = jax.device_get(self._states)
        return [jax.tree.map(lambda leaf: leaf[lane], host) for lane in range(self.num_lanes)]  # noqa: B023

    def diverged_at(self) -> list[int]:
        """For each lane the step at which it diverged, or -1."""
        return np.asarray(self._states.diverged_at)[: self.num_lanes].tolist()

    def take_window(self) -> Window:
        """Sums since the last call, one value per lane, and start new ones."""
        window = jax.device_get(self._states.window)
        empty = parallel.place(jax.tree.map(np.zeros_like, window), self._mesh)
        self._states = self._states._replace(window=empty)
        return jax.tree.map(lambda leaf: leaf[: self.num_lanes], window)

    def sample(self, n: int, nfe: int = 1, seed: int = 0) -> Float[np.ndarray, "lanes n dim"]:
        """``n`` samples of each lane's moving average in ``nfe`` network evaluations, from the same noise."""
        sample = parallel.over_lanes(_sampler(n, nfe), self._mesh, num_shared=1)
        samples = sample(self._experiments, self._states, np.int32(seed))
        return np.asarray(samples)[: self.num_lanes]

    def gradient_variance(self, num_batches: int = 8) -> Float[np.ndarray, " lanes"]:
        """Trace of the covariance of each lane's batch gradient at its present parameters and beta."""
        measure = parallel.over_lanes(_variance_probe(num_batches), self._mesh)
        return np.asarray(measure(self._experiments, self._states))[: self.num_lanes]

    def _place_experiments(self) -> None:
        self._experiments = parallel.place(stack(self._host_experiments), self._mesh)

    def _retire_padding(self) -> None:
        """Mark the lanes that only fill up a device as finished."""
        if self._num_padding:
            diverged_at = np.array(self._states.diverged_at)
            diverged_at[self.num_lanes :] = 0
            self._states = self._states._replace(diverged_at=parallel.place(diverged_at, self._mesh))


@lru_cache(maxsize=64)
def _sampler(n: int, nfe: int):
    def sample(experiment: Experiment, state: TrainState, seed: Array) -> Float[Array, "n dim"]:
        return draw_samples(experiment, state.params_ema, jax.random.key(seed), n, nfe)

    return sample


def draw_samples(experiment: Experiment, params, key: PRNGKey, n: int, nfe: int) -> Float[Array, "n dim"]:
    """``n`` samples from Gaussian noise in ``nfe`` network evaluations each."""
    net = flat_net(experiment.net).bind(params)
    trajectory = SAMPLERS[experiment.method.sampler]
    noise = jax.random.normal(key, (n, experiment.net.dim), jnp.float32)
    return jax.vmap(lambda eps: trajectory(net, eps, nfe)[-1])(noise)


@lru_cache(maxsize=16)
def _variance_probe(num_batches: int):
    def measure(experiment: Experiment, state: TrainState) -> Array:
        # Fresh batches at every step, and the same ones for lanes that share a seed.
        keys = jax.random.split(jax.random.fold_in(lane_keys(experiment)[2], state.step), num_batches)
        progress = progress_of(experiment, state.step)
        gradients = replica_gradients(experiment, state.params, state.params_ema, progress, keys)
        return covariance_trace(gradients)

    return measure
