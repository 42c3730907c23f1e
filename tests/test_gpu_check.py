"""The check of a machine with one GPU, tried at tiny sizes on a CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHECK = ROOT / "scripts" / "gpu_check.py"
FILES = (
    "0_env.json", "1_agreement.json", "2_ensemble.json", "3_dit.json", "4_fashion.json", "log.txt", "samples.png"
)  # fmt: skip


def run(*words):
    command = [sys.executable, CHECK, "run", *map(str, words)]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def without_error(content, path=""):
    """No entry of a JSON file says that it failed, or is missing its numbers."""
    if isinstance(content, dict):
        assert content, f"{path} is empty"
        assert "error" not in content, (path, content)
        for name, value in content.items():
            without_error(value, f"{path}/{name}")


@pytest.mark.slow
def test_check_writes_seven_complete_files(tmp_path):
    out = tmp_path / "out"
    # Its own limits are for a GPU; here other tests may have the cores.
    done = run("--out", out, "--small", "--limit", 1500, "--scale", 6)
    log = (out / "log.txt").read_text()
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES), log
    begun, ended = ([line for line in log.splitlines() if f"s] {word} " in line] for word in ("begin", "end"))
    assert len(begun) == len(ended) == 8
    assert all(line.endswith("exit code 0") for line in ended), log
    machine, agreement, ensemble, dit, fashion = (json.loads((out / name).read_text()) for name in FILES[:5])
    for name, content in zip(FILES, (machine, agreement, ensemble, dit, fashion), strict=False):
        without_error(content, name)

    assert machine["packages"]["jax"]["in_range"]
    assert len(machine["tflops"]) == 6
    assert machine["copy_gb_per_s"] > 0
    assert set(machine["loop_turn_us"]) == {"1", "20", "80"}
    assert all(machine["product_error"][name] < 1e-5 for name in ("default", "high", "highest"))

    assert set(agreement) == {"device", "plane, default", "plane, highest", "digits_dit_bfloat16, default"}
    for name in set(agreement) - {"device"}:
        assert agreement[name]["ok"], agreement[name]
        assert agreement[name]["worst_gradient_error"] < agreement[name]["limit"]
        assert agreement[name]["same_data"]
        assert agreement[name]["rows"]
        assert all(
            error < 0.1
            for error in agreement[name]["relative_error_of_the_way_travelled_after_steps"].values()
        )

    assert set(ensemble["rows"]) == {"all", "while_in_graph"}
    for row in ensemble["rows"].values():
        assert row["run_steps_per_second"] == row["steps_per_second"] * row["lanes"] > 0
    extras = {"sample_2048", "gradient_variance_8", "states_to_host", "save_s_per_run", "score_s_per_run"}
    assert extras < set(ensemble["rows"]["all"])

    assert set(dit["rows"]) == {"split 256", "plain 256 unroll"}
    assert all(row["images_per_second"] > 0 and row["flops_per_step"] > 0 for row in dit["rows"].values())

    first, second = fashion["runs"]["beta 1"], fashion["runs"]["beta 0"]
    assert first["steps"] == second["steps"] == first["loss"][-1][0] > 0
    assert (out / "samples.png").read_bytes().startswith(b"\x89PNG")
    assert "summary" in log
    assert log.rstrip().endswith("done")


def test_a_check_without_time_measures_nothing_and_says_so(tmp_path):
    done = run("--out", tmp_path, "--small", "--limit", 15)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]
    assert (tmp_path / "log.txt").read_text().count("skipped: ") == 8
