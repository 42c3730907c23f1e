"""The command line as a user meets it: what is printed where, exit codes, one line for every mistake."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import toylab as tl
from toylab.cli import main, train
from toylab.cli.dispatch import COMMANDS
from toylab.cli.inspect import find_config
from toylab.cli.settings import KINDS, field_help, read_options, read_values
from toylab.config import CHOICES, FIELDS, RANGES, RunConfig
from toylab.presets import preset

TINY = [
    "--steps", "60", "--batch-size", "16", "--width", "8", "--depth", "2", "--embed-dim", "4",
    "--eval-samples", "64", "--log-every", "10",
]  # fmt: skip
DIVERGING = [*TINY, "--depth", "3", "--embed-dim", "8", "--optimizer", "sgd", "--activation", "silu"]


@pytest.fixture
def call(capsys):
    """Run a command: (exit code, standard output, standard error)."""

    def run(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished tiny run, made by the command line."""
    path = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["train", *TINY, "--out", str(path)]) == 0
    return path


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


def test_json_is_all_that_train_prints(call, tmp_path):
    code, out, _ = call("train", *TINY, "--json", "--out", tmp_path / "run")
    facts = json.loads(out)
    run = tl.load(tmp_path / "run")
    assert code == 0
    assert (facts["status"], facts["step"], facts["path"]) == ("done", 60, str(run.path))
    assert facts["sw1"] == run.history["sw1"].iloc[-1]
    assert run.config == train.parse(TINY)[1]


def test_a_taken_name_gets_a_suffix_and_a_given_one_is_refused(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [json.loads(call("train", *TINY, "--json")[1])["path"] for _ in range(2)]
    assert [os.path.relpath(path) for path in paths] == [
        "runs/eight_gaussians-meanflow-b0.5-s0",
        "runs/eight_gaussians-meanflow-b0.5-s0-2",
    ]
    code, out, err = call("train", *TINY, "--out", paths[0])
    assert (code, out) == (2, "")
    assert "exists already" in err


@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_samples_are_those_of_the_library(call, folder, tmp_path, ending):
    target = tmp_path / f"samples.{ending}"
    code, out, _ = call("sample", folder, "--n", 50, "--nfe", 3, "--seed", 4, "--out", target, "--json")
    assert code == 0
    assert json.loads(out) == {"path": str(target), "n": 50, "dim": 2, "nfe": 3, "seed": 4}
    written = (
        np.load(target)["generated"] if ending == "npz" else np.loadtxt(target, delimiter=",", skiprows=1)
    )
    np.testing.assert_array_equal(written.astype(np.float32), tl.load(folder).sample(50, nfe=3, seed=4))
    assert sorted(path.name for path in tmp_path.iterdir()) == [target.name]


def test_samples_go_to_standard_output_without_a_file(call, folder):
    expected = tl.load(folder).sample(5)
    lines = call("sample", folder, "--n", 5)[1].splitlines()
    assert lines[0] == "x0,x1"
    np.testing.assert_array_equal(np.float32([line.split(",") for line in lines[1:]]), expected)
    np.testing.assert_array_equal(
        json.loads(call("sample", folder, "--n", 5, "--json")[1])["samples"], expected
    )


def test_scores_come_with_error_n_and_floor(call, folder):
    words = ("evaluate", folder, "--metrics", "sliced_w1,mode_coverage", "--n", 100, "--num-keys", 3)
    code, out, err = call(*words, "--json")
    expected = tl.evaluate(tl.load(folder), ["sliced_w1", "mode_coverage"], n=100, num_keys=3)
    assert (code, err) == (0, "")
    assert json.loads(out) == {name: score.to_json() for name, score in expected.items()}
    table = call(*words)[1].splitlines()
    assert table[0].split() == ["metric", "value", "stderr", "floor", "n", "nfe"]
    assert len({len(line) for line in table}) == 1
    assert set(json.loads(call("evaluate", folder, "--metrics", "all", "--n", 30, "--json")[1])) == set(
        tl.available("metrics")
    )


def test_inspect_counts_what_can_be_counted_by_hand(call, folder, tmp_path):
    facts = json.loads(call("inspect", folder, "--json")[1])
    sizes = [2 + 2 * 4, 8, 8, 2]
    assert facts["params"] == sum(a * b + b for a, b in itertools.pairwise(sizes))
    assert facts["params"] == tl.load(folder).state.params.size
    assert facts["bytes"] == sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(tl.load(folder).state))
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
    assert find_config(str(folder / "config.json")) == find_config(str(folder)) == tl.load(folder).config


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
        "train", *TINY, "--points", tmp_path / "mine.csv", "--dataset-options", "std=0.3", "--json",
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert (code, json.loads(out)["dataset"]) == (0, "points")
    run = tl.load(tmp_path / "run")
    np.testing.assert_allclose(run.config.dataset_options["array"], points)
    assert run.dataset.std == 0.3


