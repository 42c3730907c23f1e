"""Shared test set-up: shapes checked at run time, two CPU devices, strict numerics."""

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import pkgutil
from importlib.util import find_spec

import jaxtyping

# Before any import of the package: every annotated function then checks its shapes and types. Not `config`, which
# checks its own fields and turns foreign numbers into plain ones.
PACKAGE = find_spec("toylab").submodule_search_locations
CHECKED = [f"toylab.{module.name}" for module in pkgutil.iter_modules(PACKAGE) if module.name != "config"]
HOOK = jaxtyping.install_import_hook(CHECKED, "typecheck.typechecked")

# Its pytest plugin would import the rest at the end of the session, beside worker threads that still import: CPython
# 3.11 then fails to parse (SystemError: AST constructor recursion depth mismatch).
import hypothesis  # noqa: E402, F401
import jax  # noqa: E402
import pytest  # noqa: E402

from toylab import parallel  # noqa: E402
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


@pytest.fixture
def keep_programs(monkeypatch):
    """For tests that count compilations: a long session may be about to forget its programs."""
    parallel.make_room()
    monkeypatch.setattr(parallel, "MAP_SHARE", 1.0)
