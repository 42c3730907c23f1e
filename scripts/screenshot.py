"""Take the README's pictures of the lab from a real, running server.

    python scripts/screenshot.py [--out docs] [--first-paint]

Starts the app on a free port, presses Start, waits and photographs it: light, dark and on a phone. Needs
Playwright and a Chromium (TOYLAB_CHROMIUM names its path; /usr/bin/chromium by default).
"""

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

ROOT = Path(__file__).parents[1]
CHROMIUM = os.environ.get("TOYLAB_CHROMIUM", "/usr/bin/chromium")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
RUN_TIMEOUT = 180_000
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The app on a free local port; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        _wait(f"http://127.0.0.1:{port}/_stcore/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def open_page(
    browser: Browser, address: str, scheme: Literal["light", "dark"], viewport: ViewportSize
) -> Page:
    """The lab in a new context, drawn."""
    context = browser.new_context(viewport=viewport, color_scheme=scheme, device_scale_factor=2)
    page = context.new_page()
    page.goto(address)
    page.locator(".stVegaLiteChart").nth(4).wait_for(timeout=60_000)
    page.wait_for_timeout(1500)
    return page


def step(page: Page) -> int:
    """The step that the page shows."""
    text = page.locator(".st-key-status").inner_text() or ""
    return int(str(text).split("step ")[1].split(" of")[0].replace(",", ""))


def train(page: Page, until: str) -> None:
    """Press Start and wait for the state, or for a step where ``until`` is a number."""
    page.get_by_role("button", name="Start").click()
    page.get_by_text("RUNNING").wait_for(timeout=RUN_TIMEOUT)
    page.mouse.move(0, 0)
    if until.isdigit():
        deadline = time.monotonic() + RUN_TIMEOUT / 1000
        while step(page) < int(until) and time.monotonic() < deadline:
            page.wait_for_timeout(100)
    else:
        page.get_by_text(until, exact=True).wait_for(timeout=RUN_TIMEOUT)
    page.wait_for_timeout(800)


def main() -> None:
    """Write lab-light.png, lab-dark.png and lab-phone.png."""
    parser = argparse.ArgumentParser(description="Photograph the lab.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    parser.add_argument("--first-paint", action="store_true", help="do not train")
    parser.add_argument("--query", default="", help="settings of the address bar, for example beta=0.5")
    parser.add_argument("--until", default="DONE", help="state or step at which to take the picture")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with server() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        pictures: list[tuple[str, Literal["light", "dark"], ViewportSize]] = [
            ("light", "light", DESKTOP),
            ("dark", "dark", DESKTOP),
            ("phone", "light", PHONE),
        ]
        for name, scheme, viewport in pictures:
            page = open_page(browser, f"{address}/?{options.query}", scheme, viewport)
            if not options.first_paint:
                train(page, options.until)
            if name == "phone":  # the page scrolls inside: a tall window shows all of it
                height = page.evaluate("document.querySelector('.stMain').scrollHeight")
                page.set_viewport_size({"width": PHONE["width"], "height": height})
                page.wait_for_timeout(1000)
            page.screenshot(path=options.out / f"lab-{name}.png")
            page.context.close()
        browser.close()


def _wait(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if urllib.request.urlopen(url, timeout=1).status == 200:
                return
        time.sleep(0.2)
    raise SystemExit(f"no answer from {url}")


if __name__ == "__main__":
    main()
