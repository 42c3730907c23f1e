"""Samplers against a flow that is known: Gaussian data, where x_t = sigma(t) / sigma(1) x_1."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from toylab.nets.sampling import SAMPLERS, average_velocity_trajectory, euler_trajectory, heun_trajectory

STD = 0.5
EPS = np.array([1.3, -0.4])


def sigma(t):
    return jnp.sqrt((1 - t) ** 2 * STD**2 + t**2)


def velocity(x, r, t):
    """v(x, t) of N(0, STD^2 I): x (t - (1 - t) STD^2) / sigma(t)^2; the earlier time plays no part."""
    return x * (t - (1 - t) * STD**2) / sigma(t) ** 2


def average_velocity(x, r, t):
    return x * (1 - sigma(r) / sigma(t)) / jnp.where(t > r, t - r, 1)


@pytest.mark.parametrize("nfe", [1, 2, 3, 8])
def test_the_exact_average_velocity_follows_the_flow_map_in_any_number_of_steps(x64, nfe):
    states = average_velocity_trajectory(average_velocity, jnp.asarray(EPS), nfe)
    times = np.linspace(1, 0, nfe + 1)
    np.testing.assert_allclose(states, np.outer(sigma(times), EPS), rtol=1e-12)


def errors(trajectory, counts):
    ends = [trajectory(velocity, jnp.asarray(EPS), nfe)[-1] for nfe in counts]
    return [float(np.abs(end - STD * EPS).max()) for end in ends]


@pytest.mark.parametrize(("trajectory", "order"), [(euler_trajectory, 1), (heun_trajectory, 2)])
def test_an_ode_solver_has_its_order(x64, trajectory, order):
    coarse, fine = errors(trajectory, [128, 256])
    assert np.log2(coarse / fine) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("nfe", [1, 2, 5, 32])
def test_heun_spends_exactly_the_evaluations_it_is_given(x64, nfe, monkeypatch):
    from toylab.nets import sampling

    calls = []

    def counted(x, r, t):
        calls.append(float(t))
        return velocity(x, r, t)

    def unrolled(move, eps, times):
        states = [eps]
        for t, r in itertools.pairwise(times):
            states.append(move(states[-1], t, r))
        return jnp.stack(states)

    monkeypatch.setattr(sampling, "_scan", unrolled)
    states = heun_trajectory(counted, jnp.asarray(EPS), nfe)
    assert len(calls) == nfe
    assert len(states) == (nfe + 1) // 2 + 1
    monkeypatch.undo()
    np.testing.assert_allclose(heun_trajectory(velocity, jnp.asarray(EPS), nfe), states, rtol=1e-12)


def test_one_evaluation_of_heun_is_eulers_and_many_beat_it(x64):
    np.testing.assert_array_equal(
        heun_trajectory(velocity, jnp.asarray(EPS), 1), euler_trajectory(velocity, jnp.asarray(EPS), 1)
    )
    assert errors(heun_trajectory, [32])[0] < 0.1 * errors(euler_trajectory, [32])[0]
    assert SAMPLERS["ode"] is heun_trajectory
