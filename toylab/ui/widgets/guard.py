"""What an error that nobody foresaw does to a page: one line with an id; the rest is kept for whoever mends it."""

from collections.abc import Callable
from functools import wraps

import streamlit as st
from streamlit.errors import FragmentHandledException

from toylab.storage.cache import report_internal


def guarded(draw: Callable[..., None]) -> Callable[..., None]:
    """``draw``, with an error told where it would have drawn. Streamlit's own way to stop or rerun passes through."""

    @wraps(draw)
    def shown(*arguments, **options) -> None:
        try:
            draw(*arguments, **options)
        except FragmentHandledException:  # a part of the page has told it already
            return
        except Exception as error:
            st.error(f"This part of the page failed: {report_internal(error)}. Reload the page to go on.")

    return shown
