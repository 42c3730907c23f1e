"""Prepares JAX before the first computation of a command."""

import warnings


def start_jax() -> None:
    """Enable the persistent compilation cache, so that a later command does not compile the same programs again."""
    # JAX takes 0.8 s to import, which --help and a bad flag must not wait for.
    from toylab.devices.parallel import enable_compilation_cache

    enable_compilation_cache()
    # A cache folder that cannot be written only costs time.
    warnings.filterwarnings("ignore", message=".*persistent compilation cache.*", category=UserWarning)
