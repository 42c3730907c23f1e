"""The Lab on a phone in the dark (app.md 3.6, check 10)."""

import re

from .lab import arrive
from .visiting import PHONE, overflow


def test_a_phone_in_the_dark(server, visit):
    page = visit(viewport=PHONE, color_scheme="dark")
    arrive(page, server.address)
    assert overflow(page)[1] == 0
    assert page.get_by_role("button", name="Start").bounding_box()["y"] < 800
    for chart in page.locator(".stVegaLiteChart").all():
        box = chart.bounding_box()
        assert box["x"] + box["width"] <= 390
    ground = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    assert max(map(int, re.findall(r"\d+", ground)[:3])) < 60
