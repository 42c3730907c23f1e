"""Pages in tests without a browser: AppTest.switch_page knows pages that are files, ours are functions."""

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash


def switch_page(app: AppTest, name: str) -> AppTest:
    """Make ``name`` (its path in the address) the page of the next run; run the app once before."""
    app._page_hash = calc_hash(name)
    return app
