"""One run over many devices and processes: the same numbers, and no more messages than it must send."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import toylab as tl
from toylab.split import check_divisible

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent / "many_devices.py"
WAYS = {
    "mlp": ((1, "none"), (2, "data"), (8, "data"), (8, "zero3"), (1, "zero3")),
    "dit": ((1, "none"), (8, "data"), (8, "zero3")),
}
"""Devices and layouts; the net of images costs more to compile."""


@pytest.fixture(scope="module", params=("mlp", "dit"))
def made(request, tmp_path_factory):
    """(devices, layout) -> what the run of one net made there."""
    folder, results = tmp_path_factory.mktemp("devices"), {}
    for devices, layout in WAYS[request.param]:
        path = folder / f"{devices}-{layout}.npz"
        command = [sys.executable, SCRIPT, path, str(devices), layout, request.param]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        with np.load(path) as arrays:
            results[devices, layout] = dict(arrays) | {"facts": json.loads(str(arrays["facts"]))}
    return results


def facts(made, *way):
    return made[way]["facts"]


def test_numbers_do_not_depend_on_the_number_of_devices(made):
    alone = made[1, "none"]
    for way in list(made)[1:]:
        other = made[way]
        assert other["facts"]["devices"] == way[0]
        np.testing.assert_array_equal(other["batch"], alone["batch"])  # the random numbers are the same
        np.testing.assert_allclose(other["losses"], alone["losses"], rtol=1e-5)
        for name in ("params", "ema", "samples"):
            assert np.abs(other[name] - alone[name]).max() < 1e-5 * np.abs(alone[name]).max(), (way, name)
    assert np.abs(alone["params"] - alone["ema"]).max() > 1e-4  # it has moved


def test_shared_rows_send_one_sum_a_step(made):
    for way in (way for way in made if way[1] == "data"):
        sent = facts(made, *way)["collectives"]
        assert set(sent) == {"all-reduce"}
        assert sent["all-reduce"] <= 2


def test_shared_parameters_send_what_they_must(made):
    sent = facts(made, 8, "zero3")["collectives"]
    assert not {"all-to-all", "collective-permute"} & set(sent)
    assert sent["all-gather"] == 2  # the net and its moving average
    assert sent["reduce-scatter"] == 1
    assert sent["all-reduce"] <= 2
    assert facts(made, 8, "zero3")["share"] <= 1.1 / 8


def test_a_compiler_left_to_guess_sends_more(made):
    def messages(sent):
        return sum(sent.values())

    found = facts(made, 8, "zero3")
    if "guessed" not in found:
        pytest.skip("the vectors of this net do not divide by eight")
    assert messages(found["guessed"]) > 2 * messages(found["collectives"])


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
FEW = ["--steps", "200", "--log-every", "50"]


def train(*words, devices):
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "toylab", "train", *map(str, words)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


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
    path = told_to_go_while_it_trains(tmp_path)
    assert tl.load(path).status == "unfinished"
    ended(train("--resume", path, "--layout", "zero3", devices=8))
    run = tl.load(path)
    np.testing.assert_array_equal(run.state.params, whole.state.params)
    np.testing.assert_array_equal(run.history, whole.history)


def told_to_go_while_it_trains(folder):
    """A run that SIGTERM ended, its folder. Before its training the signal is the system's, after it there is none."""
    for index, seconds in enumerate((1.0, 2.0, 0.5, 3.0, 5.0, 8.0)):
        path = folder / str(index)
        process = train(*FLAGS, *FEW, "--layout", "zero3", "--out", path, devices=8)
        wait_until_claimed(path)
        time.sleep(seconds)
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=240)
        process.communicate()
        if code == 75:
            return path
        assert code in (0, -signal.SIGTERM)
    pytest.fail("no signal met the training")


def wait_until_claimed(path, seconds=120):
    """The folder is claimed before training begins."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.05)


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
        (["--processes", "auto"], "--processes share one run: give it a --layout, data or zero3"),
        (
            ["--layout", "data", "--processes", "here"],
            "--processes must be auto or look like HOST:PORT,0/2",
        ),
        (["--layout", "data", "--processes", "h:1,2/2"], "--processes names process 2 of 2, counted from 0"),
        (
            ["--layout", "data", "--batch-size", "3", "--p-equal", "0"],
            "3 rows with r < t do not divide",
        ),
        (
            ["--layout", "zero3", "--method", "re_meanflow"],
            "a method of two stages needs whole parameters: take the layout data",
        ),
    ],
)
def test_mistakes_are_one_line(call, tmp_path, words, message):
    code, out, err = call("train", *words, "--out", tmp_path / "run", "--steps", 10)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()
