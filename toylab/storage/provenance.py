"""Provenance of a result: Python, machine, package versions, commit, date. No jax."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = (
    "toylab", "jax", "jaxlib", "equinox", "optax", "diffrax", "orbax-checkpoint",
    "numpy", "scipy", "pandas", "pot",
)  # fmt: skip


def environment(folder: str | os.PathLike = ".") -> dict[str, Any]:
    """Python, platform, CPUs, package versions, git hash of ``folder`` and date (UTC), as JSON types."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "num_cpus": os.cpu_count(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "git": _git_hash(Path(folder)),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_hash(folder: Path) -> str | None:
    """The commit checked out in ``folder``; None without git, outside a checkout, or after two seconds."""
    if (git := shutil.which("git")) is None:
        return None
    command = [git, "rev-parse", "--verify", "HEAD"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=2, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
