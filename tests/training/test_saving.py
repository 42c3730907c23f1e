"""Saves in the background: one at a time, waited for at the end, and failures are told."""

import threading

import pytest

from toylab.training import api


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
