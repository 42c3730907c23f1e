"""Views of a run against what is known in closed form: one Gaussian, where the flow and the velocity are linear."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import toylab as tl
from toylab.devices.parallel import single_precision
from toylab.diagnostics import views
from toylab.nets.sampling import heun_trajectory
from toylab.training import Run
from toylab.training.experiment import build_experiment
from toylab.training.state import init_state

STD = 0.5
GAUSSIAN = {"means": [[0.0, 0.0]], "stds": [STD], "weights": [1.0]}


def sigma(t):
    return np.sqrt((1 - t) ** 2 * STD**2 + t**2)


def exact_velocity(x, t):
    """Of N(0, STD^2 I): x (t - (1 - t) STD^2) / sigma(t)^2."""
    return x * (t - (1 - t) * STD**2) / sigma(t) ** 2


def untrained(**settings) -> Run:
    config = tl.RunConfig(
        dataset="gaussian_mixture", dataset_options=GAUSSIAN, width=16, depth=2, output_scale=1.0, **settings
    )
    with single_precision():
        state = jax.device_get(init_state(build_experiment(config)))
    return Run(config, state, pd.DataFrame())


@pytest.fixture(scope="module")
def run():
    return untrained()


def zero(run: Run) -> Run:
    """The same with a net that says zero."""
    zeros = jnp.zeros_like(run.state.params_ema)
    return Run(run.config, run.state._replace(params_ema=zeros), pd.DataFrame())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["meanflow", "flow_matching"])
def test_paths_end_at_the_samples_of_the_same_noise(method):
    run = untrained(method=method)
    found = views.trajectories(run, (1, 4, 16), n=50, seed=7)
    for nfe, path, times in zip(found.steps, found.model, found.times, strict=True):
        np.testing.assert_allclose(path[:, -1], run.sample(50, nfe=nfe, seed=7), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(path[:, 0], found.model[0][:, 0])
        assert len(times) == path.shape[1]
        assert (times[0], times[-1]) == (1.0, 0.0)
    assert found.model[-1].shape[1] == (17 if method == "meanflow" else 9)


def test_the_states_of_a_path_are_steps_of_the_average_velocity(run):
    found = views.trajectories(run, (4,), n=3)
    x, t, r = found.model[0][:, 1], jnp.float32(0.75), jnp.float32(0.5)
    u = np.stack([np.asarray(run.net(jnp.asarray(point), r, t)) for point in x])
    np.testing.assert_allclose(found.model[0][:, 2], x - 0.25 * u, rtol=1e-5, atol=1e-6)


def test_the_exact_flow_starts_from_the_same_noise_and_follows_the_closed_form(x64, run):
    found = views.trajectories(run, (1,), n=20, num_times=9)
    noise = found.model[0][:, 0]
    np.testing.assert_array_equal(found.oracle_times, np.linspace(1, 0, 9))
    expected = sigma(found.oracle_times)[None, :, None] / sigma(1.0) * noise[:, None]
    np.testing.assert_allclose(found.oracle[:, :-1], expected[:, :-1], rtol=1e-7)
    # The last 1e-4 is one straight step.
    np.testing.assert_allclose(found.oracle[:, -1], expected[:, -1], rtol=1e-6)


def test_gaps_are_mean_distances_of_the_ends(run):
    found = views.trajectories(zero(run), (1, 16), n=400)
    noise = found.model[0][:, 0]
    # A net that says zero stays where it is; the flow contracts to STD times the noise.
    distances = (1 - STD) * np.linalg.norm(noise, axis=1)
    for mean, stderr in found.gaps:
        assert mean == pytest.approx(distances.mean(), rel=1e-3)
        assert stderr == pytest.approx(distances.std(ddof=1) / np.sqrt(400), rel=1e-3)


@pytest.mark.parametrize("t", [0.02, 0.3, 1.0])
def test_the_exact_field_is_the_closed_form_and_the_models_the_net_at_r_equal_t(x64, run, t):
    grid = views.square_grid((0.5, -0.5), 2.0, 5).astype(np.float32)
    found = views.field(run, t, grid, n=10)
    np.testing.assert_allclose(found.oracle, exact_velocity(grid.astype(float), t), rtol=1e-10, atol=1e-12)
    with single_precision():
        net = run.net
        model = [np.asarray(net(jnp.asarray(x, jnp.float32), jnp.float32(t), jnp.float32(t))) for x in grid]
    np.testing.assert_allclose(found.model, model, rtol=1e-5, atol=1e-6)


def test_the_difference_is_the_root_mean_square_over_the_marginal(run):
    t, n = 0.3, 40_000
    found = views.field(zero(run), t, views.square_grid((0, 0), 1.0, 3), n=n)
    # x_t is N(0, sigma^2 I), and the velocity a multiple of it.
    truth = np.sqrt(2) * abs(exact_velocity(1.0, t)) * sigma(t)
    assert found.n == n
    assert found.rms == pytest.approx(found.exact_rms, rel=1e-6)
    assert abs(found.rms - truth) < 4 * found.stderr
    # |v|^2 is truth^2 times a chi-square of two degrees over two, whose standard deviation is its mean.
    assert found.stderr == pytest.approx(truth / 2 / np.sqrt(n), rel=0.05)
    assert found.points.std() == pytest.approx(sigma(t), rel=0.1)


def test_the_net_that_is_exact_has_no_difference(monkeypatch, run):
    monkeypatch.setattr(views, "_velocities", lambda experiment, params, x, t: exact_velocity(x, float(t)))
    found = views.field(run, 0.4, views.square_grid((0, 0), 2.0, 3), n=500)
    assert found.rms < 1e-5 * found.exact_rms
    np.testing.assert_allclose(found.model, found.oracle, atol=1e-5)


def test_few_steps_share_their_noise_and_are_scored_in_pairs(run):
    found = views.few_step_samples(run, (1, 2, 16), n=200, num_keys=3, seed=5)
    assert found.samples.shape == (3, 200, 2)
    assert [score.nfe for score in found.scores] == [1, 2, 16]
    assert all((score.n, score.num_keys) == (200, 3) for score in found.scores)
    # Those of one step and of many are the same noise moved: of a net that says zero they are the noise itself.
    with jax.disable_jit():  # to the last bit, which two programs need not share
        still = views.few_step_samples(zero(run), (1, 16), n=200, num_keys=3, seed=5)
    np.testing.assert_array_equal(still.samples[0], still.samples[1])
    assert still.gain.mean == 0
    assert still.gain.n == 3
    # W1 of N(0, 1) from N(0, STD^2) along any direction is (1 - STD) E|z|.
    score = views.few_step_samples(zero(run), (1,), n=1000).scores[0]
    assert abs(score.value - (1 - STD) * np.sqrt(2 / np.pi)) < 4 * score.stderr + 0.2 * score.floor
    assert 0 < score.floor < 0.1


def test_the_gain_is_positive_where_more_steps_are_nearer(monkeypatch, run):
    data = run.dataset

    def sample(self, n, nfe=1, seed=0):
        return data.sample(n, seed=seed) + np.float32(1 / nfe)

    monkeypatch.setattr(Run, "sample", sample)
    gain = views.few_step_samples(run, (1, 2, 16), n=500).gain
    # A shift by (s, s) has sliced W1 s sqrt(2) E|cos| = s sqrt(2) 2 / pi.
    assert gain.mean == pytest.approx((1 - 1 / 16) * np.sqrt(2) * 2 / np.pi, rel=0.05)
    assert 0 < gain.low < gain.mean < gain.high


def test_samples_that_are_not_finite_have_no_score(run):
    params = np.full_like(run.state.params_ema, np.nan)
    broken = Run(run.config, run.state._replace(params_ema=params), pd.DataFrame())
    found = views.few_step_samples(broken, (1, 16), n=100)
    assert np.isnan(found.scores[0].value)
    assert np.isnan(found.gain.mean)


def test_wrong_requests_are_one_line(run):
    with pytest.raises(ValueError, match="steps must name at least one"):
        views.trajectories(run, ())
    with pytest.raises(ValueError, match=r"steps must be a whole number .* got 0"):
        views.few_step_samples(run, (0,))
    with pytest.raises(ValueError, match="t must be in"):
        views.field(run, 0.0, views.square_grid((0, 0), 1.0, 2))


def test_a_grid_is_of_the_middles_of_cells():
    grid = views.square_grid((1.0, -1.0), 2.0, 4)
    assert grid.shape == (16, 2)
    np.testing.assert_allclose(sorted(set(grid[:, 0])), [-0.5, 0.5, 1.5, 2.5])
    np.testing.assert_allclose(sorted(set(grid[:, 1])), [-2.5, -1.5, -0.5, 0.5])


def test_heun_stands_at_equal_times():
    """What `trajectories` says of times holds for both samplers."""
    states = heun_trajectory(lambda x, r, t: jnp.ones_like(x), jnp.zeros(1), 6)
    np.testing.assert_allclose(states[:, 0], np.linspace(0, -1, 4), atol=1e-6)
