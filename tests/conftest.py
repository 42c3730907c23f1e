"""Shared test set-up: shapes checked at run time, two CPU devices, strict numerics."""

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jaxtyping  # noqa: E402

# Before any import of the package: every annotated function then checks its shapes and types.
HOOK = jaxtyping.install_import_hook("toylab", "typecheck.typechecked")

import jax  # noqa: E402
import pytest  # noqa: E402

from toylab.parallel import enable_compilation_cache  # noqa: E402


def pytest_configure(config):
    enable_compilation_cache()


@pytest.fixture
def key():
    """The fixed PRNG key of tests."""
    return jax.random.key(20260510)


@pytest.fixture
def x64():
    """float64 for the length of a test."""
    with jax.enable_x64(True):
        yield
