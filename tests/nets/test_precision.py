"""Half precision: the layers are computed in it, the masters are not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import toylab as tl
from toylab.nets import MLPSpec, flat_net
from toylab.training.state import init_state

SIZES = {"dim": 2, "width": 32, "depth": 2, "embed_dim": 8, "output_scale": 1.0}


def net_of(dtype="float32", **settings):
    return flat_net(MLPSpec(**SIZES, dtype=dtype, **settings))


def output(net, params, x):
    t = jnp.asarray(0.7)
    return net.bind(params)(x, t / 2, t)


@pytest.mark.parametrize("settings", [{}, {"encoder_depth": 1}], ids=str)
@pytest.mark.parametrize(("dtype", "low", "high"), [("bfloat16", 3e-4, 3e-2), ("float16", 3e-5, 4e-3)])
def test_the_output_is_rounded_as_the_precision_says(dtype, low, high, settings):
    whole, half = net_of(**settings), net_of(dtype, **settings)
    params, points = whole.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (64, 2))

    @jax.jit
    def outputs(params, points):
        return [jax.vmap(lambda x, net=net: output(net, params, x))(points) for net in (whole, half)]

    exact, rounded = outputs(params, points)
    assert rounded.dtype == params.dtype == jnp.float32
    assert low < np.linalg.norm(rounded - exact) / np.linalg.norm(exact) < high


def test_every_layer_sees_half_precision():
    spec = MLPSpec(**SIZES, dtype="bfloat16")
    seen = jax.make_jaxpr(spec.build(jax.random.key(0)))(jnp.ones(2), jnp.zeros(()), jnp.ones(()))
    products = [e for e in seen.eqns if e.primitive.name == "dot_general"]
    assert len(products) == 3
    assert {variable.aval.dtype for e in products for variable in e.invars} == {jnp.dtype("bfloat16")}


def test_float16_overflows_where_bfloat16_does_not():
    params, far = net_of().init(jax.random.key(0)), jnp.array([3e5, 0.0])
    assert np.all(np.isfinite(output(net_of("bfloat16"), params, far)))
    assert not np.all(np.isfinite(output(net_of("float16"), params, far)))


def test_training_keeps_masters_that_half_precision_cannot_tell_apart():
    config = tl.RunConfig(width=16, depth=2, embed_dim=8, batch_size=16, steps=4, eval_samples=0)
    config = config.replace(learning_rate=1e-5, net_options={"dtype": "bfloat16"})
    run = tl.train(config, progress=False)
    before, params = init_state(run.experiment).params, np.asarray(run.state.params)
    assert params.dtype == run.state.params_ema.dtype == np.float32
    assert np.mean(params != before) > 0.9
    halves = (np.asarray(values, jnp.bfloat16) for values in (params, before))
    assert np.mean(np.equal(*halves)) > 0.7  # all but biases: rounded after each step they would not move
    assert np.isfinite(run.history["loss"]).all()
    assert run.sample(8).dtype == np.float32


@pytest.mark.parametrize(("net", "dataset"), [("mlp", "two_moons"), ("dit", "digits")])
def test_an_unknown_precision_is_named(net, dataset):
    config = tl.RunConfig(net=net, dataset=dataset, net_options={"dtype": "float8"})
    said = f"unknown dtype 'float8' of net '{net}'; choices: float32, bfloat16, float16"
    with pytest.raises(ValueError, match=said):
        tl.train(config, progress=False)
