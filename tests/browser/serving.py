"""A server with the shipped settings, as a process of its own.

Its programs are compiled like those of the other tests: sooner there than a user's, and slower to run. What is timed
(stop, a start of a known program, frames) waits for no compiler.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .waiting import wait_for

ROOT = Path(__file__).parents[2]
END_SECONDS = 20.0
ERROR = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n)*(.*)", re.MULTILINE)
"""A traceback in the log, and its last line."""
NO_NEWS = "starlette.websockets.WebSocketDisconnected: "
"""What Streamlit says of a tab that closed at the very moment at which it was being told something."""


@dataclass
class Server:
    """A running server: where it answers, where it saves runs, what it says."""

    process: subprocess.Popen
    address: str
    folder: Path

    def healthy(self) -> bool:
        """Whether it answers now."""
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=5).status == 200
        return False

    def says(self) -> str:
        """Its output so far."""
        return (self.folder / "log").read_text()

    def end(self, number: int = signal.SIGTERM) -> float:
        """Tell it to end; seconds until it has."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(END_SECONDS)
        return time.monotonic() - began

    def facts(self) -> tuple[int, float]:
        """Its threads, and its memory in MB (Linux)."""
        fields = dict(
            line.split(":", 1) for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        )
        return int(fields["Threads"]), int(fields["VmRSS"].split()[0]) / 1024

    def is_idle(self, seconds: float = 2.0) -> bool:
        """Whether it computes nothing for so long: the programs that it compiles ahead are there (Linux)."""
        before = self._processor_ticks()
        time.sleep(seconds)
        return self._processor_ticks() - before < 0.05 * seconds * os.sysconf("SC_CLK_TCK")

    def _processor_ticks(self) -> int:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server whose working folder is ``folder``; it must end in peace when told to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port)]
    with (folder / "log").open("w") as stream:
        process = subprocess.Popen(
            words, cwd=folder, stdout=stream, stderr=subprocess.STDOUT, env=environment()
        )
    server = Server(process, f"http://127.0.0.1:{port}", folder)
    try:
        wait_for(server.healthy, 60)
        yield server
        if process.poll() is None:
            server.end()
    finally:
        process.kill()
        process.wait()
    for words in ("terminate called", "Stack (most recent call last)"):
        assert words not in server.says(), server.says()
    errors = [error for error in ERROR.findall(server.says()) if not error.startswith(NO_NEWS)]
    assert errors == [], server.says()


def environment() -> dict[str, str]:
    """This checkout, whichever toylab is installed."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}
