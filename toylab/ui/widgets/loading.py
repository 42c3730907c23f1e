"""From a text into the Lab: its controls are set as a whole, then the page is shown."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from toylab.config import RunConfig
from toylab.ui import session, settings
from toylab.ui.jobs import AbstractJob

LAB = "lab"
RACE = "race"


def raw_settings(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Raw values of all of the Lab's controls: the defaults but for ``changes``.

    Raises:
        ValueError: a name that is no control; the message names the choices.
    """
    if unknown := sorted(set(changes) - set(settings.DEFAULTS)):
        raise ValueError(f"no control {unknown[0]!r}; choices: {', '.join(settings.DEFAULTS)}")
    return {**settings.DEFAULTS, **changes}


def config_of(changes: Mapping[str, Any]) -> RunConfig:
    """The run that the Lab trains with these changes of its defaults."""
    return settings.read_config(raw_settings(changes))


def to_lab(changes: Mapping[str, Any]) -> None:
    """Set the Lab's controls to its defaults but for ``changes``, and show it."""
    from toylab.ui import router  # which imports the pages, and they this

    if session.is_live(session.job()):
        # Its beta would no longer be the one that the slider shows.
        session.act(AbstractJob.stop)
    for name, value in raw_settings(changes).items():
        st.session_state[name] = value
    st.session_state["address_read"] = True  # what it says is what was just set
    # The address has what differs from the defaults, as if the reader had set it.
    router.go(LAB, {name: _as_shown(value) for name, value in changes.items()})


def _as_shown(value: Any) -> str:
    """As the controls write it into the address: a number without a superfluous .0."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def to_race(wish: Mapping[str, Any]) -> None:
    """Ask the Race for a contestant, and show it."""
    from toylab.ui import router

    st.session_state["race_load"] = dict(wish)
    router.go(RACE)


def has_race() -> bool:
    """Whether there is a Race to load into."""
    from toylab.ui import router

    return any(router.name_of(module) == RACE for module in router.modules())
