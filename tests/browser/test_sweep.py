"""A sweep from its start to Compare."""

import pytest

from .lab import press
from .visiting import settle
from .waiting import wait_for


@pytest.mark.slow
def test_the_cells_of_a_seed_open_in_compare(server, visit):
    page = visit()
    page.goto(f"{server.address}/sweep?steps=1000&width=32")
    settle(page)
    for label, value in (("Values of β", "2"), ("Seeds", "1")):
        page.get_by_label(label, exact=True).fill(value)
        page.keyboard.press("Enter")
        settle(page)
    press(page, "Start")
    wait_for(lambda: "DONE" in page.locator(".st-key-status").inner_text(), 120)
    press(page, "Compare every")
    page.get_by_role("heading", name="Compare", level=1).wait_for(timeout=20_000)
    legend = page.locator(".st-key-compare_legend")
    wait_for(lambda: all(f"β = {beta}" in legend.inner_text() for beta in ("0", "1.5")), 20)
    settle(page)
