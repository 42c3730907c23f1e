"""Every core is a device, whichever part of toylab is used first; and where that is too late, one is told."""

import os
import subprocess
import sys

import pytest

from toylab.cores import num_cores

CORES = num_cores()


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    env = {
        name: value for name, value in os.environ.items() if name not in ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS")
    }
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env | environment
    )


FIRST_USES = {
    "a dataset": "tl.dataset('two_moons').sample(4)",
    "an oracle": "tl.oracle('two_moons').velocity([[0.0, 1.0]], 0.5)",
    "training": "tl.train",
}


@pytest.mark.parametrize("first", FIRST_USES)
def test_the_number_of_devices_does_not_depend_on_what_is_used_first(first):
    done = python(f"import toylab as tl; {FIRST_USES[first]}; import jax; print(jax.local_device_count())")
    assert (done.stdout, done.stderr) == (f"{CORES}\n", "")


@pytest.mark.skipif(CORES < 2, reason="needs two cores")
def test_one_is_told_where_jax_had_started_before():
    started = "import jax; jax.numpy.ones(3).sum(); import toylab as tl; tl.train"
    done = python(started)
    assert done.returncode == 0
    assert f"JAX started before toylab and uses 1 of {CORES} cores" in done.stderr
    assert python(started, JAX_NUM_CPU_DEVICES="1").stderr == ""
