"""``toylab app``: the lab in the browser, from a checkout or from an installed wheel."""

import errno
import os
import runpy
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toylab.cli import parsing
from toylab.cli.output import note
from toylab.cli.parsing import check_number
from toylab.cli.settings import Whole

WILDCARDS = ("0.0.0.0", "::")
SETTINGS = Path(".streamlit") / "config.toml"


@dataclass(frozen=True)
class Flags:
    """Open the lab in the browser. Runs are saved in runs/ of the current folder."""

    port: Whole = 8501
    """Port of the server; 0 picks a free one."""
    address: str = "127.0.0.1"
    """Address of the server: 127.0.0.1 accepts this machine only, 0.0.0.0 the network too."""
    no_browser: bool = False
    """Do not open a browser."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags, with a valid port and address."""
    flags = parsing.parse("app", Flags, argv)
    check_number("port", flags.port, 0, 65_535)
    if not flags.address.strip():
        raise ValueError(f"invalid --address {flags.address!r}: expected a host name or IP address")
    return flags


def run(flags: Flags) -> int:
    """Serve until Ctrl-C."""
    script, port = entry(), free_port(flags.address, flags.port)
    print(
        f"toylab: http://{_host(flags.address)}:{port} (Ctrl-C stops it; runs are saved in {Path('runs').resolve()})"
    )
    if flags.address in WILDCARDS:
        note("toylab app: anyone who can reach this machine over the network can use the app")
    sys.stdout.flush()
    # Streamlit runs in this process: Ctrl-C and SIGTERM reach its server, and no child process is left behind.
    sys.argv = command(script, flags, port)
    runpy.run_module("streamlit", run_name="__main__")
    return 0


def entry() -> Path:
    """The script of the app, in the same folder as its settings.

    A wheel contains `app.py` and `.streamlit/config.toml` of the checkout in `toylab/ui/entry` (see pyproject.toml),
    so that the repository has one copy of each.

    Raises:
        ValueError: script or settings are missing.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "ui" / "entry", package.parent):
        if (folder / "app.py").is_file() and (folder / SETTINGS).is_file():
            return folder / "app.py"
    raise ValueError(
        f"app.py and {SETTINGS} are missing from {package} and {package.parent}; reinstall toylab"
    )


def command(script: Path, flags: Flags, port: int) -> list[str]:
    """The arguments of ``streamlit run``: options that are not in the settings file or depend on the flags."""
    words = ["streamlit", "run", str(script), "--server.port", str(port), "--server.address", flags.address]
    hosts = ["*"] if flags.address in WILDCARDS else ["localhost", "127.0.0.1", flags.address.lower()]
    for host in dict.fromkeys(hosts):
        words += ["--server.allowedHosts", host]
    # Without --server.headless Streamlit opens a browser, and first asks for an e-mail address.
    headless = flags.no_browser or not has_screen()
    words += ["--server.headless", str(headless).lower(), "--server.showEmailPrompt", "false"]
    return [*words, "--logger.hideWelcomeMessage", "true"]


def free_port(address: str, port: int) -> int:
    """``port`` if it is free, or a free one for 0.

    Raises:
        ValueError: the port is in use or not permitted, or there is no such address.
    """
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        with socket.socket(found[0][0]) as probe:
            if os.name != "nt":  # As the server does: otherwise a port that was just closed counts as in use.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[0][4])
            probe.listen(1)
            return probe.getsockname()[1]
    except OSError as error:
        hint = "; --port 0 picks a free one" if error.errno == errno.EADDRINUSE else ""
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"cannot listen on {address}, port {port}: {reason}{hint}") from None


def has_screen() -> bool:
    """Whether there is a display: without one, Linux would start a browser inside the terminal."""
    if not sys.platform.startswith("linux"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _host(address: str) -> str:
    if address in WILDCARDS:
        return "localhost"
    return f"[{address}]" if ":" in address else address
