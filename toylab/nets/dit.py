"""Diffusion transformers as average velocities: the nets of image-scale MeanFlow."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from toylab.nets.base import nets
from toylab.nets.dense import Dense, normal, xavier, zero
from toylab.nets.embed import sinusoidal_embedding
from toylab.nets.patches import from_patches, positions, to_patches
from toylab.nets.precision import DTYPES, check_dtype
from toylab.nets.transformer import MLP_RATIO, Block, Tokens, Vector, block, modulated
from toylab.types import DataShape, Label, Point, PRNGKey, Scalar

FREQUENCIES = 256
"""Sines and cosines of each time, before its two-layer net."""


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
"""Named sizes: from S on those of the MeanFlow paper; nano is for tests, tiny for 8 x 8 pixels on a CPU."""

REMAT: dict[str, Callable | None] = {
    "none": None,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}
"""What the backward pass computes again: nothing, all but the products with weights, or every block from its input."""


@dataclass(frozen=True)
class DiTSpec:
    """What a `DiT` is made of: hashable, so that a compiled program can key on it.

    Raises:
        ValueError: patches that do not divide the image.
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
    """Blocks that see t alone, the rest see the gap as well; 0: all see both; -k: all but the last k."""
    unroll: bool = False
    """Blocks one after the other in the program in the place of a loop."""

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
        if self.encoder_depth < 0:
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
        remat: what the backward pass computes again: none, dots (all but products with weights) or full.
        unroll: blocks one after the other in the program: longer to compile, faster on some accelerators.
        velocity_head: a second output, as some methods ask for.
        encoder_depth: blocks that see the later time alone.

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
    if patch != int(patch):
        raise ValueError(f"patch must be a whole number, got {patch!r}")
    if encoder_depth != int(encoder_depth):
        raise ValueError(f"encoder_depth must be a whole number, got {encoder_depth!r}")
    for name, value in (("unroll", unroll), ("velocity_head", velocity_head)):
        if not isinstance(value, bool):
            raise ValueError(f"{name} of net 'dit' must be true or false, got {value!r}")
    return DiTSpec(
        data.image,
        SIZES[size],
        int(patch),
        data.num_classes,
        dtype,
        remat,
        velocity_head,
        int(encoder_depth),
        unroll,
    )


class TimeNet(eqx.Module):
    """A time as a vector: sines and cosines, then two layers."""

    first: Dense
    second: Dense

    def __call__(self, time: Scalar) -> Vector:
        """Vector of one time in [0, 1], which is not scaled before it is embedded."""
        return self.second(jax.nn.silu(self.first(sinusoidal_embedding(time, FREQUENCIES))))


class DiT(eqx.Module):
    """u(x, r, t) of one image by a transformer that the condition e(t) + e(t - r) + e(class) sets.

    Patches become tokens by one linear map, with fixed positions added; blocks are those of `transformer`, their
    weights stacked and scanned over; a last modulated norm and a linear map that starts at zero make pixels of them, so
    that u = 0 at first.

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
        # One row more than there are classes: that of none of them.
        rows = spec.num_classes + 1
        self.classes = 0.02 * jax.random.normal(keys[5], (rows, width)) if spec.num_classes else None
        self.blocks = jax.vmap(lambda key: block(key, width, num_heads))(jax.random.split(keys[6], depth))
        self.modulation = zero(width, 2 * width)
        self.output = zero(width, spec.patch**2 * num_channels * (2 if spec.velocity_head else 1))
        self.spec = spec

    def __call__(self, x: Point, r: Scalar, t: Scalar, label: Label | None = None) -> Point:
        """Average velocity at the image ``x`` of time ``t`` over [r, t]; without a label, of all classes together."""
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
        """What the first ``encoder_depth`` blocks see, and what the others do: the gap as well."""
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
