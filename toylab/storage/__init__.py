"""Files: run folders, checkpoints, points of a user. Written atomically, checked before they are used.

No module but `checkpoint` imports jax.
"""
