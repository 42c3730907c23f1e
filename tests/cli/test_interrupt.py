"""Ctrl-C at any moment, and errors that nobody foresaw: one line and an exit code."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from toylab.cli import dispatch, main
from toylab.cli.interrupt import reraise_interrupts

SAYS = "toylab train: interrupted, nothing further was saved\n"


def swallow_first():
    """Raise the signal where Python forgets what is raised: in a callback of the garbage collector."""

    def callback(phase, info):
        gc.callbacks.remove(callback)
        signal.raise_signal(signal.SIGINT)

    gc.callbacks.append(callback)
    gc.collect()


def test_an_interrupt_that_a_callback_swallows_arrives_all_the_same(monkeypatch, capfd):
    def run(parsed):
        swallow_first()
        time.sleep(20)
        return 0

    monkeypatch.setattr("toylab.cli.train.parse", lambda argv: None)
    monkeypatch.setattr("toylab.cli.train.run", run)
    begin, handler = time.monotonic(), signal.getsignal(signal.SIGINT)
    assert main(["train"]) == 130
    assert time.monotonic() - begin < 10
    assert capfd.readouterr() == ("", SAYS)
    assert signal.getsignal(signal.SIGINT) is handler
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_an_interrupt_that_comes_as_another_exception_is_one(monkeypatch, capfd):
    def run(parsed):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            sys.excepthook(*sys.exc_info())  # as PyErr_Print does in C libraries
            raise ImportError("initialization failed") from None

    monkeypatch.setattr("toylab.cli.train.parse", lambda argv: None)
    monkeypatch.setattr("toylab.cli.train.run", run)
    assert main(["train"]) == 130
    assert capfd.readouterr() == ("", SAYS)


IMPORTED = """
import signal
signal.raise_signal(signal.SIGINT)
whole = True
"""


def test_an_interrupt_waits_for_the_end_of_an_import(monkeypatch, tmp_path, capfd):
    """Raised inside the initialisation of a compiled module, it would end the process."""
    (tmp_path / "interrupted_import.py").write_text(IMPORTED)
    monkeypatch.syspath_prepend(tmp_path)
    found = []

    def run(parsed):
        import interrupted_import

        found.append(interrupted_import.whole)
        time.sleep(20)

    monkeypatch.setattr("toylab.cli.train.parse", lambda argv: None)
    monkeypatch.setattr("toylab.cli.train.run", run)
    begin = time.monotonic()
    assert main(["train"]) == 130
    assert time.monotonic() - begin < 10
    assert found == [True]
    assert capfd.readouterr() == ("", SAYS)


def test_an_interrupted_command_leaves_no_timer_to_wait_for(monkeypatch, capfd):
    timers = [threading.Timer(60, print) for _ in range(2)]

    def run(parsed):
        timers[1].start()
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("toylab.cli.train.parse", lambda argv: None)
    monkeypatch.setattr("toylab.cli.train.run", run)
    timers[0].start()
    try:
        assert main(["train"]) == 130
        timers[1].join(5)
        assert [timer.is_alive() for timer in timers] == [True, False], "that of the caller goes on"
    finally:
        for timer in timers:
            timer.cancel()


def test_nothing_heavy_is_imported_before_interrupts_are_taken_care_of():
    script = (
        "import sys, toylab.cli; print([m for m in ('numpy', 'jax', 'tyro', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# The command, telling when Ctrl-C has become its own business: until then the interpreter's start would answer.
TELLING = """
import contextlib, sys
from toylab.cli import dispatch
reraise_interrupts = dispatch.reraise_interrupts
@contextlib.contextmanager
def telling():
    with reraise_interrupts() as interrupted:
        print("ready", flush=True)
        yield interrupted
dispatch.reraise_interrupts = telling
sys.exit(dispatch.main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.05, 0.4, 0.8, 1.3, 2.0, 3.0])
def test_an_interrupt_at_any_moment_of_the_start_ends_the_command(tmp_path, seconds):
    # A row of the history every 1000 steps, between which nothing stops.
    settings = ["--steps", "1000000", "--log-every", "1000", "--width", "32"]
    words = ["train", *settings, "--out", str(tmp_path / "run")]
    process = subprocess.Popen(
        [sys.executable, "-c", TELLING, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    # Once training has begun it is saved, and two lines say how to go on.
    assert (process.returncode, out) == (130, "")
    assert err == SAYS or err.startswith("interrupted at step"), err
    assert (tmp_path / "run").exists() == (err != SAYS)


def test_outside_the_main_thread_there_is_nothing_to_do():
    seen = []

    def work():
        with reraise_interrupts() as interrupted:
            seen.append(interrupted.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


def test_an_error_that_nobody_foresaw_is_one_line_with_an_id(monkeypatch, capfd, tmp_path):
    def run(parsed):
        raise ZeroDivisionError("deep\ndown")

    monkeypatch.setenv("TOYLAB_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("TOYLAB_DEBUG", raising=False)
    monkeypatch.setattr("toylab.cli.train.parse", lambda argv: None)
    monkeypatch.setattr("toylab.cli.train.run", run)
    assert main(["train"]) == dispatch.INTERNAL == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("toylab train: internal error ")
    assert err.count("\n") == 1
    path = err.split("the traceback is in ")[1].strip()
    assert os.path.basename(path)[:8] in err.split(path)[0]
    with open(path) as stream:
        assert "ZeroDivisionError: deep" in stream.read()
    monkeypatch.setenv("TOYLAB_DEBUG", "1")
    assert main(["train"]) == 1
    assert "Traceback" in capfd.readouterr().err


def test_a_cache_that_cannot_be_written_changes_nothing(monkeypatch, capfd):
    monkeypatch.setenv("TOYLAB_CACHE_DIR", "/proc/nowhere")
    monkeypatch.setattr("toylab.cli.train.parse", lambda argv: 1 / 0)
    assert main(["train"]) == 1
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert "set TOYLAB_DEBUG=1 to print the traceback" in err
