"""Convert the output of an image encoder to latent shards for `toylab train imagenet-latent-dit-B4`.

    python scripts/make_latent_shards.py MOMENTS.npy LABELS.npy FOLDER

MOMENTS.npy has shape (n, 8, 32, 32): four channels of means and four of standard deviations, unscaled, as the Stable
Diffusion autoencoder returns them for images of 256 x 256 pixels. LABELS.npy has n integers.
"""

import sys
from pathlib import Path

import numpy as np

from toylab.data.images.latents import write_latents

ROWS = 8192
"""Rows per shard, 128 MiB."""

if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    moments = np.load(sys.argv[1], mmap_mode="r", allow_pickle=False)
    labels = np.load(sys.argv[2], allow_pickle=False)
    shards = (moments[start : start + ROWS] for start in range(0, len(moments), ROWS))
    print(f"{write_latents(Path(sys.argv[3]), shards, labels)} latents written to {sys.argv[3]}")
