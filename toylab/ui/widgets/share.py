"""The Share dialog: the address of the present settings, and what it reproduces."""

from urllib.parse import urlsplit

import streamlit as st

from toylab.experiments.results import run_label
from toylab.ui import address, settings
from toylab.ui.text.plain import plain
from toylab.ui.widgets import controls


def button() -> None:
    """Offer the address of what the controls say now."""
    if st.button("Share", key="share", width="stretch"):
        dialog()


@st.dialog("Share", width="medium")
def dialog() -> None:
    """The address, to be copied, with a line on what it reproduces and what it leaves out."""
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
        st.caption("The host in it is this machine: for somebody else's, only what follows the ? counts.")
