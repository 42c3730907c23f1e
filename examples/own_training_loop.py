"""A method of `toylab.methods` in a training loop of your own: own network, own data, plain Equinox and Optax.

    python examples/own_training_loop.py --method alphaflow

A method is the loss of one example for any callable ``net(x, r, t) -> u``. Network, data, times and optimiser are up to
the loop. The methods that are not in METHODS need more from a loop (`toylab.methods.AbstractMethod` declares what): a
teacher, a second stage of training, a second output of the network, or an ODE solver for sampling.
"""

import argparse

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from toylab.methods import Context, Example, methods
from toylab.metrics import floor, metrics

METHODS = (
    "alphaflow", "euler_mean_flows", "kim_gap_weighting", "meanflow", "modular_meanflow", "shortcut", "soflow",
    "split_meanflow", "tim", "trace_weighted",
)  # fmt: skip
BATCH_SIZE, NUM_EQUAL = 128, 32


class Net(eqx.Module):
    """u(x, r, t) of one point: an MLP of x, t and the gap t - r."""

    mlp: eqx.nn.MLP

    def __init__(self, key):
        self.mlp = eqx.nn.MLP(4, 2, width_size=96, depth=3, activation=jax.nn.silu, key=key)

    def __call__(self, x, r, t):
        """The average velocity between r and t at the point x of time t."""
        return self.mlp(jnp.concatenate([x, jnp.stack([t, t - r])]))


def draw_wave(num, seed):
    """Own data: ``num`` points along a sine curve with noise of std 0.15, shape (num, 2)."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, num)
    curve = np.stack([x, 1.5 * np.sin(1.5 * x)], axis=1)
    return (curve + 0.15 * rng.standard_normal((num, 2))).astype(np.float32)


def batch_loss(net, net_ema, method, beta, data, key, progress):
    """Mean loss of one batch; a method looks at the nets through a `Context`, and only ``net`` gets a gradient."""
    context = Context(net, net_ema, progress=progress)
    keys = jax.random.split(key, 4)
    x0 = jax.random.choice(keys[0], data, (BATCH_SIZE,))
    eps = jax.random.normal(keys[1], x0.shape)
    r, t = jnp.sort(jax.random.uniform(keys[2], (2, BATCH_SIZE)), axis=0)
    # A fixed share of the rows has r = t: plain flow matching, which costs no derivative.
    r = r.at[:NUM_EQUAL].set(t[:NUM_EQUAL])
    rows = Example(x0, eps, r, t, jax.random.uniform(keys[3], (BATCH_SIZE, method.num_uniforms)))
    equal, pairs = jax.tree.map(lambda x: x[:NUM_EQUAL], rows), jax.tree.map(lambda x: x[NUM_EQUAL:], rows)
    equal_losses = jax.vmap(lambda row: method.equal_loss(row, context))(equal)
    pair_losses = jax.vmap(lambda row: method.pair_loss(row, context, beta))(pairs)
    return jnp.mean(jnp.concatenate([equal_losses, pair_losses]))


def train(method, beta, steps, data):
    """The moving average of a trained network."""
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-3, steps, alpha=0.01))
    # Arrays apart from the rest: the activation function is a leaf of the network, without gradient or average.
    params, static = eqx.partition(Net(jax.random.key(0)), eqx.is_array)

    @jax.jit
    def step(params, params_ema, opt_state, index):
        def loss_fn(params):
            net, net_ema = eqx.combine(params, static), eqx.combine(params_ema, static)
            key = jax.random.fold_in(jax.random.key(1), index)
            return batch_loss(net, net_ema, method, jnp.asarray(beta), data, key, index / steps)

        loss, grads = jax.value_and_grad(loss_fn)(params)
        updates, opt_state = optimizer.update(grads, opt_state)
        params = optax.apply_updates(params, updates)
        return params, optax.incremental_update(params, params_ema, 5e-3), opt_state, loss

    state = params, params, optimizer.init(params)
    for index in range(steps):
        *state, loss = step(*state, jnp.asarray(index))
        if (index + 1) % max(steps // 5, 1) == 0:
            print(f"step {index + 1}: loss {loss:.3f}", flush=True)
    return eqx.combine(state[1], static)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A method of toylab in a training loop of its own")
    parser.add_argument("--method", choices=METHODS, default="meanflow")
    parser.add_argument("--beta", type=float, default=1.0, help="of meanflow and trace_weighted; default: 1")
    parser.add_argument("--steps", type=int, default=5_000, help="default: 5000")
    parser.add_argument("--out", default="own_training_loop.png", help="default: own_training_loop.png")
    args = parser.parse_args()
    net = train(methods.create(args.method), args.beta, args.steps, jnp.asarray(draw_wave(20_000, seed=0)))
    eps, fresh = jax.random.normal(jax.random.key(2), (4096, 2)), draw_wave(4096, seed=1)
    samples = np.asarray(jax.vmap(lambda x: x - net(x, jnp.zeros(()), jnp.ones(())))(eps))
    # The floor is the score of fresh data against fresh data: no sampler can be told from the data below it.
    metric = metrics.create("sliced_w1")
    score, lowest = metric(samples, fresh), floor(metric, draw_wave, n=4096).value
    print(f"sliced W1 {score:.3f}, floor {lowest:.3f} (n = 4096, one network call a sample)")
    plt.figure(figsize=(6, 6)).gca().set(aspect="equal", title=f"{args.method}: one call a sample")
    plt.plot(*fresh.T, "C7.", *samples.T, "C0.", markersize=2)
    plt.legend(["data", "samples"], loc="upper right")
    plt.savefig(args.out, dpi=150)
