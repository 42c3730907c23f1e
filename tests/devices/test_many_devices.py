"""One run over many devices and processes: the same numbers, and no more messages than it must send."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import toylab as tl
from toylab.devices.sharded_lane import automatic_layout
from toylab.devices.sharding import check_divisible

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent / "many_devices.py"


@pytest.fixture(scope="module", params=("mlp", "dit"))
def made(request, tmp_path_factory):
    """What the runs of one net made: "devices-layout/name" -> array, and facts of each way."""
    path = tmp_path_factory.mktemp("devices") / "made.npz"
    command = [sys.executable, SCRIPT, path, request.param]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(path) as arrays:
        return dict(arrays) | {"facts": json.loads(str(arrays["facts"]))}


def ways(made):
    """Those of the runs that were made but one, which the others are compared with."""
    return sorted({name.split("/")[0] for name in made if "/" in name} - {"1-none"})


def close(made, way, name):
    expected = made[f"1-none/{name}"]
    return np.abs(made[f"{way}/{name}"] - expected).max() < 1e-5 * np.abs(expected).max()


def test_numbers_do_not_depend_on_the_number_of_devices(made):
    for way in (way for way in ways(made) if "+" not in way):
        assert made["facts"][way]["devices"] == int(way[0])
        np.testing.assert_allclose(made[f"{way}/losses"], made["1-none/losses"], rtol=1e-5)
        for name in ("params", "ema", "samples"):
            assert close(made, way, name), (way, name)
    assert np.abs(made["1-none/params"] - made["1-none/ema"]).max() > 1e-4  # it has moved


def test_a_saved_run_goes_on_with_other_devices(made):
    moves = [way for way in ways(made) if "+" in way]
    assert moves
    for way in moves:
        np.testing.assert_allclose(made[f"{way}/losses"], made["1-none/losses"], rtol=1e-5)
        assert close(made, way, "params"), way


def test_shared_rows_send_one_sum_a_step(made):
    for way in ("8-auto", *(["2-data"] if "2-data" in made["facts"] else [])):
        sent = made["facts"][way]["collectives"]
        assert set(sent) == {"all-reduce"}
        assert sent["all-reduce"] <= 2
        assert made["facts"][way]["share"] == 1


def test_shared_parameters_send_what_they_must(made):
    sent = made["facts"]["8-zero3"]["collectives"]
    assert not {"all-to-all", "collective-permute"} & set(sent)
    assert sent["all-gather"] == 2  # the net and its moving average
    assert sent["reduce-scatter"] == 1
    assert sent["all-reduce"] <= 2
    assert made["facts"]["8-zero3"]["share"] <= 1.1 / 8


def test_a_compiler_left_to_guess_sends_more(made):
    if "guessed" not in made["facts"]:
        pytest.skip("asked of the smaller net alone")
    found = made["facts"]
    assert sum(found["guessed"].values()) > 2 * sum(found["8-zero3"]["collectives"].values())


@pytest.mark.parametrize(
    ("platform", "devices", "processes", "rows", "layout"),
    [
        ("gpu", 8, 1, (16, 48), "data"),
        ("gpu", 1, 1, (16, 48), None),
        ("gpu", 8, 1, (12, 48), None),
        ("gpu", 8, 1, (16, 44), None),
        ("cpu", 8, 1, (16, 48), None),
        ("cpu", 8, 2, (12, 48), "data"),  # asked for: refused in words, not trained twice
    ],
)
def test_which_layout_is_automatic(platform, devices, processes, rows, layout):
    assert automatic_layout(platform, devices, processes, *rows) == layout


def test_rows_must_divide():
    check_divisible(16, 48, 8)
    with pytest.raises(
        ValueError, match="12 rows with r < t do not divide among 8 devices: change batch_size"
    ):
        check_divisible(12, 48, 8)
    with pytest.raises(ValueError, match="4 rows with r = t do not divide among 8 devices"):
        check_divisible(16, 4, 8)


# Processes.

FLAGS = ["--batch-size", "32", "--p-equal", "0.75", "--width", "16", "--depth", "1"]
FLAGS += ["--embed-dim", "8", "--eval-samples", "64"]
FEW = ["--steps", "100", "--log-every", "50"]

COMMAND = """
import sys
from toylab.cli import main
"""
TO_THE_END = "sys.exit(main(sys.argv[1:]))"
TOLD_TO_GO = """
import os, signal
import jax
from toylab.training.trainer import Trainer

