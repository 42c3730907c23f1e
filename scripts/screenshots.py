"""Take screenshots of every page of the app with a finished run.

    python scripts/screenshots.py [--out docs/screenshots] [--pages lab,learn] [--steps 2000]

Light and dark, at 1280x800 and at 390x844 (phone): `PAGE-light.png`, `PAGE-dark-phone.png` and so on. The pages are
those of the router. The run is trained on the first page in the same tab, because a run belongs to its tab. Images are
reduced to 256 colours or fewer, without a visible difference. Needs Playwright and Chromium (TOYLAB_CHROMIUM).
"""

import argparse
import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from toylab.ui import router

ROOT = Path(__file__).parents[1]
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser")
CHROMIUM = os.environ.get("TOYLAB_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), "chromium")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SIZES: dict[str, ViewportSize] = {"": {"width": 1280, "height": 800}, "-phone": {"width": 390, "height": 844}}
TIMEOUT = 180_000
MAX_BYTES = 150_000
COLOURS = (256, 128, 64, 32)


def main() -> None:
    """Write the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots")
    parser.add_argument("--pages", default="", help="comma-separated names of page modules; all by default")
    parser.add_argument("--steps", default="2000", help="steps of the run; a value that the Lab offers")
    options = parser.parse_args()
    found = {router.name_of(module): module for module in router.modules()}
    wanted = options.pages.split(",") if options.pages else list(found)
    if unknown := sorted(set(wanted) - set(found)):
        parser.error(f"unknown page {', '.join(unknown)}; choices: {', '.join(found)}")
    options.out.mkdir(parents=True, exist_ok=True)
    with server() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        for scheme in SCHEMES:
            page = trained(browser, f"{address}/?steps={options.steps}", scheme)
            for name in wanted:
                visit(page, found[name], alone=len(found) == 1)
                for suffix, size in SIZES.items():
                    page.set_viewport_size(size)
                    settle(page)
                    path = options.out / f"{name}-{scheme}{suffix}.png"
                    path.write_bytes(small(page.screenshot()))
                    print(f"{path}  {path.stat().st_size / 1000:.0f} kB", flush=True)
                page.set_viewport_size(SIZES[""])
            page.context.close()
        browser.close()


def trained(browser: Browser, address: str, scheme: Literal["light", "dark"]) -> Page:
    """A tab with a finished run in the Lab."""
    page = browser.new_context(viewport=SIZES[""], color_scheme=scheme).new_page()
    page.goto(address)
    page.locator(".stVegaLiteChart").nth(4).wait_for(timeout=TIMEOUT)
    page.get_by_role("button", name="Start").first.click()
    page.get_by_text("DONE", exact=True).first.wait_for(timeout=TIMEOUT)
    return page


def visit(page: Page, module: ModuleType, alone: bool) -> None:
    """Open a page through its link, which keeps the session and its runs; loading an address would start a new one."""
    if not alone:
        page.get_by_role("link", name=module.TITLE, exact=True).first.click()
    settle(page)
    status = page.locator(".st-key-status")
    # This page has its own training run.
    if status.count() and status.first.inner_text().strip().startswith("READY"):
        page.get_by_role("button", name="Start").first.click()
        with contextlib.suppress(PlaywrightTimeout):
            page.get_by_text("DONE", exact=True).first.wait_for(timeout=TIMEOUT)


def settle(page: Page) -> None:
    """Wait until the script of the page has finished and its charts are drawn."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(timeout=TIMEOUT)
    page.locator("[data-testid=stAlert]", has_text="Evaluating").wait_for(state="hidden", timeout=TIMEOUT)
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)


def small(picture: bytes) -> bytes:
    """The image as PNG, with as few colours as MAX_BYTES requires, at least 32."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    packed = b""
    for colours in COLOURS:
        buffer = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
        packed = buffer.getvalue()
        if len(packed) <= MAX_BYTES:
            break
    return packed


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Context manager: runs the app on a free local port in a temporary folder, and yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port)]
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(words, cwd=folder, env=env, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            while not healthy(port):
                if time.monotonic() > deadline:
                    raise SystemExit(f"no response from port {port}")
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def healthy(port: int) -> bool:
    """Whether the server responds."""
    with contextlib.suppress(OSError):
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).status == 200
    return False


if __name__ == "__main__":
    main()
