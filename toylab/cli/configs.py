"""Finds the settings that a command's CONFIG names: a packaged config, a preset, a file, or a run folder."""

from pathlib import Path

from toylab.config import PRESETS, RunConfig, preset
from toylab.configs import config_names, named_config, read_config_file
from toylab.storage.untrusted import one_line, read_json

MAX_BYTES = 8 * 2**20


def find_config(text: str) -> RunConfig:
    """The settings that ``text`` names: a packaged config, a preset, a TOML or JSON file, or a run folder.

    Raises:
        ValueError: none of them, or one that cannot be read; one line.
    """
    path = Path(text)
    if not path.exists():
        if text in config_names():
            return named_config(text)
        if text in PRESETS:
            return RunConfig(**preset(text))
    if path.is_dir():
        # 1.5 s to import (pandas, SciPy), and only a run folder needs it.
        from toylab.experiments.results import read_config

        return read_config(path)
    if path.is_file():
        return read_config_file(path) if path.suffix == ".toml" else RunConfig.from_dict(_read_json(path))
    raise ValueError(
        f"unknown config {text!r}: expected a run folder, a TOML or JSON file, a packaged config "
        f"({', '.join(config_names())}) or a preset ({', '.join(sorted(PRESETS))})"
    )


def _read_json(path: Path) -> dict:
    """The settings in a JSON file: a plain object, or the config.json of a run."""
    try:
        value = read_json(path, MAX_BYTES)
    except ValueError as error:
        raise ValueError(f"{path}: {one_line(error)}") from None
    while isinstance(value, dict) and isinstance(value.get("settings"), dict):
        value = value["settings"]
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object, not {type(value).__name__}")
    return value
