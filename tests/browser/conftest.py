"""One Chromium and one server for all browser tests; visitors that must not meet an error.

Times are the best of a few tries, since other work on the machine can only make them worse. Modules that time clicks or
count threads are marked `alone`: no other process of the suite works meanwhile.
"""

import os
import shutil
from pathlib import Path

import pytest

from .serving import serving
from .visiting import visitors

HERE = Path(__file__).parent
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser")
"""Without a window system, as the first is, the tests take a sixth less time; Debian has a package of each."""
CHROMIUM = os.environ.get("TOYLAB_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)


def missing(reason: str) -> None:
    if os.environ.get("TOYLAB_REQUIRE_BROWSER") == "1":
        pytest.fail(f"TOYLAB_REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(reason)


# Per package, not per session: while Playwright is there its event loop runs, and other tests could not start theirs.
@pytest.fixture(scope="package")
def browser():
    playwright_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        missing("no Chromium is installed (Debian: apt-get install chromium-headless-shell)")
    with playwright_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        except playwright_api.Error as error:
            missing(f"{CHROMIUM} does not start: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def server(browser, tmp_path_factory):
    """The server that tests share."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def own_server(browser, tmp_path):
    """A server for one test: one that ends it, or counts what it takes."""
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def visit(browser):
    """A new page in a context of its own; at the end no page may have met an error."""
    with visitors(browser) as visit:
        yield visit


@pytest.fixture(scope="module")
def page(browser, server):
    """The Lab of one visitor, for all tests of a module."""
    with visitors(browser) as visit:
        page = visit()
        page.goto(f"{server.address}/?steps=20000")
        yield page
