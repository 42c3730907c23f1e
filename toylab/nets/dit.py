"""Diffusion transformers as average velocities: the nets of image-scale MeanFlow.

From the top: sizes, description and registered function; linear layers, blocks and patches; the net.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.nets.base import DTYPES, MAX_PERIOD, check_dtype, nets, sinusoidal_embedding
from toylab.options import truth, whole
from toylab.types import DataShape, Label, Point, PRNGKey, Scalar

Tokens = Float[Array, "tokens width"]
Vector = Float[Array, " width"]
Heads = Float[Array, "tokens heads channels"]

# Hidden units of a block's perceptron per channel.
MLP_RATIO = 4
# Added to the variance of a norm, as in the published code: tokens that are constant over channels have variance 0.
EPSILON = 1e-6
# Sines and cosines of each time, the input of its two-layer net.
FREQUENCIES = 256


class Size(NamedTuple):
    """Channels of a token, blocks, attention heads."""

    width: int
    depth: int
    num_heads: int


SIZES = {
    "nano": Size(32, 2, 2),
    "tiny": Size(96, 4, 4),
    "S": Size(384, 12, 6),
    "B": Size(768, 12, 12),
    "M": Size(1024, 16, 16),
    "L": Size(1024, 24, 16),
    "XL": Size(1152, 28, 16),
}
"""Named sizes. S to XL are those of the MeanFlow paper; nano is for tests, tiny for 8 x 8 pixels on a CPU."""

REMAT: dict[str, Callable | None] = {
    "none": None,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}
"""What the backward pass recomputes: nothing, all but the products with weights, or every block from its input."""


@dataclass(frozen=True)
class DiTSpec:
    """Description of a `DiT`; hashable, since compiled programs are cached by it.

    Raises:
        ValueError: patches that do not divide the image, or an ``encoder_depth`` out of range.
    """

    image: tuple[int, int, int]
    size: Size
    patch: int
    num_classes: int = 0
    dtype: str = "float32"
    """Precision of the blocks; parameters, time embeddings, norms and softmax sums are float32 in any case."""
    remat: str = "none"
    velocity_head: bool = False
    encoder_depth: int = 0
    """Number of first blocks that receive t only; the others receive the gap too. 0: all receive both. -k: all but the
    last k."""
    unroll: bool = False
    """Whether the program contains every block, instead of a loop over blocks."""

    def __post_init__(self) -> None:
        height, width, _ = self.image
        if self.patch < 1 or height % self.patch or width % self.patch:
            raise ValueError(f"patches of {self.patch} pixels do not divide images of {height} x {width}")
        depth = self.size.depth
        if not 1 - depth <= self.encoder_depth < depth:
            raise ValueError(
                f"encoder_depth of a net with {depth} blocks must lie in [{1 - depth}, {depth - 1}], "
                f"got {self.encoder_depth}"
            )
        if self.encoder_depth < 0:  # one description per net, since compiled programs are cached by it
            object.__setattr__(self, "encoder_depth", depth + self.encoder_depth)

    @property
    def dim(self) -> int:
        """Pixels times channels."""
        height, width, channels = self.image
        return height * width * channels

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.image[0] // self.patch, self.image[1] // self.patch

    @property
    def num_tokens(self) -> int:
        """Patches of an image."""
        return self.grid[0] * self.grid[1]

    @property
    def widest(self) -> int:
        """The hidden layer of a block, or its attention weights."""
        return self.num_tokens * max(MLP_RATIO * self.size.width, self.size.num_heads * self.num_tokens)

    @property
    def num_activations(self) -> int:
        """Values and tangents of every block: two norms, qkv, attention, both layers of the perceptron."""
        width, depth, num_heads = self.size
        per_token = (8 + 2 * MLP_RATIO) * width + 2 * num_heads * self.num_tokens
        return 2 * depth * self.num_tokens * per_token

    def unrolled(self) -> "DiTSpec":
        """The same net without its loop over blocks."""
        return dataclasses.replace(self, unroll=True)

    def build(self, key: PRNGKey) -> "DiT":
        """A freshly initialised net."""
        return DiT(self, key)


@nets.register("dit", citation="peebles2023scalable")
def dit(
    data: DataShape,
    size: str = "tiny",
    patch: int = 2,
    dtype: str = "float32",
    remat: str = "none",
    unroll: bool = False,
    velocity_head: bool = False,
    encoder_depth: int = 0,
) -> DiTSpec:
    """A diffusion transformer on patches of an image.

    Args:
        data: images, with or without classes.
        size: nano, tiny, S, B, M, L or XL.
        patch: pixels along the side of a patch.
        dtype: precision of the blocks, float32, bfloat16 or float16.
        remat: what the backward pass recomputes: none, dots (all but products with weights) or full.
        unroll: no loop over blocks in the program: longer to compile, faster on some accelerators.
        velocity_head: a second output, which some methods need.
        encoder_depth: number of first blocks that receive the later time only.

    Raises:
        ValueError: data without pixels, an unknown name, patches that do not divide the image.
    """
    if data.image is None:
        raise ValueError(
            f"net 'dit' takes images, not points of {data.dim} coordinates; choices: net mlp, image data"
        )
    for name, value, choices in (("size", size, SIZES), ("remat", remat, REMAT)):
        if value not in choices:
            raise ValueError(f"unknown {name} {value!r} of net 'dit'; choices: {', '.join(choices)}")
    check_dtype("dit", dtype)
    most = SIZES[size].depth - 1
    return DiTSpec(
        data.image,
        SIZES[size],
        whole("patch of net 'dit'", patch, 1, max(data.image[:2])),
        data.num_classes,
        dtype,
        remat,
        truth("velocity_head of net 'dit'", velocity_head),
        whole("encoder_depth of net 'dit'", encoder_depth, -most, most),
        truth("unroll of net 'dit'", unroll),
    )


class Dense(eqx.Module):
    """W x + b, computed in the precision of ``x`` whatever the precision of the weights."""

    weight: Float[Array, "fan_out fan_in"]
    """One row per output: the gradient then needs no transposed copy and takes 0.6 of the time on a CPU."""
    bias: Float[Array, " fan_out"]

    def __call__(self, x: Float[Array, "*rows fan_in"]) -> Float[Array, "*rows fan_out"]:
        """One vector, or rows of them."""
        return x @ self.weight.astype(x.dtype).T + self.bias.astype(x.dtype)


def xavier(key: PRNGKey, fan_in: int, fan_out: int) -> Dense:
    """Weights from U(-a, a) with a^2 = 6 / (fan_in + fan_out), biases 0.

    Source: Glorot and Bengio 2010 (glorot2010understanding), equation 16.
    """
    bound = (6 / (fan_in + fan_out)) ** 0.5
    return Dense(jax.random.uniform(key, (fan_out, fan_in), minval=-bound, maxval=bound), jnp.zeros(fan_out))


def normal(key: PRNGKey, fan_in: int, fan_out: int, std: float = 0.02) -> Dense:
    """Weights from N(0, std^2), biases 0."""
    return Dense(std * jax.random.normal(key, (fan_out, fan_in)), jnp.zeros(fan_out))


def zero(fan_in: int, fan_out: int) -> Dense:
    """Weights and biases 0: a layer whose output is 0 at first."""
    return Dense(jnp.zeros((fan_out, fan_in)), jnp.zeros(fan_out))


class Block(eqx.Module):
    """Attention and a perceptron, each after a norm and before a gate that depend on the condition ("adaLN-Zero").

    x += g1 attention(n(x) (1 + a1) + b1);  x += g2 mlp(n(x) (1 + a2) + b2), where (b1, a1, g1, b2, a2, g2) is a linear
    function of the condition that starts at zero, so that an untrained block is the identity.

    Source: Peebles and Xie 2023 (peebles2023scalable).
    """

    qkv: Dense
    projection: Dense
    widen: Dense
    narrow: Dense
    modulation: Dense
    num_heads: int = eqx.field(static=True)

    def __call__(self, tokens: Tokens, condition: Vector) -> Tokens:
        """Tokens of one example; the activation function is already applied to the condition."""
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = jnp.split(self.modulation(condition), 6)
        tokens = tokens + gate * self._attention(modulated(tokens, shift, scale))
        hidden = jax.nn.gelu(self.widen(modulated(tokens, shift_mlp, scale_mlp)))
        return tokens + gate_mlp * self.narrow(hidden)

    def _attention(self, tokens: Tokens) -> Tokens:
        num_tokens, width = tokens.shape
        query, key, value = jnp.split(self.qkv(tokens), 3, axis=-1)
        heads = [part.reshape(num_tokens, self.num_heads, -1) for part in (query, key, value)]
        return self.projection(attention(*heads).reshape(num_tokens, width))


def attention(query: Heads, key: Heads, value: Heads) -> Heads:
    """softmax(q k^T / sqrt(channels)) v for each head, with sums and softmax in float32 or better.

    Written out, since fused attention kernels have no forward-mode derivative, which every MeanFlow step takes. At 64
    tokens the attention weights take no more memory than one activation.

    Source: Vaswani et al. 2017, equation 1.
    """
    precise = jnp.promote_types(query.dtype, jnp.float32)
    scores = jnp.einsum("qnc,knc->nqk", query, key, preferred_element_type=precise)
    weights = jax.nn.softmax(scores * query.shape[-1] ** -0.5).astype(value.dtype)
    return jnp.einsum("nqk,knc->qnc", weights, value)


def block(key: PRNGKey, width: int, num_heads: int) -> Block:
    """An initialised block: the identity, since its gates are zero."""
    keys = jax.random.split(key, 4)
    return Block(
        qkv=xavier(keys[0], width, 3 * width),
        projection=xavier(keys[1], width, width),
        widen=xavier(keys[2], width, MLP_RATIO * width),
        narrow=xavier(keys[3], MLP_RATIO * width, width),
        modulation=zero(width, 6 * width),
        num_heads=num_heads,
    )


def modulated(tokens: Tokens, shift: Vector, scale: Vector) -> Tokens:
    """n(x) (1 + scale) + shift, with n(x) the token minus its mean, divided by its standard deviation."""
    # Mean and variance in float32: in bfloat16, with 8 bits, sums over channels lose too many digits.
    values = tokens.astype(jnp.promote_types(tokens.dtype, jnp.float32))
    centred = values - jnp.mean(values, axis=-1, keepdims=True)
    variance = jnp.mean(centred**2, axis=-1, keepdims=True)
    normed = (centred * jax.lax.rsqrt(variance + EPSILON)).astype(tokens.dtype)
    return normed * (1 + scale) + shift


def to_patches(image: Float[Array, "height width channels"], patch: int) -> Float[Array, "patches values"]:
    """Squares of ``patch`` x ``patch`` pixels, row by row, the values of each in one row."""
    height, width, channels = image.shape
    tiles = image.reshape(height // patch, patch, width // patch, patch, channels)
    return tiles.transpose(0, 2, 1, 3, 4).reshape(-1, patch * patch * channels)


def from_patches(
    patches: Float[Array, "patches values"], image_shape: tuple[int, int, int], patch: int
) -> Float[Array, "height width channels"]:
    """The inverse of `to_patches`."""
    height, width, channels = image_shape
    tiles = patches.reshape(height // patch, width // patch, patch, patch, channels)
    return tiles.transpose(0, 2, 1, 3, 4).reshape(height, width, channels)


@lru_cache(maxsize=32)
def positions(rows: int, columns: int, dim: int) -> Float[np.ndarray, "patches dim"]:
    """Sines and cosines of each patch's row (first half of ``dim``) and column (second half), never trained.

    Source: Dosovitskiy et al. 2021 for patches, with the fixed frequencies of Vaswani et al. 2017.
    """
    quarter = dim // 4
    frequencies = MAX_PERIOD ** (-np.arange(quarter) / quarter)
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    angles = [place.reshape(-1, 1) * frequencies for place in (row, column)]
    return np.concatenate([f(angle) for angle in angles for f in (np.sin, np.cos)], axis=1).astype(np.float32)


class TimeNet(eqx.Module):
    """Embedding of one time: sines and cosines, then two layers."""

    first: Dense
    second: Dense

    def __call__(self, time: Scalar) -> Vector:
        """Embedding of one time in [0, 1]; the time is not scaled before."""
        return self.second(jax.nn.silu(self.first(sinusoidal_embedding(time, FREQUENCIES))))


class DiT(eqx.Module):
    """u(x, r, t) of one image by a transformer with the condition e(t) + e(t - r) + e(class).

    One linear map turns patches into tokens, to which fixed positions are added. The weights of all blocks are stacked
    and scanned over. A last modulated norm and a linear map give the pixels; the map starts at zero, so that u = 0 at
    first.

    Source: Geng et al. 2025 (geng2025meanflow), whose sizes and initial weights these are; Peebles and Xie 2023.
    """

    embed: Dense
    time: TimeNet
    gap: TimeNet
    classes: Float[Array, "labels width"] | None
    blocks: Block
    """Every array with a leading axis of blocks."""
    modulation: Dense
    output: Dense
    spec: DiTSpec = eqx.field(static=True)

    def __init__(self, spec: DiTSpec, key: PRNGKey):
        width, depth, num_heads = spec.size
        num_channels = spec.image[2]
        keys = jax.random.split(key, 7)
        self.embed = xavier(keys[0], spec.patch**2 * num_channels, width)
        self.time = TimeNet(normal(keys[1], FREQUENCIES, width), normal(keys[2], width, width))
        self.gap = TimeNet(normal(keys[3], FREQUENCIES, width), normal(keys[4], width, width))
        # One more row than classes: the null label.
        rows = spec.num_classes + 1
        self.classes = 0.02 * jax.random.normal(keys[5], (rows, width)) if spec.num_classes else None
        self.blocks = jax.vmap(lambda key: block(key, width, num_heads))(jax.random.split(keys[6], depth))
        self.modulation = zero(width, 2 * width)
        self.output = zero(width, spec.patch**2 * num_channels * (2 if spec.velocity_head else 1))
        self.spec = spec

    def __call__(self, x: Point, r: Scalar, t: Scalar, label: Label | None = None) -> Point:
        """Average velocity at the image ``x`` of time ``t`` over [r, t]; without a label, that of all classes."""
        return self._outputs(x, r, t, label)[0]

    def with_velocity(
        self, x: Point, r: Scalar, t: Scalar, label: Label | None = None
    ) -> tuple[Point, Point]:
        """The average velocity and the second head's velocity, in one pass.

        Raises:
            ValueError: the net has no second head.
        """
        if not self.spec.velocity_head:
            raise ValueError("this net has one head; build it with velocity_head=True")
        u, velocity = self._outputs(x, r, t, label)
        return u, velocity

    def _outputs(self, x: Point, r: Scalar, t: Scalar, label: Label | None) -> list[Point]:
        spec = self.spec
        dtype = DTYPES[spec.dtype] or x.dtype
        tokens = self.embed(to_patches(jnp.reshape(x, spec.image), spec.patch).astype(dtype))
        tokens = tokens + positions(*spec.grid, spec.size.width).astype(dtype)
        early, late = self._conditions(r, t, label)
        tokens = self._through_blocks(tokens, early.astype(dtype), late.astype(dtype))
        shift, scale = jnp.split(self.modulation(late.astype(dtype)), 2)
        values = self.output(modulated(tokens, shift, scale)).astype(x.dtype)
        heads = jnp.split(values, 2, axis=-1) if spec.velocity_head else [values]
        return [from_patches(head, spec.image, spec.patch).ravel() for head in heads]

    def _conditions(self, r: Scalar, t: Scalar, label: Label | None) -> tuple[Vector, Vector]:
        """Condition of the first ``encoder_depth`` blocks, without the gap t - r, and of the other blocks."""
        condition = self.time(t)
        if self.classes is not None:
            condition = condition + self.classes[self.spec.num_classes if label is None else label]
        return jax.nn.silu(condition), jax.nn.silu(condition + self.gap(t - r))

    def _through_blocks(self, tokens: Tokens, early: Vector, late: Vector) -> Tokens:
        def step(tokens: Tokens, block_and_place: tuple[Block, Array]) -> tuple[Tokens, None]:
            one, is_late = block_and_place
            return one(tokens, jnp.where(is_late, late, early)), None

        policy = REMAT[self.spec.remat]
        if policy is not None:
            step = jax.checkpoint(step, policy=policy, prevent_cse=False)
        is_late = jnp.arange(self.spec.size.depth) >= self.spec.encoder_depth
        return jax.lax.scan(step, tokens, (self.blocks, is_late), unroll=self.spec.unroll)[0]
