"""The end of the process, as the worker thread meets it."""


def is_shutdown(error: Exception) -> bool:
    """Whether ``error`` only says that the process ends: the engine's thread pools close before all else does."""
    return isinstance(error, RuntimeError) and "interpreter shutdown" in str(error)
