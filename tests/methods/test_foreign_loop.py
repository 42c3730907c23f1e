"""`toylab.methods` in a training loop that knows nothing of the lab: plain JAX, a net of another kind, plain SGD."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toylab.methods import Context, Example, methods

NAMES = ("meanflow", "improved_meanflow", "alphaflow", "tim", "trace_weighted")


def net_of(params):
    """Random Fourier features and a linear layer: no Equinox, no registry, five dimensions."""

    def net(x, r, t):
        features = jnp.concatenate([x, jnp.stack([r, t])]) @ params["frequencies"]
        return jnp.concatenate([jnp.sin(features), jnp.cos(features)]) @ params["out"]

    return net


@pytest.mark.parametrize("name", NAMES)
def test_a_foreign_loop_learns_a_gaussian(name):
    dim, batch = 5, 64
    options = {"head": False} if name == "improved_meanflow" else {}
    method = methods.create(name, options)
    key = jax.random.key(0)
    params = {"frequencies": jax.random.normal(key, (dim + 2, 64)), "out": jnp.zeros((128, dim))}

    def loss(out, key, progress):
        trained = net_of({**params, "out": out})
        context = Context(trained, trained, progress=progress)
        keys = jax.random.split(key, 4)
        times = jnp.sort(jax.random.uniform(keys[0], (batch, 2)), axis=1)
        x0 = 3.0 + 0.1 * jax.random.normal(keys[1], (batch, dim))
        eps = jax.random.normal(keys[2], (batch, dim))
        uniforms = jax.random.uniform(keys[3], (batch, method.num_uniforms))
        rows = Example(x0, eps, times[:, 0], times[:, 1], uniforms)
        pairs = jax.vmap(lambda row: method.pair_loss(row, context, jnp.asarray(1.0)))(rows)
        equal = jax.vmap(lambda row: method.equal_loss(row._replace(r=row.t), context))(rows)
        return jnp.mean(pairs) + jnp.mean(equal)

    @jax.jit
    def step(out, index):
        gradient = jax.grad(loss)(out, jax.random.fold_in(key, index), index / 400)
        return out - 4e-3 * gradient

    out = params["out"]
    for index in range(400):
        out = step(out, index)
    noise = jax.random.normal(jax.random.key(1), (256, dim))
    trained = net_of({**params, "out": out})
    samples = jax.vmap(lambda eps: eps - trained(eps, jnp.asarray(0.0), jnp.asarray(1.0)))(noise)
    # The noise has mean 0, the data 3: most of the way is learned, and none of it without training.
    assert float(jnp.mean(samples)) == pytest.approx(3.0, abs=0.9)
    assert abs(float(jnp.mean(noise))) < 0.2
    assert np.all(np.isfinite(samples))
