"""``toylab app``: what it starts, how it ends, and what it says where it cannot."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import pytest

from toylab.cli import app, main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def taken():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_checkout_runs_its_own_script_beside_its_settings():
    assert app.entry() == ROOT / "app.py"


def test_a_wheel_runs_the_copies_that_it_carries(tmp_path, monkeypatch):
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for source, target in wheel["force-include"].items():
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, tmp_path / target)
    monkeypatch.setattr(app, "__file__", str(tmp_path / "toylab" / "cli" / "app.py"))
    assert app.entry() == tmp_path / "toylab" / "ui" / "entry" / "app.py"
    (tmp_path / "toylab" / "ui" / "entry" / ".streamlit" / "config.toml").unlink()
    with pytest.raises(ValueError, match="reinstall toylab"):
        app.entry()


def test_streamlit_reads_the_settings_beside_the_script_from_anywhere(tmp_path):
    """What `streamlit run` does first; the flags win over the file, and nothing else of it is changed."""
    script = f"""
from streamlit import config
from streamlit.web import bootstrap
config._main_script_path = {str(app.entry())!r}
bootstrap.load_config_options({{}})
print({{name: config.get_option(name) for name in ("server.allowedHosts", "theme.dark.primaryColor",
    "client.showErrorDetails", "browser.gatherUsageStats", "server.fileWatcherType", "server.address")}})
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    settings = tomllib.loads((ROOT / app.SETTINGS).read_text())
    assert done.stdout.strip() == str(
        {
            "server.allowedHosts": settings["server"]["allowedHosts"],
            "theme.dark.primaryColor": settings["theme"]["dark"]["primaryColor"],
            "client.showErrorDetails": settings["client"]["showErrorDetails"],
            "browser.gatherUsageStats": settings["browser"]["gatherUsageStats"],
            "server.fileWatcherType": settings["server"]["fileWatcherType"],
            "server.address": settings["server"]["address"],
        }
    )


def flags_of(words: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for flag, value in zip(words[3::2], words[4::2], strict=True):
        found.setdefault(flag, []).append(value)
    return found


def test_the_words_of_streamlit(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    script = Path("app.py")
    words = app.command(script, app.Flags(), 8501)
    assert words[:3] == ["streamlit", "run", "app.py"]
    found = flags_of(words)
    settings = tomllib.loads((ROOT / app.SETTINGS).read_text())["server"]
    assert found["--server.address"] == [settings["address"]]
    assert found["--server.allowedHosts"] == settings["allowedHosts"]
    assert found["--server.headless"] == ["false"]
    assert found["--server.showEmailPrompt"] == ["false"]
    assert flags_of(app.command(script, app.Flags(no_browser=True), 1))["--server.headless"] == ["true"]
    named = flags_of(app.command(script, app.Flags(address="Lab.local"), 1))
    assert named["--server.allowedHosts"] == ["localhost", "127.0.0.1", "lab.local"]
    assert flags_of(app.command(script, app.Flags(address="0.0.0.0"), 1))["--server.allowedHosts"] == ["*"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is always a screen")
def test_no_browser_is_opened_inside_a_terminal(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert flags_of(app.command(Path("app.py"), app.Flags(), 1))["--server.headless"] == ["true"]


def test_a_port_in_use_is_one_line(taken, capfd):
    assert main(["app", "--port", str(taken)]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"cannot listen on 127.0.0.1, port {taken}: address already in use; --port 0 picks" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--port", "65536"], "--port must lie in [0, 65535], got 65536"),
        (["--port", "lab"], "lab"),
        (["--address", ""], "invalid --address '': expected a host name or IP address"),
        (["--address", "nowhere.invalid"], "cannot listen on nowhere.invalid"),
        (["--bowser"], "bowser"),
    ],
)
def test_wrong_flags_are_one_line(words, says, capfd):
    assert main(["app", *words]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert says in err
    assert "--port 0 picks" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_from_any_folder_and_ends_when_told(tmp_path, number):
    words = [sys.executable, "-m", "toylab", "app", "--port", "0", "--no-browser"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}  # this checkout, whichever is installed
    process = subprocess.Popen(
        words, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        line = process.stdout.readline()
        address = line.split()[1]
        assert f"runs are saved in {tmp_path / 'runs'})" in line
        deadline = time.monotonic() + 60
        while not healthy(address):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(number)
        said, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "Traceback" not in said
    finally:
        process.kill()


def healthy(address: str) -> bool:
    with contextlib.suppress(OSError):
        return urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).status == 200
    return False
