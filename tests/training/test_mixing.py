"""Lanes with different data in one program: on accelerators, here with batched lanes on a CPU."""

import jax
import numpy as np
import pytest
from tiny import UNMEASURED

from toylab.data import dataset
from toylab.data.choice import choices
from toylab.devices import parallel
from toylab.training.api import group_by_program
from toylab.training.ensemble import Ensemble
from toylab.training.experiment import build_experiment

NAMES = ("checkerboard", "eight_gaussians")
CONFIGS = [UNMEASURED.replace(dataset=name, beta=beta) for name in NAMES for beta in (0.0, 1.0)]


def test_a_choice_is_the_member_that_it_names():
    members = [dataset(name) for name in NAMES]
    chosen = choices(members)
    for member, choice in zip(members, chosen, strict=True):
        np.testing.assert_allclose(choice.sample(50), member.sample(50), rtol=1e-4, atol=1e-5)
        assert choice.zero_loss() == member.zero_loss()
        assert (choice.modes() is None) == (member.modes() is None)
    x, t = np.array([0.3, -0.2], np.float32), np.array(0.5, np.float32)
    velocity = jax.jit(lambda each: each.velocity(x, t))
    np.testing.assert_allclose(velocity(chosen[1]), velocity(members[1]), rtol=1e-5)
    with pytest.raises(ValueError, match="without classes"):
        choices([dataset("digits"), members[0]])


def test_a_choice_draws_the_batches_of_its_member():
    """Rows around few centres that are drawn for the batch, not independent points."""
    redrawn, other = dataset("dgmm", num_components=2, std=1e-3, redrawn=True), dataset("checkerboard")
    key = jax.random.key(0)
    batch, labels = choices([other, redrawn])[1].draw_labelled(key, 50)
    np.testing.assert_allclose(batch, redrawn.draw_labelled(key, 50)[0], rtol=1e-4, atol=1e-5)
    assert labels is None


def test_on_a_cpu_each_dataset_is_a_program_of_its_own():
    assert len(group_by_program(CONFIGS)) == len(NAMES)
    with pytest.raises(ValueError, match="share their structure"):
        Ensemble([build_experiment(config) for config in CONFIGS])


@pytest.mark.slow
def test_batched_lanes_share_a_program_whatever_their_data(monkeypatch):
    """The numbers of each lane are those of an ensemble of its own."""
    monkeypatch.setattr(parallel, "batches_lanes", lambda: True)
    assert group_by_program(CONFIGS) == [list(range(len(CONFIGS)))]
    assert (
        len(group_by_program([*CONFIGS, UNMEASURED.replace(dataset="dgmm", dataset_options={"dim": 4})])) == 2
    )
    cloud = {"array": np.random.default_rng(0).normal(size=(10_000, 2)), "std": 0.1}
    many = UNMEASURED.replace(dataset="points", dataset_options=cloud)
    assert len(group_by_program([*CONFIGS, many])) == 2  # its points would be held by every lane
    chosen = CONFIGS[1:4:2]
    together = Ensemble([build_experiment(config) for config in chosen])
    together.advance(10)
    for state, config in zip(together.states(), chosen, strict=True):
        alone = Ensemble([build_experiment(config)])
        alone.advance(10)
        np.testing.assert_allclose(state.params, alone.states()[0].params, rtol=2e-3, atol=2e-5)
    first, second = together.states()
    assert not np.allclose(first.params, second.params)
    assert jax.tree.structure(first) == jax.tree.structure(second)
