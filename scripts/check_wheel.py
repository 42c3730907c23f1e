"""Build sdist and wheel, install the wheel where no checkout is near, and use it: commands, a training, the app.

    python scripts/check_wheel.py

The wheel goes into a new environment that borrows the dependencies of the Python that runs this, so that nothing is
downloaded twice; hatchling and build come from the package index where they are not installed. Under 30 seconds.
"""

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import tomllib
import urllib.request
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COPIES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
"""Source -> place in the wheel, of what lies outside the package."""
SDIST_NEEDS = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "CITATION.cff",
    "references.bib",
    "tests/conftest.py",
)
MAX_MEGABYTES = {"wheel": 3, "sdist": 14}
"""0.8 MB of a wheel are the weights of the feature nets."""
RUBBISH = ("__pycache__", ".pyc", ".git/", ".venv", "/runs/", ".ruff_cache", ".pytest_cache", ".hypothesis")


def main() -> None:
    """Every check in turn; the first that fails ends it."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel, sdist = build(folder / "dist")
        told(
            f"built {wheel.name} ({megabytes(wheel):.2f} MB) and {sdist.name} ({megabytes(sdist):.2f} MB)",
            began,
        )
        check_wheel(wheel)
        check_sdist(sdist)
        python = install(wheel, folder / "env")
        told("installed", began)
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        use(python, elsewhere)
        told("the commands work", began)
        serve(python, elsewhere)
        told("the app answers", began)


def build(folder: Path) -> tuple[Path, Path]:
    """The wheel, built from the sdist, and the sdist: what a user of a package index gets."""
    missing = [name for name in ("build", "hatchling") if find_spec(name) is None]
    path = os.environ.get("PYTHONPATH", "")
    if missing:
        tools = folder.parent / "tools"
        run(
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "-q",
                "--disable-pip-version-check",
                "--target",
                tools,
                *missing,
            ]
        )
        path = f"{tools}{os.pathsep}{path}"
    run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT],
        env={**os.environ, "PYTHONPATH": path},
        cwd=folder.parent,
    )
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def check_wheel(wheel: Path) -> None:
    """Every tracked file of the package, and the copies as they are at the top; nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        assert f"Version: {PROJECT['project']['version']}\n" in archive.read(metadata).decode()
        for source, target in COPIES.items():
            assert archive.read(target) == (ROOT / source).read_bytes(), f"{target} differs from {source}"
    wanted = files_of("toylab") | set(COPIES.values())
    assert held == wanted, f"missing {sorted(wanted - held)}, too much {sorted(held - wanted)}"
    check_size("wheel", wheel)


def check_sdist(sdist: Path) -> None:
    """What it takes to build, test and cite; no caches."""
    with tarfile.open(sdist) as archive:
        held = {member.name.split("/", 1)[1] for member in archive.getmembers() if "/" in member.name}
    wanted = {*files_of("toylab"), *files_of("tests"), *SDIST_NEEDS, *COPIES}
    assert wanted <= held, f"missing {sorted(wanted - held)}"
    rubbish = [name for name in held if any(part in f"/{name}" for part in RUBBISH)]
    assert not rubbish, rubbish
    check_size("sdist", sdist)


def install(wheel: Path, folder: Path) -> Path:
    """Python of a new environment with nothing but the wheel, and this one's packages behind it."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    run([sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel])
    (packages,) = folder.glob("lib/python*/site-packages")
    # A folder named in a .pth file is searched, but its own .pth files are not read: an editable toylab stays out.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def use(python: Path, folder: Path) -> None:
    """The commands, from a folder of their own."""
    toylab = [python.with_name("toylab")]
    assert output([*toylab, "--version"], folder) == f"toylab {PROJECT['project']['version']}\n"
    place = output([python, "-c", "import toylab; print(toylab.__file__)"], folder).strip()
    assert place.startswith(str(python.parents[1])), f"toylab comes from {place}"
    assert "meanflow" in json.loads(output([*toylab, "list", "methods", "--json"], folder))
    small = ["--steps", "50", "--width", "16", "--depth", "1", "--log-every", "50", "--eval-samples", "64"]
    output([*toylab, "train", *small, "--out", "run"], folder)
    assert (folder / "run" / "config.json").is_file()
    assert float(output([python, "-m", "toylab.bench.plain", "0.1"], folder)) > 0


def serve(python: Path, folder: Path) -> None:
    """`toylab app` on a free port, until it is healthy; then it has to end when told."""
    words = [python.with_name("toylab"), "app", "--port", "0", "--no-browser"]
    process = subprocess.Popen(words, cwd=folder, env=clean(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[1]
        deadline = time.monotonic() + 60
        while not healthy(address):
            assert process.poll() is None, f"toylab app ended with {process.returncode}"
            assert time.monotonic() < deadline, "toylab app does not answer"
            time.sleep(0.1)
        process.terminate()
        assert process.wait(20) == 0, f"toylab app ended with {process.returncode}"
    finally:
        process.kill()


def files_of(folder: str) -> set[str]:
    """The files below ``folder``, but for caches."""
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*") if path.is_file()}
    return {name for name in found if not any(part in f"/{name}" for part in RUBBISH)}


def healthy(address: str) -> bool:
    """Whether the server answers."""
    with contextlib.suppress(OSError):
        return urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).status == 200
    return False


def check_size(kind: str, path: Path) -> None:
    """Whether a file is not larger than it should be: a data file that slipped in."""
    assert megabytes(path) < MAX_MEGABYTES[kind], f"{path.name} has {megabytes(path):.1f} MB"


def megabytes(path: Path) -> float:
    """Size of a file."""
    return path.stat().st_size / 1e6


def clean() -> dict[str, str]:
    """The environment without what would bring this checkout in."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def output(words: list, folder: Path) -> str:
    """What a command prints; it has to succeed."""
    return run(words, cwd=folder, env=clean()).stdout


def run(words: list, **options) -> subprocess.CompletedProcess[str]:
    """A command that has to succeed; what it said is shown where it does not."""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise SystemExit(
            f"{' '.join(map(str, words))} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done


def told(message: str, began: float) -> None:
    """One line with the time since the beginning."""
    print(f"{time.monotonic() - began:5.1f} s  {message}", flush=True)


if __name__ == "__main__":
    main()
