"""Which command runs, and what its end means to the shell.

Nothing here imports JAX: help, a wrong flag or an unknown name should not wait for it. Nothing heavy is imported before
Ctrl-C is taken care of either.
"""

import importlib
import os
import sys
import threading
from collections.abc import Sequence

from toylab.cli.interrupt import insistent
from toylab.cli.output import note

DONE, INTERNAL, BAD_USAGE, DIVERGED, INTERRUPTED = 0, 1, 2, 3, 130
REQUEUE = 75
"""Told to stop by SIGTERM or SIGUSR1, saved: queue it again (EX_TEMPFAIL, which clusters know as such)."""

COMMANDS = {
    "app": "the lab in the browser: train live, move beta while it trains",
    "list": "names of one kind: datasets, image_sets, methods, nets, presets, configs, and five more",
    "train": "train one run and save it as a folder",
    "sample": "draw samples from a run",
    "evaluate": "measure a run: every score with its standard error, n and floor",
    "sweep": "train a grid of runs, by lists or by name; restartable, and shared between machines with --shard",
    "compare": "methods, rules and proxies side by side at equal cost in network evaluations",
    "advise": "which beta to use for a run or a dataset, how sure, and what would change it",
    "claims": "what the paper says, measured: a verdict per claim by a stated rule",
    "study": "the former name of sweep --grid: the paper's grid in the plane, or beta on images",
    "report": "a folder of runs as a table and a figure, with seeds and intervals",
    "bench": "measure how fast this machine trains",
    "inspect": "parameters, operations and memory of a configuration, before training",
}
"""Commands and what they are for; the code of each is the module of the same name."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 internal error, 2 bad usage, 3 diverged, 130 interrupted.

    Args:
        argv: the words after ``toylab``; those of the process by default.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    name = argv[0] if argv else ""
    if name in ("-h", "--help", "help"):
        print(_help())
        return DONE
    if name == "--version":
        from toylab.version import __version__

        print(f"toylab {__version__}")
        return DONE
    if name not in COMMANDS:
        problem = f"unknown command {name!r}" if name else "which command?"
        note(f"toylab: {problem}; choices: {', '.join(COMMANDS)} (toylab --help says more)")
        return BAD_USAGE
    return _run(name, argv[1:])


def _run(name: str, argv: list[str]) -> int:
    try:
        with insistent() as interrupted:
            code = _attempt(name, argv, interrupted)
    except KeyboardInterrupt:  # it came while an error was being told
        code = None
    if code is None:
        note(f"toylab {name}: interrupted, nothing further was saved")
        return INTERRUPTED
    return code


def _attempt(name: str, argv: list[str], interrupted: threading.Event) -> int | None:
    """The exit code; None after a Ctrl-C, which may come as any exception of a library that it went through."""
    try:
        command = importlib.import_module(f"toylab.cli.{name}")
        return command.run(command.parse(argv))
    except SystemExit as stop:  # --help prints and stops
        return int(stop.code or 0)
    except BrokenPipeError:  # `toylab list datasets | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return None
    except Exception as error:
        if interrupted.is_set():
            return None
        note(f"toylab {name}: {_told(error)}")
        return BAD_USAGE if isinstance(error, (OSError, ValueError)) else INTERNAL


def _told(error: Exception) -> str:
    """One line about an error: what is wrong with the input, or where to read about a mistake of ours."""
    from toylab.storage.cache import report_internal
    from toylab.storage.untrusted import with_place

    return with_place(error) if isinstance(error, (OSError, ValueError)) else report_internal(error)


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: toylab COMMAND [flags]        (toylab COMMAND --help lists the flags)",
            "",
            "A laboratory for one-step generative models: train MeanFlow in seconds, slide beta, watch.",
            "",
            *lines,
            "",
            "--json prints one JSON object on standard output. Exit codes: 0 done, 1 internal error (its traceback is",
            "kept; TOYLAB_DEBUG=1 prints it), 2 bad usage or value, 3 diverged (the state before it is saved, and all",
            "other cells of a sweep), 75 ended by SIGTERM or SIGUSR1, saved: queue it again, 130 interrupted (train",
            "--resume continues).",
        ]
    )
