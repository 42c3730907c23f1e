"""The Lab: what one visitor sees while training, how soon, and by keyboard alone (app.md 3.6, checks 1 to 4 and 8)."""

import time

import pytest

from .accessibility import violations
from .lab import arrive, drawn, drawn_fully, press, resting, running, start, state, status, stop
from .visiting import overflow, settle, url
from .waiting import wait_for

pytestmark = pytest.mark.alone

QUIET_SECONDS = 3.0


def test_the_first_page_is_a_picture(page):
    drawn_fully(page)
    wait_for(lambda: drawn(page, 0) > 500 and drawn(page, 1) > 500, 15)
    assert time.monotonic() - page.began < 15
    assert state(page) == "STORED RUN"
    assert overflow(page) == (0, 0), "one screen at 1280x800"
    box = page.locator(".stVegaLiteChart canvas").nth(0).bounding_box()
    assert abs(box["width"] - box["height"]) <= 2


def test_every_chart_and_control_has_a_name(page):
    charts = page.locator(
        ".stVegaLiteChart [role=graphics-document], .stVegaLiteChart[role], .stVegaLiteChart [aria-label]"
    )
    assert charts.count() >= 5
    assert page.get_by_role("radio").count() >= 7
    assert page.get_by_role("slider", name="Coefficient").count() == 1


def test_start_trains_live(page, record_property):
    first = start(page)
    record_property("first_frame_seconds", first)
    print(f"first frame {first:.2f} s after the first start")
    wait_for(lambda: state(page) == "RUNNING", 60)
    page.evaluate(
        """() => { window.removed = 0; new MutationObserver(all => all.forEach(one => window.removed +=
            [...one.removedNodes].filter(node => node.matches?.('.stVegaLiteChart, canvas.marks')).length))
            .observe(document.body, {childList: true, subtree: true}); }"""
    )
    counts = []
    while len(counts) < 3 and max(counts, default=0) < 8:
        counts.append(len(steps_seen(page, 10)))
    print(f"different steps in ten seconds: {counts}, where 20 are enough to stop counting")
    assert max(counts) >= 8
    assert page.evaluate("window.removed") == 0, "charts are redrawn in place"


def steps_seen(page, seconds: float) -> set[int]:
    steps, began = set(), time.monotonic()
    while time.monotonic() < began + seconds and len(steps) < 20 and state(page) == "RUNNING":
        steps.add(status(page)[1])
        time.sleep(0.05)
    return steps


def test_stop_and_start_again_act_at_once(page):
    stops, starts = [], []
    for _ in range(8):
        if state(page) not in {"RUNNING", "COMPILING"}:
            starts.append(start(page))
        stops.append(stop(page))
        if len(stops) >= 3 and min(stops) < 1.0 and min(starts) < 1.5:
            break
    print(f"stop {[f'{x:.2f}' for x in stops]} s, first frame {[f'{x:.2f}' for x in starts]} s")
    assert min(stops) < 1.0
    assert min(starts) < 1.5


def test_pause_step_and_resume(page):
    running(page)
    press(page, "Pause")
    wait_for(lambda: state(page) == "PAUSED", 5)
    before = status(page)[1]
    page.wait_for_timeout(2000)
    assert status(page)[1] == before
    press(page, r"Step \+100")
    wait_for(lambda: status(page) == ("PAUSED", before + 100), 5)
    press(page, "Resume")
    wait_for(lambda: state(page) == "RUNNING" and status(page)[1] > before + 100, 5)


def test_beta_changes_live_by_keyboard(page):
    running(page)
    before = status(page)[1]
    states = set()
    slider = page.get_by_role("slider", name="Coefficient")
    slider.focus()
    for _ in range(3):
        slider.press("ArrowRight")
        states.add(state(page))
    wait_for(lambda: "beta=1.15" in url(page), 5)
    wait_for(lambda: "β = 1.15" in page.locator(".st-key-square_chosen").inner_text(), 5)
    wait_for(lambda: status(page)[1] > before, 5)
    wait_for(lambda: "β 1.15" in page.locator(".st-key-curve_loss").text_content(), 5)
    assert "COMPILING" not in states
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("x")
    wait_for(lambda: state(page) in {"STOPPED", "DONE"}, 5)


@pytest.mark.slow
def test_all_of_it_by_keyboard_and_then_silence(server, visit):
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    page, deltas = visit(), []

    def note(payload):
        message = ForwardMsg()
        if isinstance(payload, bytes):
            message.ParseFromString(payload)
            deltas.append(message.WhichOneof("type") == "delta")

    page.on("websocket", lambda socket: socket.on("framereceived", note))
    arrive(page, server.address, "steps=20000")
    key = page.keyboard.press
    key("s")
    wait_for(lambda: state(page) == "RUNNING" and status(page)[1] > 0, 60)
    key("s")
    wait_for(lambda: state(page) == "PAUSED", 5)
    before = status(page)[1]
    key("n")
    wait_for(lambda: status(page) == ("PAUSED", before + 100), 5)
    key("m")
    wait_for(lambda: status(page) == ("PAUSED", before + 101), 5)
    key("s")
    wait_for(lambda: state(page) == "RUNNING" and status(page)[1] > before + 101, 5)
    assert sum(deltas) > 20
    key("x")
    wait_for(lambda: state(page) == "STOPPED", 5)
    heard = []
    for _ in range(
        3
    ):  # the page is drawn once more in its new state, which may take its time; a timer would go on
        settle(page)
        deltas.clear()
        page.wait_for_timeout(QUIET_SECONDS * 1000)
        heard.append(sum(deltas))
        if heard[-1] == 0:
            break
    assert heard[-1] == 0, heard


@pytest.mark.slow
def test_divergence_is_named_and_can_be_retried(server, visit):
    page = visit()
    arrive(page, server.address, "lr=1&steps=20000")
    start_and_diverge(page)
    said = page.locator(".st-key-sentence").inner_text()
    assert "Diverged at step " in said
    assert "learning rate 1" in said
    for chart in page.locator(".stVegaLiteChart").all():
        assert "NaN" not in chart.inner_html()
    assert violations(page) == []
    assert server.healthy()
    press(page, "Retry with learning rate 0.3")
    wait_for(lambda: state(page) != "DIVERGED", 30)
    wait_for(lambda: "lr=0.3" in url(page), 10)
    wait_for(lambda: status(page)[1] > 0 and state(page) in {"RUNNING", "DIVERGED"}, 60)
    resting(page)
    assert server.healthy()


def start_and_diverge(page) -> None:
    press(page, "Start")
    wait_for(lambda: state(page) == "DIVERGED", 60)
    wait_for(lambda: "iverged" in page.locator(".st-key-sentence").inner_text(), 10)
