"""Visitors: pages that write down what goes wrong, and checks that nothing did."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from .waiting import wait_for

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
PROBES = re.compile(r"/[^/]+/_stcore/(host-config|health)$")
"""Where Streamlit looks for its server from a page's own address, before it looks at the top: not found there."""


@contextlib.contextmanager
def visitors(browser) -> Iterator[Callable[..., Any]]:
    """A function that opens a page in a new context; all are checked and closed at the end."""
    pages = []

    def visit(**options):
        page = browser.new_context(**{"viewport": DESKTOP, **options}).new_page()
        page.problems = []
        page.on("console", lambda message: note(page, message))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on(
            "dialog", lambda dialog: (page.problems.append(f"dialog: {dialog.message}"), dialog.dismiss())
        )
        page.began = time.monotonic()
        pages.append(page)
        return page

    try:
        yield visit
        for page in pages:
            if not page.is_closed():
                check(page)
    finally:
        for page in pages:
            page.context.close()


def note(page, message) -> None:
    """Write an error of the console down, but for those probes."""
    if message.type == "error" and not PROBES.search(message.location["url"]):
        page.problems.append(f"{message.text} {message.location['url']}")


def check(page) -> None:
    """No error of the browser, of the server or of ours is on the page."""
    assert page.problems == []
    assert page.get_by_test_id("stException").count() == 0
    assert page.get_by_text("This part of the page failed").count() == 0


def settle(page, seconds: float = 60.0) -> None:
    """Wait until the page's script has run, in the right theme, and what it sent is drawn."""
    app = "[data-testid=stApp][data-test-script-state=notRunning][data-test-connection-state=CONNECTED]"
    wait_for(
        lambda: page.locator(app).count() and page.locator("h1").count() and page.evaluate(IN_THEME), seconds
    )
    page.wait_for_timeout(500)


IN_THEME = """() => {
    const sample = document.body.appendChild(document.createElement('i'));
    sample.style.color = 'var(--ground)';
    const ground = getComputedStyle(sample).color;
    sample.remove();
    return ground === getComputedStyle(document.querySelector('.stApp')).backgroundColor;
}"""
"""Whether the style sheet is that of the browser's theme: the server learns it with the first answer."""


def url(page) -> str:
    """The address now: `page.url` is that of the last event that was looked at."""
    return page.evaluate("location.href")


def overflow(page) -> tuple[int, int]:
    """Pixels that the page is taller and wider than what shows it."""
    return tuple(
        page.evaluate(
            """() => { const main = document.querySelector('.stMain'), root = document.documentElement;
                return [main.scrollHeight - main.clientHeight,
                    Math.max(main.scrollWidth - main.clientWidth, root.scrollWidth - root.clientWidth)]; }"""
        )
    )
