"""Settings in the address bar: the link that one shares, its version, and what an unknown version means."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import streamlit as st

from toylab.config import RunConfig
from toylab.ui import settings

VERSION = 1
VERSION_PARAMETER = "v"


def query(raw: Mapping[str, Any]) -> dict[str, str]:
    """The controls' values as parameters of an address: all of them, so that a new default changes no old link.

    Args:
        raw: name of a control -> its value, checked and snapped here as everywhere.
    """
    config = settings.read_config(raw)
    values = {name: raw.get(name, default) for name, default in settings.DEFAULTS.items()}
    values |= {name: getattr(config, field) for name, field in FIELD_OF.items() if name in values}
    if not is_packaged(config):
        values.pop("dataset", None)
    return {VERSION_PARAMETER: str(VERSION)} | {name: _text(value) for name, value in values.items()}


FIELD_OF = {
    "dataset": "dataset",
    "beta": "beta",
    "seed": "seed",
    "steps": "steps",
    "lr": "learning_rate",
    "batch": "batch_size",
    "proxy": "proxy",
    "gap": "max_gap",
    "equal": "p_equal",
    "width": "width",
}
"""The setting that a control of this name stands for."""


def link(raw: Mapping[str, Any]) -> str:
    """The full address of these settings."""
    parts = urlsplit(st.context.url or "http://localhost:8501/")
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", urlencode(query(raw)), ""))


def is_packaged(config: RunConfig) -> bool:
    """Whether the data come with the app; points of one's own are in no link."""
    return config.dataset in settings.dataset_names() and not config.dataset_options


def note() -> str:
    """One line on the version of the address that this tab was opened with; nothing where it is ours or absent."""
    if "address_version" not in st.session_state:
        st.session_state["address_version"] = version_note(st.query_params.get(VERSION_PARAMETER))
    return st.session_state["address_version"]


def version_note(version: str | None) -> str:
    """What to say of an address of ``version``: it is read as far as it is valid."""
    if version is None or version == str(VERSION):
        return ""
    said = (
        f"version {version}"
        if version.isascii() and version.isdigit() and len(version) < 6
        else "no known version"
    )
    return f"This link has {said}, this app reads version {VERSION}: what is valid in it was taken over."


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
