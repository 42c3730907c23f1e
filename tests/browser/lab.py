"""What a visitor does and sees on the Lab page."""

import re
import time

from .waiting import wait_for

PATIENCE = 90_000
"""Milliseconds: the first page of a cold server on a busy machine."""
ACTIVE = {"RUNNING", "COMPILING"}


def arrive(page, address: str, query: str = "") -> None:
    """Open the Lab, until all of its charts are there."""
    page.goto(f"{address}/?{query}")
    drawn_fully(page)


def drawn_fully(page) -> None:
    """Wait for two squares and three curves."""
    page.locator(".stVegaLiteChart").nth(4).wait_for(timeout=PATIENCE)


def status(page) -> tuple[str, int]:
    """State and step, as the page says them."""
    text = page.locator(".st-key-status").inner_text()
    state, step = re.match(r"\s*([A-Z ]+) · step ([\d,]+) of", text).groups()
    return state, int(step.replace(",", ""))


def state(page) -> str:
    """The state alone."""
    return status(page)[0]


def press(page, name: str) -> None:
    """A button of ours, by the beginning of its name: Streamlit's own header has a Stop too."""
    main = page.locator("[data-testid=stMainBlockContainer]")
    main.get_by_role("button", name=re.compile(f"^{name}")).click()


def start(page) -> float:
    """Seconds from the click to the first frame of the new run."""
    press(page, "Start")
    return wait_for(lambda: state(page) in ACTIVE and status(page)[1] > 0, 60)


def stop(page) -> float:
    """Seconds from the click until the page says so."""
    began = time.monotonic()
    press(page, "Stop training")
    wait_for(lambda: state(page) == "STOPPED", 10)
    return time.monotonic() - began


def running(page) -> None:
    """Train, if nothing does yet, until steps follow each other."""
    if state(page) == "PAUSED":
        press(page, "Resume")
    elif state(page) not in ACTIVE:
        start(page)
    wait_for(lambda: state(page) == "RUNNING", 60)


def resting(page) -> None:
    """No run under way."""
    if state(page) in {*ACTIVE, "PAUSED", "QUEUED"}:
        stop(page)


def choose(page, label: str, option: str) -> None:
    """An option of a select box."""
    page.get_by_role("combobox", name=label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def beta(page) -> float:
    """What the slider says."""
    return float(page.get_by_role("slider", name="Coefficient").input_value())


def drawn(page, chart: int = 0) -> int:
    """Pixels of a chart that are not background."""
    return page.evaluate(
        """index => {
            const canvas = document.querySelectorAll('.stVegaLiteChart canvas')[index];
            if (!canvas) return 0;
            const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            let count = 0;
            for (let i = 3; i < data.length; i += 4) if (data[i] > 0) count++;
            return count;
        }""",
        chart,
    )
