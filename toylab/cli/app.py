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
from toylab.cli.sample import check_number
from toylab.cli.settings import Whole

WILDCARDS = ("0.0.0.0", "::")
SETTINGS = Path(".streamlit") / "config.toml"


@dataclass(frozen=True)
class Flags:
    """Open the lab: the same as `streamlit run app.py` in a checkout. Runs are saved in runs/ of this folder."""

    port: Whole = 8501
    """Where it listens; 0 takes a free one."""
    address: str = "127.0.0.1"
    """Who may reach it: 127.0.0.1 this machine alone, 0.0.0.0 the network too."""
    no_browser: bool = False
    """Do not open a browser."""


def parse(argv: Sequence[str]) -> Flags:
    """The flags, with a port that can be one."""
    flags = parsing.parse("app", Flags, argv)
    check_number("port", flags.port, 0, 65_535)
    if not flags.address.strip():
        raise ValueError(
            "address '' is none; choices: 127.0.0.1, 0.0.0.0, or a name or number of this machine"
        )
    return flags


def run(flags: Flags) -> int:
    """Serve until Ctrl-C."""
    script, port = entry(), free_port(flags.address, flags.port)
    print(
        f"toylab: http://{_host(flags.address)}:{port} (Ctrl-C ends it; runs are saved in {Path('runs').resolve()})"
    )
    if flags.address in WILDCARDS:
        note("toylab app: everyone who can reach this machine can use it")
    sys.stdout.flush()
    # Streamlit's own command in this process: Ctrl-C and SIGTERM reach its server, and no child is left behind.
    sys.argv = command(script, flags, port)
    runpy.run_module("streamlit", run_name="__main__")
    return 0


def entry() -> Path:
    """The script to run, beside which its settings lie.

    A wheel carries the checkout's `app.py` and `.streamlit/config.toml` as `toylab/ui/entry` (pyproject.toml): both
    exist once.

    Raises:
        ValueError: neither is there.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "ui" / "entry", package.parent):
        if (folder / "app.py").is_file() and (folder / SETTINGS).is_file():
            return folder / "app.py"
    raise ValueError(
        f"app.py with its {SETTINGS} is neither in {package} nor beside it; install toylab again"
    )


def command(script: Path, flags: Flags, port: int) -> list[str]:
    """The words of ``streamlit run``: what is not in the settings file, or depends on the flags."""
    words = ["streamlit", "run", str(script), "--server.port", str(port), "--server.address", flags.address]
    hosts = ["*"] if flags.address in WILDCARDS else ["localhost", "127.0.0.1", flags.address.lower()]
    for host in dict.fromkeys(hosts):
        words += ["--server.allowedHosts", host]
    # Not headless means to Streamlit: open a browser, and ask for an e-mail address first.
    headless = flags.no_browser or not has_screen()
    words += ["--server.headless", str(headless).lower(), "--server.showEmailPrompt", "false"]
    return [*words, "--logger.hideWelcomeMessage", "true"]


def free_port(address: str, port: int) -> int:
    """``port`` if one may listen there, a free one for 0.

    Raises:
        ValueError: it is in use, or not ours; or no such address.
    """
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        with socket.socket(found[0][0]) as probe:
            if os.name != "nt":  # as the server does: a port is not in use because someone has just left it
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[0][4])
            probe.listen(1)
            return probe.getsockname()[1]
    except OSError as error:
        hint = "; --port 0 takes a free one" if error.errno == errno.EADDRINUSE else ""
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"cannot listen on {address}, port {port}: {reason}{hint}") from None


def has_screen() -> bool:
    """Whether a browser could be seen: without a display, Linux would start one inside the terminal."""
    if not sys.platform.startswith("linux"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _host(address: str) -> str:
    if address in WILDCARDS:
        return "localhost"
    return f"[{address}]" if ":" in address else address
