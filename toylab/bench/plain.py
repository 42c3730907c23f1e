"""What people write: one run, one jitted call per step, every row through the JVP. The baseline of the benchmark.

Run as ``python -m toylab.bench.plain`` it prints its steps per second; in a process of its own, so that none of the
engine's settings helps or hinders it. It shares no code with the engine on purpose.
"""

import itertools
import sys
import time

import jax
import jax.numpy as jnp
import optax

WIDTH, EMBED, BATCH, BETA = 128, 32, 256, 0.5


def init(key):
    """Weights of a 3 x 128 net with a near-zero output layer."""
    sizes = [2 + 2 * EMBED, WIDTH, WIDTH, WIDTH, 2]
    keys = jax.random.split(key, len(sizes) - 1)
    shapes = list(itertools.pairwise(sizes))
    scales = [1.0] * (len(shapes) - 1) + [1e-2]
    return [
        (scale * jax.random.normal(k, shape) / jnp.sqrt(shape[0]), jnp.zeros(shape[1]))
        for k, shape, scale in zip(keys, shapes, scales, strict=True)
    ]


def embed(time_):
    """Sines and cosines of one time."""
    angles = time_ * jnp.exp(-jnp.log(1e4) * jnp.arange(EMBED // 2) / (EMBED // 2))
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)])


def net(params, x, r, t):
    """u(x, r, t) of one example."""
    hidden = jnp.concatenate([x, embed(t), embed(t) - embed(r)])
    for weight, bias in params[:-1]:
        hidden = jax.nn.silu(hidden @ weight + bias)
    weight, bias = params[-1]
    return hidden @ weight + bias


def example_loss(params, params_ema, x0, eps, r, t):
    """MeanFlow with the tangent half way to the moving average."""
    x_t, v_cond = (1 - t) * x0 + t * eps, eps - x0
    tangent = (1 - BETA) * v_cond + BETA * net(params_ema, x_t, t, t)
    u, du_dt = jax.jvp(
        lambda x, r, t: net(params, x, r, t), (x_t, r, t), (tangent, jnp.zeros_like(r), jnp.ones_like(t))
    )
    return jnp.sum((u - jax.lax.stop_gradient(v_cond - (t - r) * du_dt)) ** 2)


def draw(key):
    """A batch of eight Gaussians, noise and times, r = t with probability 1/4."""
    key_mode, key_data, key_eps, key_times, key_equal = jax.random.split(key, 5)
    angle = jax.random.randint(key_mode, (BATCH,), 0, 8) * (jnp.pi / 4)
    centre = 3 * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)
    x0 = centre + 0.25 * jax.random.normal(key_data, (BATCH, 2))
    eps = jax.random.normal(key_eps, (BATCH, 2))
    times = jax.random.uniform(key_times, (BATCH, 2))
    t = jnp.max(times, axis=1)
    r = jnp.where(jax.random.uniform(key_equal, (BATCH,)) < 0.25, t, jnp.min(times, axis=1))
    return x0, eps, r, t


def steps_per_second(seconds: float) -> float:
    """Steps per second over about ``seconds``, after compilation and a warm-up."""
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-3, 200_000, 0.01))

    @jax.jit
    def step(params, params_ema, opt_state, key):
        key, key_batch = jax.random.split(key)
        batch = draw(key_batch)

        def loss(params):
            losses = jax.vmap(example_loss, in_axes=(None, None, 0, 0, 0, 0))(params, params_ema, *batch)
            return jnp.mean(losses)

        value, gradient = jax.value_and_grad(loss)(params)
        updates, opt_state = optimizer.update(gradient, opt_state)
        params = optax.apply_updates(params, updates)
        params_ema = optax.incremental_update(params, params_ema, 1e-3)
        return params, params_ema, opt_state, key, value

    params = init(jax.random.key(0))
    state = (params, params, optimizer.init(params), jax.random.key(1))
    for _ in range(200):
        *state, value = step(*state)
    value.block_until_ready()
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(50):
            *state, value = step(*state)
        value.block_until_ready()
        done += 50
    return done / (time.perf_counter() - start)


if __name__ == "__main__":
    print(steps_per_second(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0))
