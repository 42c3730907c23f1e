"""Several visitors, and what is left when they have gone (app.md 3.6, check 7)."""

import sys

import pytest

from .lab import arrive, press, running, start, state, status
from .waiting import wait_for

CYCLES = 20
SHARE_MORE = 0.10


@pytest.mark.slow
def test_a_second_visitor_waits_and_takes_over(server, visit):
    """One run trains at a time; whoever leaves makes room at once. The server then ends with a run under way."""
    first, second = visit(), visit()
    for page in (first, second):
        arrive(page, server.address, "steps=20000")
    start(first)
    running(first)
    press(second, "Start")
    wait_for(lambda: state(second) == "QUEUED", 5)
    wait_for(lambda: "1 run ahead" in second.locator(".st-key-sentence").inner_text(), 5)
    _, step = status(first)
    wait_for(lambda: status(first)[1] > step, 10)
    assert state(second) == "QUEUED"
    first.context.close()
    wait_for(lambda: state(second) == "RUNNING" and status(second)[1] > 0, 10)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_visitors_that_have_gone_leave_nothing_behind(own_server, visit):
    def cycle():
        page = visit()
        page.goto(own_server.address)
        page.locator(".st-key-status").wait_for()
        page.context.close()

    for _ in range(3):
        cycle()
    wait_for(own_server.is_idle, 120)
    threads, memory = own_server.facts()
    for _ in range(CYCLES):
        cycle()
    wait_for(lambda: own_server.facts()[0] <= threads * (1 + SHARE_MORE), 30)
    after = own_server.facts()
    print(f"{CYCLES} visits: threads {threads} to {after[0]}, memory {memory:.0f} to {after[1]:.0f} MB")
    assert after[1] <= memory * (1 + SHARE_MORE)
