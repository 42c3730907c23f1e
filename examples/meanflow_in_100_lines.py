"""MeanFlow in 100 lines: train a network on eight Gaussians, then turn noise into data with one call of it.

Time runs from data (t = 0) to noise (t = 1): x_t = (1 - t) x0 + t eps. The network u(x, r, t) learns the average
velocity from r to t, so that x_r = x_t - (t - r) u. The derivative of this in t is the MeanFlow identity
    u(x_t, r, t) = v(x_t, t) - (t - r) du/dt,   du/dt = (d_x u) v + d_t u,   v(x, t) = E[eps - x0 | x_t = x].
v is unknown. MeanFlow (Geng et al. 2025, arXiv:2505.13447) puts one draw, v_cond = eps - x0, in both of its places.
The target stays unbiased, but du/dt multiplies the noise of the draw by (t - r) d_x u. beta replaces v_cond there, in
the tangent alone, by a smoother estimate v_hat (Lu and Wang 2026, arXiv:2605.09235); beta = 0 is MeanFlow.
"""

import argparse

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

FREQUENCIES = np.exp(-np.log(1e4) * np.arange(16) / 16)  # of the sinusoids of time
SIZES = (2 + 4 * len(FREQUENCIES), 128, 128, 128, 2)


def init_params(key):
    """Weight and bias of every layer."""
    weights = [jax.random.normal(jax.random.fold_in(key, i), SIZES[i : i + 2]) for i in range(len(SIZES) - 1)]
    params = [(weight / np.sqrt(len(weight)), jnp.zeros(weight.shape[1])) for weight in weights]
    # A near-zero output layer: u and du/dt start near 0, so the first targets are v_cond, as in flow matching.
    return [*params[:-1], (0.01 * params[-1][0], params[-1][1])]


def net(params, x, r, t):
    """u(x, r, t) of one point: an MLP of x and sinusoids of the two times."""
    embed_r, embed_t = (jnp.concatenate([jnp.sin(s * FREQUENCIES), jnp.cos(s * FREQUENCIES)]) for s in (r, t))
    hidden = jnp.concatenate([x, embed_t, embed_t - embed_r])
    for weight, bias in params[:-1]:
        hidden = jax.nn.silu(hidden @ weight + bias)
    return hidden @ params[-1][0] + params[-1][1]


def draw_batch(key, num):
    """Data, noise and times of ``num`` examples; data: eight Gaussians of std 0.25 on a circle of radius 3."""
    key_mode, key_data, key_eps, key_times, key_equal = jax.random.split(key, 5)
    angle = jax.random.randint(key_mode, (num,), 0, 8) * (jnp.pi / 4)
    centre = 3 * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)
    x0, eps = centre + 0.25 * jax.random.normal(key_data, (num, 2)), jax.random.normal(key_eps, (num, 2))
    # Max and min of two uniforms give r <= t, with gaps up to 1: sampling in one step asks for the gap 1.
    times = jax.random.uniform(key_times, (num, 2))
    r, t = jnp.min(times, axis=1), jnp.max(times, axis=1)
    # r = t with probability 1/4: plain flow matching, which ties u(x, t, t) to v. Proxy and gaps build on it.
    return x0, eps, jnp.where(jax.random.uniform(key_equal, (num,)) < 0.25, t, r), t


def example_loss(params, params_ema, x0, eps, r, t, beta):
    """|u - sg[v_cond - (t - r) du/dt]|^2 of one example."""
    x_t, v_cond = (1 - t) * x0 + t * eps, eps - x0
    # The proxy sees x_t but not the pair behind it: v without the noise, biased by what the EMA has not learned.
    v_hat = net(params_ema, x_t, t, t)
    # The tangent alone is mixed: the target keeps v_cond, or u would learn from its own average, not from data.
    tangent = (1 - beta) * v_cond + beta * v_hat
    # u and du/dt in one forward pass: x moves along the tangent, r stands still, t moves at speed 1.
    u, du_dt = jax.jvp(lambda x, r, t: net(params, x, r, t), (x_t, r, t), (tangent, 0.0, 1.0))
    # Without stop_gradient the optimiser would also bend du/dt to shrink the noise in it: a biased optimum.
    return jnp.sum((u - jax.lax.stop_gradient(v_cond - (t - r) * du_dt)) ** 2)


def make_training(beta, batch_size, steps, seed):
    """State before training, and the jitted function of one step. The EMA spans about the last 1,000 steps."""
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-3, steps, alpha=0.01))

    @jax.jit
    def step(params, params_ema, opt_state, key):
        key, key_batch = jax.random.split(key)
        losses = jax.vmap(example_loss, in_axes=(None, None, 0, 0, 0, 0, None))
        batch = draw_batch(key_batch, batch_size)
        loss, grads = jax.value_and_grad(lambda p: jnp.mean(losses(p, params_ema, *batch, beta)))(params)
        updates, opt_state = optimizer.update(grads, opt_state)
        params = optax.apply_updates(params, updates)
        return params, optax.incremental_update(params, params_ema, 1e-3), opt_state, key, loss

    params = init_params(jax.random.key(seed))
    return (params, params, optimizer.init(params), jax.random.key(seed + 1)), step


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="MeanFlow in 100 lines")
    defaults = {"beta": 0.5, "steps": 20_000, "batch-size": 256, "seed": 0, "out": "meanflow.png"}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"default: {default}")
    args = parser.parse_args()
    state, step = make_training(args.beta, args.batch_size, args.steps, args.seed)
    for index in range(args.steps):
        *state, loss = step(*state)
        if (index + 1) % max(args.steps // 10, 1) == 0:  # a noisy target: it need not fall as samples improve
            print(f"step {index + 1}: batch loss {loss:.2f}", flush=True)
    x0, eps, _, _ = draw_batch(jax.random.key(args.seed + 2), 4096)
    samples = jax.vmap(lambda x: x - net(state[1], x, 0.0, 1.0))(eps)  # r = 0, t = 1; EMA: > 5,000 steps
    plt.figure(figsize=(6, 6)).gca().set(aspect="equal", title=f"One call a sample, beta = {args.beta:g}")
    plt.plot(*x0.T, "C7.", *samples.T, "C0.", markersize=2)
    plt.legend(["data", "samples"], loc="upper right")
    plt.savefig(args.out, dpi=150)