@pytest.mark.parametrize("rate", ["0.3", "1", "10"])
def test_divergence_is_told_and_the_last_state_saved(call, tmp_path, rate):
    code, out, err = call("train", *DIVERGING, "--learning-rate", rate, "--json", "--out", tmp_path / "run")
    run = tl.load(tmp_path / "run")
    assert code == 3
    assert json.loads(out)["status"] == run.status == "diverged"
    assert np.all(np.isfinite(run.state.params))
    assert f"diverged at step {run.diverged_at} with beta=0.5, learning_rate={rate};" in err
    assert str(tmp_path / "run") in err


def interrupt_after(monkeypatch, num_rows):
    """Send this process a Ctrl-C after that many rows of the history; returns the steps between rows, as they come."""
    from toylab.training.trainer import Trainer

    advance, calls = Trainer.advance, []

    def advance_and_interrupt(self, num_steps):
        calls.append(num_steps)
        if len(calls) == num_rows:
            os.kill(os.getpid(), signal.SIGINT)
        return advance(self, num_steps)

    monkeypatch.setattr(Trainer, "advance", advance_and_interrupt)
    return calls


def test_an_interrupted_run_resumes_to_the_same_bits(call, folder, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        code, out, err = call("train", *TINY, "--json", "--out", tmp_path / "run")
    assert (code, json.loads(out)["status"], json.loads(out)["step"]) == (130, "unfinished", 30)
    assert f"toylab train --resume {tmp_path / 'run'}" in err
    with monkeypatch.context() as patch:
        steps = interrupt_after(patch, None)
        assert call("train", "--resume", tmp_path / "run")[0] == 0
    assert steps == [10, 10, 10]  # it went on, and did not start again
    resumed, unbroken = tl.load(tmp_path / "run"), tl.load(folder)
    for leaf, expected in zip(jax.tree.leaves(resumed.state), jax.tree.leaves(unbroken.state), strict=True):
        np.testing.assert_array_equal(leaf, expected)
    assert (tmp_path / "run" / "history.csv").read_text() == (folder / "history.csv").read_text()


def test_a_run_that_never_began_leaves_nothing_behind(call, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("toylab.training.train", stop)
    code, out, err = call("train", *TINY, "--out", tmp_path / "run")
    assert (code, out, err.count("\n")) == (130, "", 1)
    assert "interrupted" in err
    assert not (tmp_path / "run").exists()


def test_a_signal_from_outside_saves_the_state(call, tmp_path):
    """A real process, a real Ctrl-C, at whatever moment it comes."""
    path = tmp_path / "run"
    words = [*TINY, "--steps", "50000000", "--log-every", "200", "--out", str(path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "toylab", "train", *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, ""), err
    assert f"toylab train --resume {path}" in err
    assert "Traceback" not in err
    assert tl.load(path).status == "unfinished"


def test_a_run_cannot_change_while_it_resumes(call, folder):
    code, _, err = call("train", "--resume", folder, "--batch-size", "64")
    assert code == 2
    assert "batch-size cannot change" in err


def bad_points(tmp_path, text):
    (tmp_path / "points.csv").write_text(text)
    return ["train", "--points", tmp_path / "points.csv"]


ROWS = "\n".join(f"{i},{i % 3}" for i in range(20))

BAD = {
    "unknown command": (["trian"], "trian"),
    "no command": ([], "which command"),
    "unknown flag": (["train", "--stpes", "3"], "--stpes"),
    "unknown kind": (["list", "things"], "things"),
    "missing kind": (["list"], "KIND"),
    "missing value": (["train", "--beta"], "--beta"),
    "text for a number": (["train", "--steps", "many"], "many"),
    "unknown dataset": (["train", "--dataset", "nine_gaussians"], "eight_gaussians"),
    "unknown method": (["train", "--method", "meanfow"], "meanfow"),
    "unknown proxy": (["train", "--proxy", "emma"], "emma"),
    "unknown option": (["train", "--dataset-options", "sepration=8"], "sepration"),
    "option without value": (["train", "--dataset-options", "std"], "key=value"),
    "broken json": (["train", "--dataset-options", '{"std": '], "JSON"),
    "unknown preset": (["train", "--preset", "slow"], "slow"),
    "proxy without use": (["train", "--method", "flow_matching", "--proxy", "oracle"], "does not use proxy"),
    "the same in a sweep": (
        ["sweep", "--method", "flow_matching", "--proxy", "oracle", "--out", "{tmp}/s"],
        "does not use proxy",
    ),
    "text as an option": (
        ["train", "--coefficient", "linear", "--coefficient-options", "until=x"],
        "until must be a finite number, got 'x'",
    ),
    "nan as an option": (["train", "--coefficient", "linear", "--coefficient-options", "end=NaN"], "end"),
    "beta nan": (["train", "--beta", "nan"], "beta must be finite"),
    "beta infinite": (["train", "--beta", "inf"], "beta must be finite"),
    "negative steps": (["train", "--steps", "-1"], "steps must lie in"),
    "broken steps": (["train", "--steps", "1.5"], "whole number"),
    "empty batch": (["train", "--batch-size", "0"], "batch_size must lie in"),
    "negative rate": (["train", "--learning-rate", "-1"], "learning_rate must lie in"),
    "unknown schedule": (["train", "--lr-schedule", "square"], "square"),
    "missing points": (["train", "--points", "nowhere.csv"], "nowhere.csv"),
    "folder as points": (["train", "--points", "{tmp}"], "{name}"),
    "nowhere to resume": (["train", "--resume", "nowhere"], "not a run folder"),
    "resume and out": (["train", "--resume", "{run}", "--out", "x"], "--out"),
    "file as out": (["train", "--out", "{tmp}/file"], "exists already"),
    "out inside a file": (["train", "--out", "{tmp}/file/run"], "{tmp}/file"),
    "unwritable out": (["train", "--out", "/proc/runs/x"], "/proc"),
    "unwritable sweep": (["sweep", "--out", "/proc/runs"], "/proc"),
    "sample of nothing": (["sample", "nowhere"], "not a run folder"),
    "no samples": (["sample", "{run}", "--n", "0"], "--n"),
    "no evaluations": (["sample", "{run}", "--nfe", "-1"], "--nfe"),
    "unknown ending": (["sample", "{run}", "--out", "x.txt"], ".npz or .csv"),
    "sample into nowhere": (["sample", "{run}", "--out", "{tmp}/no/x.csv"], "{tmp}/no/x.csv"),
    "evaluate a file": (["evaluate", "{tmp}/file"], "not a run folder"),
    "unknown metric": (["evaluate", "{run}", "--metrics", "fid"], "fid"),
    "too many samples": (["evaluate", "{run}", "--metrics", "energy_distance", "--n", "1000000"], "at most"),
    "bad shard": (["sweep", "--shard", "2/2", "--out", "{tmp}/s"], "shard 2/2"),
    "shard in words": (["sweep", "--shard", "first", "--out", "{tmp}/s"], "first"),
    "empty list": (["sweep", "--beta", "0,,1"], "empty place"),
    "nan in a list": (["sweep", "--beta", "0,nan"], "beta must be finite"),
    "empty range": (["sweep", "--seed", "8:8"], "8:8"),
    "unknown dataset in a list": (["sweep", "--dataset", "dgmm,foo", "--out", "{tmp}/s"], "foo"),
    "metric in a sweep": (["sweep", "--metrics", "fid", "--out", "{tmp}/s"], "fid"),
    "report of nothing": (["report", "{tmp}"], "no run folder"),
    "report of nowhere": (["report", "nowhere"], "nowhere"),
    "bench without lanes": (["bench", "--lanes", "0"], "--lanes"),
    "bench for no time": (["bench", "--seconds", "nan"], "--seconds"),
    "inspect nothing": (["inspect", "nothing"], "nothing"),
    "inspect text": (["inspect", "{tmp}/file"], "not JSON"),
    "inspect a folder": (["inspect", "{tmp}"], "not a run folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_line_and_exit_code_2(call, folder, tmp_path, monkeypatch, case):
    words, expected = BAD[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("not a run")
    names = {"tmp": tmp_path, "run": folder, "name": tmp_path.name}
    words = [word.format(**names) if word.startswith(("{tmp", "{run")) else word for word in words]
    assert_refused(call, words, expected.format(**names) if expected.startswith("{") else expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]  # nothing is left behind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ROWS + "\nnan,0", "NaN"),
        ("\n".join(f"{i},1,2" for i in range(20)), "3 columns"),
        ("a,b\nc,d", "'c'"),
        ("1,2", "has 1 points"),
        ("", "0 points"),
    ],
)
def test_points_that_are_none_are_refused(call, tmp_path, text, expected):
    assert_refused(call, bad_points(tmp_path, text), expected)


@pytest.mark.parametrize(
    "name", ["config.json", "history.csv", "samples.npz", "environment.json", "checkpoint"]
)
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_run_is_refused(call, folder, tmp_path, name, damage):
    path = shutil.copytree(folder, tmp_path / "run")
    target = path / name
    if target.is_dir() and damage == "gone":
        shutil.rmtree(target)
    elif target.is_dir():
        for file in [file for file in target.rglob("*") if file.is_file()]:
            file.write_bytes(file.read_bytes()[:3])
    elif damage == "gone":
        target.unlink()
    else:
        target.write_bytes(target.read_bytes()[: target.stat().st_size // 2])
    assert_refused(call, ["sample", path, "--n", "3"], "run" if name == "checkpoint" else name)


def assert_refused(call, words, expected):
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1, err
    assert expected in err
    assert not any(word in err for word in ("Traceback", "╭", "│", "---"))
