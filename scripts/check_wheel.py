"""Build sdist and wheel, install the wheel outside the checkout, and use it: commands, a training run, the app.

    python scripts/check_wheel.py

The wheel is installed into a new environment that shares the dependencies of the current Python, so that nothing is
downloaded twice. hatchling and build come from the package index where they are not installed. Takes under 30 seconds.
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
"""Source -> path in the wheel, for files outside the package."""
SDIST_NEEDS = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "CITATION.cff",
    "references.bib",
    "tests/conftest.py",
)
MAX_MEGABYTES = {"wheel": 3, "sdist": 14}
"""The weights of the feature nets are 0.8 MB of the wheel."""
UNWANTED = ("__pycache__", ".pyc", ".git/", ".venv", ".ruff_cache", ".pytest_cache", ".hypothesis")
"""Parts of names that no archive may hold; nor may it hold the folder runs/ of the checkout."""


def main() -> None:
    """Run all checks; the first that fails stops the script."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel, sdist = build(folder / "dist")
        report(
            f"built {wheel.name} ({megabytes(wheel):.2f} MB) and {sdist.name} ({megabytes(sdist):.2f} MB)",
            began,
        )
        check_wheel(wheel)
        check_sdist(sdist)
        python = install(wheel, folder / "env")
        report("installed", began)
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        use(python, elsewhere)
        report("the commands work", began)
        serve(python, elsewhere)
        report("the app responds", began)


def build(folder: Path) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from it, as a package index would serve them; return both paths."""
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
    """Check that the wheel holds all files of the package, identical copies of `COPIES`, and no others."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        assert f"Version: {PROJECT['project']['version']}\n" in archive.read(metadata).decode()
        for source, target in COPIES.items():
            assert archive.read(target) == (ROOT / source).read_bytes(), f"{target} differs from {source}"
    wanted = files_of("toylab") | set(COPIES.values())
    assert held == wanted, f"missing {sorted(wanted - held)}, unexpected {sorted(held - wanted)}"
    check_size("wheel", wheel)


def check_sdist(sdist: Path) -> None:
    """Check that the sdist holds all that building, testing and citing need, and no caches."""
    with tarfile.open(sdist) as archive:
        held = {member.name.split("/", 1)[1] for member in archive.getmembers() if "/" in member.name}
    wanted = {*files_of("toylab"), *files_of("tests"), *SDIST_NEEDS, *COPIES}
    assert wanted <= held, f"missing {sorted(wanted - held)}"
    unwanted = [name for name in held if is_unwanted(name)]
    assert not unwanted, unwanted
    check_size("sdist", sdist)


def install(wheel: Path, folder: Path) -> Path:
    """Python of a new environment that holds the wheel and shares the packages of the current one."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    run([sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel])
    (packages,) = folder.glob("lib/python*/site-packages")
    # Python searches a folder named in a .pth file but ignores .pth files in it, and with them an editable toylab.
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def use(python: Path, folder: Path) -> None:
    """Run the commands in ``folder``."""
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
    """Start `toylab app` on a free port, wait until it is healthy, and check that SIGTERM stops it."""
    words = [python.with_name("toylab"), "app", "--port", "0", "--no-browser"]
    process = subprocess.Popen(words, cwd=folder, env=clean(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[1]
        deadline = time.monotonic() + 60
        while not healthy(address):
            assert process.poll() is None, f"toylab app ended with {process.returncode}"
            assert time.monotonic() < deadline, "toylab app does not respond"
            time.sleep(0.1)
        process.terminate()
        assert process.wait(20) == 0, f"toylab app ended with {process.returncode}"
    finally:
        process.kill()


def files_of(folder: str) -> set[str]:
    """The files below ``folder`` except caches."""
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*") if path.is_file()}
    return {name for name in found if not is_unwanted(name)}


def is_unwanted(name: str) -> bool:
    """Whether a file, named from the root of the checkout, is a cache or a run."""
    # Only runs/ at the root: toylab/ui/runs is a package.
    return name.startswith("runs/") or any(part in name for part in UNWANTED)


def healthy(address: str) -> bool:
    """Whether the server responds."""
    with contextlib.suppress(OSError):
        return urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).status == 200
    return False


def check_size(kind: str, path: Path) -> None:
    """Check the size of a file, which grows if a data file is included by accident."""
    assert megabytes(path) < MAX_MEGABYTES[kind], f"{path.name} has {megabytes(path):.1f} MB"


def megabytes(path: Path) -> float:
    """Size of a file in MB."""
    return path.stat().st_size / 1e6


def clean() -> dict[str, str]:
    """The environment variables without those that make this checkout importable."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def output(words: list, folder: Path) -> str:
    """The output of a command that must succeed."""
    return run(words, cwd=folder, env=clean()).stdout


def run(words: list, **options) -> subprocess.CompletedProcess[str]:
    """Run a command that must succeed; if it fails, exit with its output."""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise SystemExit(
            f"{' '.join(map(str, words))} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done


def report(message: str, began: float) -> None:
    """Print one line with the time since the start."""
    print(f"{time.monotonic() - began:5.1f} s  {message}", flush=True)


if __name__ == "__main__":
    main()
