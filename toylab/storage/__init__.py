"""Files on disk: run folders, checkpoints, point files, caches. Written atomically, checked when read.

Only `checkpoint` imports jax.
"""
