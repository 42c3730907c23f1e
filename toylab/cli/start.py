"""What a command does before its first computation."""

import warnings


def start_jax() -> None:
    """Keep compiled programs between commands: the second start then takes a second."""
    from toylab.devices.parallel import enable_compilation_cache

    enable_compilation_cache()
    # A cache folder that cannot be written costs time, nothing else.
    warnings.filterwarnings("ignore", message=".*persistent compilation cache.*", category=UserWarning)
