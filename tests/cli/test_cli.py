"""The command line as a user meets it: what is printed where, exit codes, one line for every mistake."""

import itertools
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from tiny import TINY_FLAGS

import toylab as tl
from toylab.cli import train
from toylab.cli.dispatch import COMMANDS
from toylab.cli.inspect import find_config
from toylab.cli.settings import KINDS, field_help, read_options, read_values
from toylab.config import CHOICES, FIELDS, RANGES, RunConfig, preset


def test_names_are_listed_with_a_line_each(call):
    for kind in ("datasets", "methods", "proxies", "coefficients", "time_samplers", "metrics", "presets"):
        code, out, err = call("list", kind, "--json")
        summaries = json.loads(out)
        assert (code, err) == (0, "")
        assert sorted(summaries) == tl.available(kind)
        assert all(summary and "\n" not in summary for summary in summaries.values())
        code, out, err = call("list", kind)
        assert [line.split()[0] for line in out.splitlines()] == tl.available(kind)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(call, command):
    code, out, err = call(command, "--help")
    assert (code, err) == (0, "")
    assert f"usage: toylab {command}" in out
    assert "--json" in out or command == "app"


def test_help_and_mistakes_do_not_wait_for_jax():
    script = """
import sys
from toylab.cli import main
codes = [main(argv.split()) for argv in (
    "--help", "--version", "train --help", "list presets", "train --stps 3", "train --beta nan",
    "train --preset nothing", "nothing", "sweep --seed 3:1", "sample x --n 0", "evaluate",
    "train --points x.csv", "list nothing",
)]
assert codes == [0] * 4 + [2] * 9, codes
assert "jax" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_every_setting_is_a_flag_with_help():
    assert set(field_help()) == set(FIELDS)
    words, expected = [], {}
    for name in FIELDS:
        default = getattr(RunConfig(), name)
        if KINDS[name] is dict:
            value, text = {"a": 1.5, "b": "c"}, ["a=1.5", "b=c"]
        elif name in CHOICES:
            value = next(choice for choice in CHOICES[name] if choice != default)
            text = [value]
        elif KINDS[name] is str:
            value, text = "other", ["other"]
        else:
            low, high = RANGES[name]
            whole = KINDS[name] is int
            value = (default + 2) if whole else (default + high) / 2 if default < high else (low + high) / 2
            text = [str(value)]
        expected[name] = value
        words += [f"--{name.replace('_', '-')}", *text]
    _, config = train.parse(words)
    assert config.to_dict() == expected


def test_flags_win_over_the_preset(call):
    _, config = train.parse(
        ["--preset", "separated", "--batch-size", "32", "--dataset-options", '{"std": 0.5}']
    )
    assert config == RunConfig(**{**preset("separated"), "batch_size": 32, "dataset_options": {"std": 0.5}})
    assert train.parse(["--preset=quick"])[1] == RunConfig(**preset("quick"))


def test_values_are_read_as_they_are_written():
    assert read_values(int, "0:3,7,10:20:5") == (0, 1, 2, 7, 10, 15)
    assert read_values(float, "-0.5,0,1e-3") == (-0.5, 0.0, 0.001)
    assert read_values(str, "two_moons,dgmm") == ("two_moons", "dgmm")
    assert (
        read_options(['{"a": [1, 2], "b": "c"}'])
        == read_options(["a=[1,2]", "b=c"])
        == {"a": [1, 2], "b": "c"}
    )
    assert read_options([]) == {}


@pytest.mark.slow
def test_json_is_all_that_train_prints(call, tmp_path):
    code, out, _ = call("train", *TINY_FLAGS, "--json", "--out", tmp_path / "run")
    facts = json.loads(out)
    run = tl.load(tmp_path / "run")
    assert code == 0
    assert (facts["status"], facts["step"], facts["path"]) == ("done", 60, str(run.path))
    assert facts["sw1"] == run.history["sw1"].iloc[-1]
    assert run.config == train.parse(TINY_FLAGS)[1]


def test_a_taken_name_gets_a_suffix_and_a_given_one_is_refused(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [json.loads(call("train", *TINY_FLAGS, "--json")[1])["path"] for _ in range(2)]
    assert [os.path.relpath(path) for path in paths] == [
        "runs/eight_gaussians-meanflow-b0.5-s0",
        "runs/eight_gaussians-meanflow-b0.5-s0-2",
    ]
    code, out, err = call("train", *TINY_FLAGS, "--out", paths[0])
    assert (code, out) == (2, "")
    assert "already exists" in err


@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_samples_are_those_of_the_library(call, trained_folder, tmp_path, ending):
    target = tmp_path / f"samples.{ending}"
    code, out, _ = call(
        "sample", trained_folder, "--n", 50, "--nfe", 3, "--seed", 4, "--out", target, "--json"
    )
    assert code == 0
    assert json.loads(out) == {"path": str(target), "n": 50, "dim": 2, "nfe": 3, "seed": 4}
    written = (
        np.load(target)["generated"] if ending == "npz" else np.loadtxt(target, delimiter=",", skiprows=1)
    )
    np.testing.assert_array_equal(
        written.astype(np.float32), tl.load(trained_folder).sample(50, nfe=3, seed=4)
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [target.name]


def test_samples_go_to_standard_output_without_a_file(call, trained_folder):
    expected = tl.load(trained_folder).sample(5)
    lines = call("sample", trained_folder, "--n", 5)[1].splitlines()
    assert lines[0] == "x0,x1"
    np.testing.assert_array_equal(np.float32([line.split(",") for line in lines[1:]]), expected)
    np.testing.assert_array_equal(
        json.loads(call("sample", trained_folder, "--n", 5, "--json")[1])["samples"], expected
    )


def test_scores_come_with_error_n_and_floor(call, trained_folder):
    words = ("evaluate", trained_folder, "--metrics", "sliced_w1,mode_coverage", "--n", 100, "--num-keys", 3)
    code, out, err = call(*words, "--json")
    expected = tl.evaluate(tl.load(trained_folder), ["sliced_w1", "mode_coverage"], n=100, num_keys=3)
    assert (code, err) == (0, "")
    assert json.loads(out) == {name: score.to_json() for name, score in expected.items()}
    table = call(*words)[1].splitlines()
    assert table[0].split() == ["metric", "value", "stderr", "floor", "n", "nfe"]
    assert len({len(line) for line in table}) == 1
    assert set(
        json.loads(call("evaluate", trained_folder, "--metrics", "all", "--n", 30, "--json")[1])
    ) == set(tl.available("metrics"))


def test_inspect_counts_what_can_be_counted_by_hand(call, trained_folder, tmp_path):
    facts = json.loads(call("inspect", trained_folder, "--json")[1])
    sizes = [2 + 2 * 4, 8, 8, 2]
    assert facts["params"] == sum(a * b + b for a, b in itertools.pairwise(sizes))
    assert facts["params"] == tl.load(trained_folder).state.params.size
    assert facts["bytes"] == sum(
        np.asarray(leaf).nbytes for leaf in jax.tree.leaves(tl.load(trained_folder).state)
    )
    assert facts["collectives"] == 0

    default = json.loads(call("inspect", "default", "--json")[1])
    matmul = 2 * (66 * 128 + 2 * 128 * 128 + 128 * 2)
    assert matmul < default["flops_forward"] < 1.1 * matmul
    # In forward passes. Pairs: JVP 2, proxy 1, backward 2; rows r = t: forward 1, backward 2.
    pair, equal = 5 * matmul, 3 * matmul
    assert default["flops_step"]["plain"] == pytest.approx(256 * pair, rel=0.1)
    assert default["flops_step"]["split"] == pytest.approx(192 * pair + 64 * equal, rel=0.1)

    (tmp_path / "c.json").write_text(json.dumps({"width": 16}))
    assert find_config(str(tmp_path / "c.json")) == RunConfig(width=16)
    assert (
        find_config(str(trained_folder / "config.json"))
        == find_config(str(trained_folder))
        == tl.load(trained_folder).config
    )


def test_measurements_are_printed_as_the_library_gives_them(call, monkeypatch):
    facts = {
        "plain_steps_per_second": 1000.0, "matmul_gflops": 200.0, "ratio": 3.0, "device": "cpu", "versions": {},
        "compile_seconds_cold": 4.0, "compile_seconds_warm": 1.0,
        "lanes": [{"lanes": 2, "run_steps_per_second": 3000.0, "ratio": 3.0, "fraction_of_peak": 0.5}],
    }  # fmt: skip
    asked = []
    monkeypatch.setattr("toylab.bench.run_benchmark", lambda *arguments: asked.append(arguments) or facts)
    code, out, _ = call("bench", "--lanes", "2", "--num-rounds", 5, "--seconds", 0.5, "--json")
    assert (code, json.loads(out), asked) == (0, facts, [((2,), 5, 0.5)])
    assert call("bench")[1].splitlines()[-1].split() == ["2", "3000", "3", "0.5"]


def test_ones_own_points_are_a_dataset(call, tmp_path):
    points = np.random.default_rng(0).normal(size=(40, 2))
    np.savetxt(tmp_path / "mine.csv", points, delimiter=",")
    code, out, _ = call(
        "train", *TINY_FLAGS, "--points", tmp_path / "mine.csv", "--dataset-options", "std=0.3", "--json",
        "--out", tmp_path / "run", "--eval-samples", 0,
    )  # fmt: skip
    assert (code, json.loads(out)["dataset"]) == (0, "points")
    run = tl.load(tmp_path / "run")
    np.testing.assert_allclose(run.config.dataset_options["array"], points)
    assert run.dataset.std == 0.3
