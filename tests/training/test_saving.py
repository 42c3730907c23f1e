"""Saves: one at a time in the background, waited for at the end, failures are told. Then a signal is passed on."""

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


REQUEUE = sorted(number.name for number in api.REQUEUE_SIGNALS)
EITHER = (SystemExit, tl.TrainingInterrupted)
"""Both, since a KeyboardInterrupt that no test expects would end the session."""


@pytest.fixture
def signalled(monkeypatch, tmp_path):
    """Train while a signal arrives twice, with ``handler`` installed before."""

    def train(number, handler):
        advance = Trainer.advance

        def advance_and_signal(self, num_steps):
            signal.raise_signal(number)
            signal.raise_signal(number)
            return advance(self, num_steps)

        monkeypatch.setattr(Trainer, "advance", advance_and_signal)
        previous = signal.signal(number, handler)
        try:
            return tl.train(UNMEASURED, path=tmp_path / "run", progress=False)
        finally:
            assert signal.signal(number, previous) is handler

    return train


@pytest.mark.parametrize("name", REQUEUE)
def test_a_signal_is_passed_on_once_the_run_is_saved(signalled, tmp_path, name):
    """A cluster's own handler queues the job again by ending the process, as submitit's does."""
    number, saved = signal.Signals[name], []

    def end_the_process(received, frame):
        saved.append(tl.load(tmp_path / "run").step)
        raise SystemExit(received)

    with pytest.raises(EITHER) as stop:
        signalled(number, end_the_process)
    assert stop.type is SystemExit
    assert (stop.value.code, saved) == (number, [UNMEASURED.log_every])


def test_a_signal_is_passed_on_where_saving_fails(signalled, monkeypatch):
    monkeypatch.setattr(api, "_write", full_disk)

    def end_the_process(received, frame):
        raise SystemExit(received)

    with pytest.raises(EITHER) as stop:
        signalled(signal.SIGTERM, end_the_process)
    assert stop.type is SystemExit
    assert isinstance(stop.value.__context__, OSError)


@pytest.mark.parametrize("name", REQUEUE)
@pytest.mark.parametrize("handled", [True, False])
def test_a_signal_that_ends_nothing_asks_for_a_requeue(signalled, tmp_path, name, handled):
    heard = []
    handler = (lambda number, frame: heard.append(number)) if handled else signal.SIG_DFL
    with pytest.raises(tl.TrainingInterrupted) as stop:
        signalled(signal.Signals[name], handler)
    assert stop.value.requeue
    assert heard == [signal.Signals[name]] * handled
    assert tl.load(tmp_path / "run").step == UNMEASURED.log_every


def test_the_handler_of_ctrl_c_is_not_called_again(signalled):
    heard = []
    with pytest.raises(KeyboardInterrupt):  # the second one
        signalled(signal.SIGINT, lambda number, frame: heard.append(number))
    assert heard == []
