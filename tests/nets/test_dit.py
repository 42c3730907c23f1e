"""The transformer: its size, its symmetries, its derivative, and what each option may and may not change."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toylab.nets import flat_net, nets
from toylab.nets.dit import attention, dit, from_patches, positions, to_patches
from toylab.training.cost import matmul_flops
from toylab.types import DataShape

DIGITS = DataShape(64, (8, 8, 1), 10)
LATENTS = DataShape(4096, (32, 32, 4), 1000)


def net_of(data=DIGITS, **options):
    return flat_net(nets.create("dit", {"data": data, "size": "nano", "patch": 2, **options}))


def random_params(net, seed=0):
    """Parameters at which nothing is zero, other than at the start."""
    return jnp.asarray(0.15 * np.random.default_rng(seed).normal(size=net.num_params), jnp.float32)


@pytest.mark.parametrize(
    ("size", "patch", "params"),
    # B/4: rebuilt from the published code elsewhere. The others by hand: with D channels, n blocks, p x p patches of
    # 4 channels, (16 p^2 + ... ) as the sum below spells it out.
    [("B", 4, 131_165_248), ("S", 4, None), ("M", 2, None), ("L", 2, None), ("XL", 2, None)],
)
def test_parameters_are_those_of_the_published_family(size, patch, params):
    spec = nets.create("dit", {"data": LATENTS, "size": size, "patch": patch})
    d, n, values = spec.size.width, spec.size.depth, 4 * patch**2
    embeddings = (values * d + d) + 2 * (256 * d + d + d * d + d) + 1001 * d
    block = (3 * d * d + 3 * d) + (d * d + d) + (4 * d * d + 4 * d) + (4 * d * d + d) + (6 * d * d + 6 * d)
    final = (2 * d * d + 2 * d) + (d * values + values)
    assert flat_net(spec).num_params == embeddings + n * block + final
    assert params in (None, flat_net(spec).num_params)


def test_forward_operations_of_b4():
    net = net_of(LATENTS, size="B", patch=4)
    params, x, time = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((net.num_params,), (4096,), ()))
    # 5.56 thousand million products per image (Peebles and Xie 2023, table 4).
    flops = matmul_flops(lambda params, x, r, t: net.bind(params)(x, r, t), params, x, time, time)
    assert flops == pytest.approx(2 * 5.56e9, rel=0.01)


def test_patches_and_back():
    image = np.arange(8 * 12 * 3.0).reshape(8, 12, 3)
    patches = to_patches(jnp.asarray(image), 4)
    assert patches.shape == (6, 48)
    np.testing.assert_array_equal(patches[1], image[:4, 4:8].ravel())
    np.testing.assert_array_equal(from_patches(patches, (8, 12, 3), 4), image)


def test_positions_tell_patches_apart_and_depend_on_distance():
    table = positions(4, 4, 32)
    products = table @ table.T
    assert np.linalg.matrix_rank(np.round(table, 6)) > 1
    assert len({row.tobytes() for row in table}) == 16
    # Sines and cosines: the product of two places depends on their difference alone.
    np.testing.assert_allclose(products[0, 1], products[9, 10], rtol=1e-5)
    np.testing.assert_allclose(products[0, 4], products[5, 9], rtol=1e-5)
    np.testing.assert_allclose(table[0, :8], 0)  # sine of row 0


@pytest.mark.slow
def test_a_fresh_net_says_zero_and_another_does_not():
    net = net_of()
    x, r, t = jnp.ones(64), jnp.array(0.2), jnp.array(0.9)
    np.testing.assert_array_equal(net.bind(net.init(jax.random.key(0)))(x, r, t), jnp.zeros(64))
    assert np.abs(net.bind(random_params(net))(x, r, t)).max() > 0.1


def test_it_sees_both_times_the_class_and_every_pixel():
    net = net_of()
    u = jax.jit(lambda *at: net.bind(random_params(net))(*at))
    x, r, t, label = jax.random.normal(jax.random.key(5), (64,)), jnp.array(0.2), jnp.array(0.9), jnp.array(3)
    base = u(x, r, t, label)
    for other in (u(x, r + 0.1, t, label), u(x, r, t - 0.1, label), u(x, r, t, label + 1), u(x, r, t)):
        assert np.abs(other - base).max() > 1e-3
    # The null label, in another program.
    np.testing.assert_allclose(u(x, r, t), u(x, r, t, jnp.array(10)), rtol=1e-4, atol=1e-5)
    jacobian = jax.jit(jax.jacfwd(u))(x, r, t, label)
    assert np.all(np.abs(jacobian) > 0)  # attention: every pixel moves every other


def test_total_derivative_against_central_differences(x64):
    net = net_of()
    params = jnp.asarray(random_params(net), jnp.float64)
    u = jax.jit(lambda *at: net.bind(params)(*at))
    keys = jax.random.split(jax.random.key(1), 2)
    x, tangent = (jax.random.normal(key, (64,), jnp.float64) for key in keys)
    r, t, label = jnp.array(0.3), jnp.array(0.8), jnp.array(2)
    _, derivative = jax.jvp(lambda x, t: u(x, r, t, label), (x, t), (tangent, jnp.ones_like(t)))
    h = 1e-5
    numeric = (u(x + h * tangent, r, t + h, label) - u(x - h * tangent, r, t - h, label)) / (2 * h)
    assert np.linalg.norm(derivative - numeric) < 1e-6 * np.linalg.norm(numeric)


def test_attention_is_that_of_the_library():
    heads = [jax.random.normal(key, (5, 3, 8)) for key in jax.random.split(jax.random.key(0), 3)]
    np.testing.assert_allclose(attention(*heads), jax.nn.dot_product_attention(*heads), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("remat", ["dots", "full"])
def test_computing_again_changes_nothing(remat):
    plain, again = net_of(), net_of(remat=remat)
    params, x, t = random_params(plain), jnp.linspace(-1, 1, 64), jnp.array(0.7)

    def gradient(net):
        def loss(params):
            u, du = jax.jvp(lambda x: net.bind(params)(x, t / 2, t), (x,), (x,))
            return jnp.sum(u * jax.lax.stop_gradient(du))

        return jax.jit(jax.grad(loss))(params)

    np.testing.assert_allclose(gradient(plain), gradient(again), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "low", "high"), [("bfloat16", 1e-4, 3e-2), ("float16", 1e-5, 4e-3)])
def test_half_precision_is_close_and_keeps_its_masters(dtype, low, high):
    whole, half = net_of(), net_of(dtype=dtype)
    params, x, t = random_params(whole), jax.random.normal(jax.random.key(2), (64,)), jnp.array(0.7)
    exact, rounded = (net.bind(params)(x, t / 2, t) for net in (whole, half))
    assert half.init(jax.random.key(0)).dtype == rounded.dtype == jnp.float32
    error = np.linalg.norm(rounded - exact) / np.linalg.norm(exact)
    assert low < error < high


def test_encoder_blocks_do_not_see_the_earlier_time():
    net = net_of(encoder_depth=1)
    x, t = jnp.linspace(-1, 1, 64), jnp.array(0.7)
    dit = net.bind(random_params(net))
    early, late = dit._conditions(jnp.array(0.1), t, None)
    other_early, other_late = dit._conditions(jnp.array(0.6), t, None)
    np.testing.assert_array_equal(early, other_early)
    assert np.abs(late - other_late).max() > 1e-3
    tokens = dit.embed(to_patches(x.reshape(8, 8, 1), 2))
    both = dit._through_blocks(tokens, early, late)
    first, second = (jax.tree.map(lambda leaf: leaf[index], dit.blocks) for index in (0, 1))  # noqa: B023
    np.testing.assert_allclose(both, second(first(tokens, early), late), atol=1e-5)


def test_a_second_head():
    net = net_of(velocity_head=True)
    dit = net.bind(random_params(net))
    x, t = jnp.linspace(-1, 1, 64), jnp.array(0.7)
    u, velocity = dit.with_velocity(x, t, t)
    np.testing.assert_array_equal(u, dit(x, t, t))
    assert np.abs(u - velocity).max() > 1e-2
    with pytest.raises(ValueError, match="one head"):
        net_of().bind(random_params(net_of())).with_velocity(x, t, t)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": "XS"}, "unknown size 'XS' of net 'dit'; choices: nano, tiny, S, B, M, L, XL"),
        ({"patch": 3}, "patches of 3 pixels do not divide images of 8 x 8"),
        ({"dtype": "float8"}, "unknown dtype 'float8'"),
        ({"remat": "some"}, "unknown remat 'some'"),
        ({"encoder_depth": 2}, r"must be a whole number in \[-1, 1\], got 2"),
        ({"data": DataShape(2)}, "takes images, not points of 2 coordinates"),
        ({"heads": 3}, "unknown option 'heads' of net 'dit'"),
    ],
)
def test_bad_options_are_named(options, said):
    with pytest.raises(ValueError, match=said):
        net_of(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"encoder_depth": 0.5},
            r"encoder_depth of net 'dit' must be a whole number in \[-3, 3\], got 0.5",
        ),
        ({"unroll": "maybe"}, "unroll of net 'dit' must be true or false, got 'maybe'"),
        ({"velocity_head": 1}, "velocity_head of net 'dit' must be true or false, got 1"),
    ],
)
def test_options_of_another_type_are_named(options, said):
    """As users meet them, without the type checks of the suite."""
    with pytest.raises(ValueError, match=said):
        inspect.unwrap(dit)(DIGITS, **options)
