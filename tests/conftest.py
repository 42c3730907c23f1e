"""Shared test set-up: shapes checked at run time, two CPU devices, strict numerics."""

import os
import pkgutil
from importlib.util import find_spec

import jaxtyping

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the suite's time would be the compiler's, and a program that runs for a second need not be fast: these take a
# third of the time to compile and run at 25 to 40% of the speed (jaxlib 0.10.2). Processes that tests start inherit
# them. Flags that are in XLA_FLAGS already come last and take precedence.
# TOYLAB_TEST_PROGRAMS=shipped leaves these out. XLA ends the process at a flag that it does not know: take one
# that a new version has dropped out of this list.
QUICKLY_COMPILED = " ".join(
    [
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_use_fusion_emitters=false",
    ]
)
AS_SHIPPED = os.environ.get("TOYLAB_TEST_PROGRAMS") == "shipped"
if not AS_SHIPPED and QUICKLY_COMPILED not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{QUICKLY_COMPILED} {os.environ.get('XLA_FLAGS', '')}".strip()

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
from alone import machine  # noqa: E402

from toylab.devices import parallel  # noqa: E402
from toylab.devices.parallel import enable_compilation_cache  # noqa: E402

SHIPPED = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    "xla_cpu_use_fusion_emitters": True,
}
"""What XLA does without those flags."""
SLOW = "--slow"


def pytest_addoption(parser):
    parser.addoption(SLOW, action="store_true", help="run the slow tests too, as .ci/run does")


def pytest_report_header(config):
    return None if config.getoption(SLOW) else f"slow tests are left out: {SLOW} runs them too"


# Files of few long tests, in this order before the others: a process that began one at the end would go on alone.
# After those in a browser, of which some wait until they have the machine to themselves.
LONG = (
    "test_notebooks.py",
    "test_gpu_check.py",
    "test_digits_run.py",
    "test_regression_54.py",
    "test_many_devices.py",
)


def _turn(item) -> int:
    if item.path.parent.name == "browser":
        return 0
    return 1 + LONG.index(item.path.name) if item.path.name in LONG else 1 + len(LONG)


def pytest_collection_modifyitems(config, items):
    items.sort(key=_turn)  # stable
    slow = [] if config.getoption(SLOW) else [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


collect_ignore = ["devices/many_devices.py", "shortened_notebooks.py"]
"""Scripts that tests start."""


def pytest_configure(config):
    enable_compilation_cache()
    # Small programs too: two processes and hundreds of tests need the same ones.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Wait while a test that times clicks has the machine for itself; around fixtures too, which may train for long."""
    with machine(alone=item.get_closest_marker("alone") is not None):
        return (yield)


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


@pytest.fixture
def call(capsys):
    """Run a command of toylab: (exit code, standard output, standard error)."""
    from toylab.cli import main

    def run(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory):
    """The folder of a finished tiny run, made by the command line; not to be written to."""
    from tiny import TINY_FLAGS

    from toylab.cli import main

    path = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["train", *TINY_FLAGS, "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def theory_run():
    """A small net, trained for long enough that A is far from zero."""
    from theory_runs import SETTINGS

    import toylab as tl

    return tl.train(tl.RunConfig(**SETTINGS), progress=False)


@pytest.fixture(scope="module")
def fast_programs():
    """Training programs as users have them, for tests that train for long; others stay quickly compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "_CPU_OPTIONS", parallel._CPU_OPTIONS | SHIPPED)
        _forget_options()
        yield
    _forget_options()


def _forget_options():
    parallel._supported_cpu_options.cache_clear()
    parallel.compiled.cache_clear()
