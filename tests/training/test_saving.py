"""Saves: in the background one at a time, waited for at the end, failures are told; and before a signal ends it all."""

import signal
import threading

import pytest
from tiny import UNMEASURED

import toylab as tl
from toylab.training import api
from toylab.training.trainer import Trainer


def full_disk(runs):
    raise OSError("the disk is full")


def saved_times(count, then=lambda: None):
    """Save so often in one block."""
    with api.BackgroundSaver() as saver:
        for _ in range(count):
            saver.save([])
        then()


def test_training_goes_on_while_a_save_is_written(monkeypatch):
    begun, go, written = threading.Event(), threading.Event(), []

    def write(runs):
        begun.set()
        assert go.wait(10)
        written.append(runs)

    monkeypatch.setattr(api, "_write", write)
    with api.BackgroundSaver() as saver:
        assert not saver.busy
        saver.save([])
        assert begun.wait(10)
        assert saver.busy  # and we are here
        go.set()
        saver.save([])
    assert len(written) == 2


@pytest.mark.parametrize("count", [1, 2])
def test_a_save_that_failed_is_told(monkeypatch, count):
    monkeypatch.setattr(api, "_write", full_disk)
    with pytest.raises(OSError, match="disk is full"):
        saved_times(count)


def test_the_error_of_the_block_comes_first(monkeypatch):
    monkeypatch.setattr(api, "_write", full_disk)
    with pytest.raises(ZeroDivisionError):
        saved_times(1, then=lambda: 1 / 0)


@pytest.mark.parametrize("name", sorted(number.name for number in api.REQUEUE_SIGNALS))
def test_a_signal_is_passed_on_once_the_run_is_saved(monkeypatch, tmp_path, name):
    """A cluster's own handler queues the job again by ending the process, as submitit's does."""
    number, saved = signal.Signals[name], []

    def end_the_process(received, frame):
        saved.append(tl.load(tmp_path / "run").step)
        raise SystemExit(received)

    advance = Trainer.advance

    def advance_and_signal(self, num_steps):
        signal.raise_signal(number)
        signal.raise_signal(number)
        return advance(self, num_steps)

    monkeypatch.setattr(Trainer, "advance", advance_and_signal)
    previous = signal.signal(number, end_the_process)
    try:
        with pytest.raises(SystemExit) as stop:
            tl.train(UNMEASURED, path=tmp_path / "run", progress=False)
        assert signal.getsignal(number) is end_the_process
    finally:
        signal.signal(number, previous)
    assert (stop.value.code, saved) == (number, [UNMEASURED.log_every])
