"""What a command does before its first computation."""

import warnings


def start_jax() -> None:
    """Use every core, and keep compiled programs between commands: the second start then takes a second."""
    from toylab.parallel import enable_compilation_cache, use_all_cores

    use_all_cores()
    enable_compilation_cache()
    # A cache folder that cannot be written costs time, nothing else.
    warnings.filterwarnings("ignore", message=".*persistent compilation cache.*", category=UserWarning)
