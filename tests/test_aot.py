"""The scripts that count what an H100 would run, as far as they go without the CUDA compiler."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
AOT = ROOT / "scripts" / "aot"
IMPORT_ALL = "import sys; sys.path.insert(0, sys.argv[1]); [__import__(name) for name in sys.argv[2:]]"

STEP = """HloModule jit_step

%fused (p0: f32[10,100], p1: f32[100], p2: s32[]) -> f32[100] {
  %p0 = f32[10,100]{1,0} parameter(0)
  %p1 = f32[100]{0} parameter(1)
  %p2 = s32[] parameter(2)
  %zero = s32[] constant(0)
  %row = f32[1,100]{1,0} dynamic-slice(%p0, %p2, %zero), dynamic_slice_sizes={1,100}
  %flat = f32[100]{0} bitcast(%row)
  ROOT %sum = f32[100]{0} add(%flat, %p1)
}

%inner (arg: (f32[100], f32[10,100], s32[])) -> (f32[100], f32[10,100], s32[]) {
  %arg = (f32[100]{0}, f32[10,100]{1,0}, s32[]) parameter(0)
  %x = f32[100]{0} get-tuple-element(%arg), index=0
  %all = f32[10,100]{1,0} get-tuple-element(%arg), index=1
  %i = s32[] get-tuple-element(%arg), index=2
  %new = f32[100]{0} fusion(%all, %x, %i), kind=kLoop, calls=%fused, metadata={op_name="jit(step)/jvp/add"}
  ROOT %out = (f32[100]{0}, f32[10,100]{1,0}, s32[]) tuple(%new, %all, %i)
}

%less (arg: (f32[100], f32[10,100], s32[])) -> pred[] {
  %arg = (f32[100]{0}, f32[10,100]{1,0}, s32[]) parameter(0)
  ROOT %true = pred[] constant(true)
}

%outer (arg: (f32[100], f32[10,100], s32[])) -> (f32[100], f32[10,100], s32[]) {
  %arg = (f32[100]{0}, f32[10,100]{1,0}, s32[]) parameter(0)
  ROOT %scan = (f32[100]{0}, f32[10,100]{1,0}, s32[]) while(%arg), condition=%less, body=%inner, backend_config={"known_trip_count":{"n":"10"}}
}

ENTRY %main (arg: (f32[100], f32[10,100], s32[])) -> (f32[100], f32[10,100], s32[]) {
  %arg = (f32[100]{0}, f32[10,100]{1,0}, s32[]) parameter(0)
  ROOT %steps = (f32[100]{0}, f32[10,100]{1,0}, s32[]) while(%arg), condition=%less, body=%outer
}
"""  # noqa: E501
"""A step that scans over the rows of an array of 10 x 100."""


def run(*words):
    command = [sys.executable, *map(str, words)]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def test_scripts_that_count_find_what_they_import():
    names = sorted(path.stem for path in AOT.glob("*.py"))
    assert names == ["aggregate", "dit", "ensemble", "hlo", "multi", "target", "tf32"]
    done = run("-c", IMPORT_ALL, AOT, *names)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("ensemble.py", 12, "--set", "width=16", "depth=2"),
        ("dit.py", "--batch", 8, "--net", "size=nano"),
        ("dit.py", "--batch", 8, "--net", "size=nano", "--kind", "plain", "--unbatched", "--donate"),
        ("multi.py", "nano", "zero3", "--cards", 2, "--set", "batch_size=8"),
    ],
    ids=lambda words: " ".join(map(str, words[:2])),
)
def test_programs_that_are_counted_can_be_lowered(words, tmp_path):
    done = run(AOT / words[0], *words[1:], "--dry-run")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "characters of StableHLO, not compiled" in done.stdout


@pytest.mark.slow
def test_emulated_tf32_changes_the_gradient():
    done = run(AOT / "tf32.py", "--steps", 1, "--datasets", "eight_gaussians")
    assert done.returncode == 0, done.stderr[-3000:]
    changes = [float(line.split()[-1]) for line in done.stdout.splitlines()]
    assert len(changes) == 2
    assert all(1e-6 < change < 1e-2 for change in changes)


@pytest.fixture(scope="module")
def hlo():
    spec = importlib.util.spec_from_file_location("aot_hlo", AOT / "hlo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_kernels_and_bytes_of_a_step(hlo, capsys):
    program = hlo.parse(STEP)
    (body,) = program.loop_bodies()
    rows = program.statistics(body)
    # A turn reads a row of the array, x and the index, and writes x: the array as a whole is not counted.
    (kernel,) = [row for row in rows if row.label == "fusion:kLoop"]
    assert (kernel.count, kernel.bytes) == (10, 10 * (400 + 400 + 4 + 400))
    assert kernel.op_name == "jit(step)/jvp/add"
    assert hlo.report(rows) == (10, 12040)
    assert "kernels 10" in capsys.readouterr().out


def test_text_that_is_no_program_is_refused(hlo):
    with pytest.raises(ValueError, match="no ENTRY"):
        hlo.parse("some text")
