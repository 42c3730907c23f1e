"""Links into the Lab and the Race: buttons that set their controls, and the dialog Share."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

from toylab.config import RunConfig
from toylab.experiments.results import run_label
from toylab.ui import address, session, settings
from toylab.ui.jobs import AbstractJob
from toylab.ui.session import ADDRESS_READ, RACE_LOAD
from toylab.ui.text import plain
from toylab.ui.widgets import controls

LAB = "lab"
RACE = "race"


def raw_settings(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Values of all controls of the Lab: the defaults, with ``changes``.

    Raises:
        ValueError: an unknown control; the message lists the choices.
    """
    if unknown := sorted(set(changes) - set(settings.DEFAULTS)):
        raise ValueError(f"no control {unknown[0]!r}; choices: {', '.join(settings.DEFAULTS)}")
    return {**settings.DEFAULTS, **changes}


def config_of(changes: Mapping[str, Any]) -> RunConfig:
    """The run that the Lab trains with these changes of its defaults."""
    return settings.read_config(raw_settings(changes))


def to_lab(changes: Mapping[str, Any]) -> None:
    """Set the Lab's controls to its defaults but for ``changes``, and show it."""
    if session.is_live(session.job()):
        # Otherwise its beta would differ from the one that the slider shows.
        session.act(AbstractJob.stop)
    for name, value in raw_settings(changes).items():
        st.session_state[name] = value
    session.first_time(ADDRESS_READ)  # the address says what was just set: it is not read again
    # The address has what differs from the defaults, as if the user had set it.
    session.show_page(LAB, {name: _as_shown(value) for name, value in changes.items()})


def _as_shown(value: Any) -> str:
    """A value as the controls write it into the address: 1, not 1.0."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def to_race(wanted: Mapping[str, Any]) -> None:
    """Show the Race with a contestant of these settings beside MeanFlow at β = 0."""
    session.leave(RACE_LOAD, dict(wanted))
    session.show_page(RACE)


def has_race() -> bool:
    """Whether the app has the page Race."""
    return session.has_page(RACE)


def share_button() -> None:
    """The button that opens the dialog Share."""
    if st.button("Share", key="share", width="stretch"):
        _share_dialog()


@st.dialog("Share", width="medium")
def _share_dialog() -> None:
    """The address to copy, with a line on what it reproduces and what it leaves out."""
    config = controls.config()
    link = address.link({name: st.session_state.get(name) for name in settings.DEFAULTS})
    st.markdown("The address of these settings:")
    st.code(link, language=None, wrap_lines=True)
    st.markdown(
        f"It opens the Lab with {plain(run_label(config))}, {config.steps:,} steps and all other settings "
        "as they are now. Start then trains the same run: equal numbers on the same machine and versions, equal "
        "up to rounding elsewhere. A change made while training is not repeated."
    )
    if not address.is_packaged(config):
        st.markdown("**Your own data are not in the link**: send the file along, or export the run.")
    if urlsplit(link).hostname in ("localhost", "127.0.0.1", "::1"):
        st.caption(
            "The link opens on this computer. For another one, replace everything before the ? by its address."
        )