advance, hits = Trainer.advance, []

def told(trainer, steps):
    os.kill(os.getpid(), signal.SIGTERM)
    return advance(trainer, steps)

jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if "cache_hits" in event else None)
Trainer.advance = told
code = main(sys.argv[1:])
print(len(hits))
sys.exit(code)
"""
"""SIGTERM reaches it in its first stretch of training; it says how many programs it found compiled."""


def train(*words, devices, then=TO_THE_END):
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", COMMAND + then, "train", *map(str, words)]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **piped, env=environment)


def ended(process, code=0):
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, err[-3000:]
    return out, err


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An unbroken run on eight devices."""
    path = tmp_path_factory.mktemp("whole") / "run"
    ended(train(*FLAGS, *FEW, "--layout", "zero3", "--out", path, devices=8))
    return tl.load(path)


def test_two_processes_make_what_one_makes(whole, tmp_path):
    meeting = f"127.0.0.1:{free_port()}"
    words = [*FLAGS, *FEW, "--layout", "zero3", "--out", tmp_path / "run", "--json", "--processes"]
    second, first = (train(*words, f"{meeting},{index}/2", devices=4) for index in (1, 0))
    told = ended(first)[0]
    assert "toylab" not in ended(second)[0]
    assert json.loads(told[told.index("{") :])["status"] == "done"
    run = tl.load(tmp_path / "run")
    np.testing.assert_allclose(run.history["loss"], whole.history["loss"], rtol=1e-5)
    np.testing.assert_allclose(run.state.params, whole.state.params, rtol=1e-4, atol=1e-6)


def test_a_run_that_is_told_to_go_continues_bit_for_bit(whole, tmp_path):
    path = tmp_path / "run"
    words = [*FLAGS, *FEW, "--layout", "zero3", "--out", path]
    hits, _ = ended(train(*words, devices=8, then=TOLD_TO_GO), code=75)
    assert int(hits) >= 2  # training and sampling are compiled once, by the run before
    assert tl.load(path).status == "unfinished"
    ended(train("--resume", path, "--layout", "zero3", devices=8))
    run = tl.load(path)
    np.testing.assert_array_equal(run.state.params, whole.state.params)
    np.testing.assert_array_equal(run.history, whole.history)


def test_a_run_moves_from_eight_devices_to_two_to_one(whole, tmp_path):
    from toylab.training.trainer import Trainer

    for layout in (None, "data", "zero3"):
        trainer = Trainer([whole.config], [whole.state], [whole.history], layout=layout)
        (state,) = trainer.ensemble.states()
        for leaf, expected in zip(state, whole.state, strict=True):
            if leaf is not None and hasattr(leaf, "shape"):
                np.testing.assert_array_equal(leaf, expected)
        path = shutil.copytree(whole.path, tmp_path / str(layout))
        assert tl.load(path).state.params.shape == whole.state.params.shape


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--layout", "none", "--processes", "auto"],
            "--processes requires --layout data or zero3, got none",
        ),
        (
            ["--layout", "data", "--processes", "localhost:99999,0/2"],
            "the port of --processes must lie in [1, 65535], got '99999'",
        ),
        (
            ["--layout", "data", "--processes", "here"],
            "invalid --processes 'here': expected auto or HOST:PORT,i/n, such as localhost:1234,0/2",
        ),
        (
            ["--layout", "data", "--processes", "h:1,2/2"],
            "--processes names process 2 of 2; the first process is 0",
        ),
        (
            ["--layout", "data", "--batch-size", "3", "--p-equal", "0"],
            "3 rows with r < t do not divide",
        ),
        (
            ["--layout", "zero3", "--method", "re_meanflow"],
            "two-stage methods do not support zero3; use layout data",
        ),
    ],
)
def test_mistakes_are_one_line(call, tmp_path, words, message):
    code, out, err = call("train", *words, "--out", tmp_path / "run", "--steps", 10)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()
