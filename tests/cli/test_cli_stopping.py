"""Runs that do not end as planned: divergence and Ctrl-C, as a user meets them."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from tiny import TINY_FLAGS

import toylab as tl

DIVERGING = [
    *TINY_FLAGS, "--depth", "3", "--embed-dim", "8", "--optimizer", "sgd", "--activation", "silu",
    "--eval-samples", "0",
]  # fmt: skip


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


def test_an_interrupted_run_resumes_to_the_same_bits(call, trained_folder, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        code, out, err = call("train", *TINY_FLAGS, "--json", "--out", tmp_path / "run")
    assert (code, json.loads(out)["status"], json.loads(out)["step"]) == (130, "unfinished", 30)
    assert f"toylab train --resume {tmp_path / 'run'}" in err
    with monkeypatch.context() as patch:
        steps = interrupt_after(patch, None)
        assert call("train", "--resume", tmp_path / "run")[0] == 0
    assert steps == [10, 10, 10]  # it went on, and did not start again
    resumed, unbroken = tl.load(tmp_path / "run"), tl.load(trained_folder)
    for leaf, expected in zip(jax.tree.leaves(resumed.state), jax.tree.leaves(unbroken.state), strict=True):
        np.testing.assert_array_equal(leaf, expected)
    assert (tmp_path / "run" / "history.csv").read_text() == (trained_folder / "history.csv").read_text()


def test_a_run_that_never_began_leaves_nothing_behind(call, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("toylab.training.train", stop)
    code, out, err = call("train", *TINY_FLAGS, "--out", tmp_path / "run")
    assert (code, out, err.count("\n")) == (130, "", 1)
    assert "interrupted" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_signal_from_outside_saves_the_state(call, tmp_path):
    """A real process, a real Ctrl-C, at whatever moment it comes."""
    path = tmp_path / "run"
    words = [*TINY_FLAGS, "--steps", "50000000", "--log-every", "200", "--out", str(path)]
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
