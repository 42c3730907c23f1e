"""Loss, Jacobi factor and proxy error along time, against exact ones on the same pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from tiny import UNMEASURED

import toylab as tl
from toylab.diagnostics.by_time import CHUNK
from toylab.methods import Context
from toylab.nets import flat_net
from toylab.training import Run
from toylab.training.experiment import build_experiment
from toylab.training.objective import draw_pairs
from toylab.training.state import init_state, lane_keys


def run_of(config, seed=0):
    """A run that has not been trained, with parameters at which nothing is zero."""
    state = jax.device_get(init_state(build_experiment(config)))
    rng = np.random.default_rng(seed)
    params, params_ema = 0.5 * rng.normal(size=(2, *state.params.shape)).astype(np.float32)
    return Run(config, state._replace(params=params, params_ema=params_ema), pd.DataFrame())


@pytest.mark.slow
def test_the_numbers_are_those_of_the_pairs():
    run, reference = run_of(UNMEASURED), run_of(UNMEASURED.replace(method="flow_matching"), seed=1)
    table = tl.diagnostics.loss_by_time(
        run, [0.0, 1.0], reference=reference, num_points=8 * CHUNK, num_bins=2, seed=3
    )
    experiment, bind = run.experiment, flat_net(run.experiment.net).bind
    net, net_ema, other = (bind(jnp.asarray(p)) for p in (*run.state[:2], reference.state.params_ema))

    @jax.jit
    @jax.vmap
    def exact(example):
        x, r, t, context = example.x_t, example.r, example.t, Context(net, net_ema)
        jacobi = (t - r) * jax.jacfwd(lambda x: net(x, r, t))(x) - jnp.eye(2)
        losses = [
            jnp.mean(experiment.method.residual(example, context, jnp.array(b)) ** 2) for b in (0.0, 1.0)
        ]
        return t, *losses, jnp.sum(jacobi**2) / 2, jnp.mean((net_ema(x, t, t) - other(x, t, t)) ** 2)

    key = jax.random.fold_in(lane_keys(experiment).diagnostics, 3)
    keys = [jax.random.split(each)[0] for each in jax.random.split(key, 8)]
    rows = [exact(draw_pairs(experiment, each, CHUNK).pairs) for each in keys]
    t, stochastic, deterministic, jacobi, error = map(np.concatenate, zip(*rows, strict=True))
    for index, inside in enumerate((t < 0.5, t >= 0.5)):
        at = table[table.t_low == index / 2]
        assert list(at.n) == [inside.sum()] * 2
        for row, losses in zip(
            at.to_dict("records"), (stochastic[inside], deterministic[inside]), strict=True
        ):
            assert row["loss"] == pytest.approx(losses.mean(), rel=1e-4)
            assert row["variance"] == pytest.approx(losses.var(ddof=1), rel=1e-3)
            assert row["proxy_error"] == pytest.approx(error[inside].mean(), rel=1e-4)
            assert abs(row["jacobi"] - jacobi[inside].mean()) < 5 * row["jacobi_stderr"]


@pytest.mark.slow
def test_it_speaks_of_guided_transformers_too():
    config = tl.RunConfig(
        dataset="digits",
        net="dit",
        net_options={"size": "nano", "patch": 4},
        guidance_mix=0.5,
        label_dropout=0.1,
    )
    run = run_of(config)
    table = tl.diagnostics.loss_by_time(run, [0.0], num_points=CHUNK, num_bins=1)
    plain = run_of(config.replace(guidance_mix=0.0, label_dropout=0.1))
    other = tl.diagnostics.loss_by_time(plain, [0.0], num_points=CHUNK, num_bins=1)
    assert table.n.sum() == CHUNK
    assert abs(table.loss[0] - other.loss[0]) > 1e-3
    assert np.isnan(table.proxy_error[0])
    with pytest.raises(ValueError, match="the reference was trained on eight_gaussians, not digits"):
        tl.diagnostics.loss_by_time(run, reference=run_of(UNMEASURED))
