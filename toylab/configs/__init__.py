"""Packaged configs: TOML files with all settings of a run that differ from the defaults. No jax.

The comment at the top of each file states the command, the run time and the score, or that they were not measured.
"""

from pathlib import Path

from toylab.config import RunConfig
from toylab.storage.untrusted import one_line, read_toml

FOLDER = Path(__file__).parent
MAX_BYTES = 2**20


def config_names() -> list[str]:
    """Every packaged config, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def named_config(name: str) -> RunConfig:
    """The settings of the packaged config ``name``.

    Raises:
        ValueError: no such config; the message names the choices.
    """
    if name not in config_names():
        raise ValueError(f"unknown config {name!r}; choices: {', '.join(config_names())}")
    return read_config_file(FOLDER / f"{name}.toml")


def summary(name: str) -> str:
    """The summary of a packaged config: its first line."""
    return (FOLDER / f"{name}.toml").read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ")


def read_config_file(path: Path) -> RunConfig:
    """The settings in a TOML file.

    Raises:
        ValueError: not TOML, or a setting that is unknown or out of range; one line that names the file.
        FileNotFoundError: no such file.
    """
    try:
        return RunConfig.from_dict(read_toml(path, MAX_BYTES))
    except ValueError as error:
        raise ValueError(f"{path}: {one_line(error)}") from None
