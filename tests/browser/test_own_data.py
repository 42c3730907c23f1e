"""Own data in a real browser: the pad with mouse, touch and keys, what a file does, and where points never go."""

import math
import re

import pytest

from .lab import PATIENCE, arrive, drawn_fully, press, status
from .visiting import PHONE, url
from .waiting import wait_for

pytestmark = pytest.mark.slow

PAD = "Drawing pad"


@pytest.fixture
def page(visit, server):
    page = visit(has_touch=True)
    arrive(page, server.address, "width=32&steps=20000")
    return page


def choose(page, kind: str) -> None:
    page.locator(".st-key-picker").get_by_text(kind, exact=True).click()


def pad(page):
    canvas = page.get_by_role("application", name=PAD)
    canvas.wait_for(timeout=PATIENCE)
    return canvas


def count(page) -> int:
    return int(re.match(r"[\d,]+", page.locator("output").inner_text())[0].replace(",", ""))


def ring(page) -> None:
    box = pad(page).bounding_box()
    x, y, radius = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"] / 3
    page.mouse.move(x + radius, y)
    page.mouse.down()
    for i in range(1, 41):
        page.mouse.move(x + radius * math.cos(i * math.pi / 20), y + radius * math.sin(i * math.pi / 20))
    page.mouse.up()


def sentence(page) -> str:
    return page.locator(".st-key-sentence").inner_text()


def start_button(page):
    return page.get_by_role("button", name=re.compile("^Start"))


def test_a_drawing_by_mouse_trains(page):
    choose(page, "draw")
    wait_for(lambda: "Draw at least 16 points" in sentence(page), 10)
    assert start_button(page).is_disabled()
    ring(page)
    first = count(page)
    assert first > 200
    wait_for(lambda: "This is the data" in sentence(page), 10)
    box = pad(page).bounding_box()
    page.mouse.move(box["x"] + 150, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + 170, box["y"] + 150, steps=5)
    page.mouse.up()
    assert count(page) > first
    page.get_by_role("button", name="Undo stroke").click()
    wait_for(lambda: count(page) == first, 5)
    # Python has it: the pad is made anew when it is opened again.
    page.keyboard.press("Escape")
    page.locator("output").wait_for(state="detached", timeout=PATIENCE)
    page.get_by_role("button", name="Draw points").click()
    pad(page)
    wait_for(lambda: count(page) == first, 10)
    page.keyboard.press("Escape")
    assert re.search(r"dataset=draw", url(page))
    assert len(url(page)) < 200
    press(page, "Start")
    wait_for(lambda: status(page)[0] == "RUNNING" and status(page)[1] > 0, 120)
    # A tab that is loaded anew finds its points with its run.
    page.reload()
    drawn_fully(page)
    press(page, "Stop training")
    wait_for(lambda: status(page)[0] == "STOPPED", 10)
    wait_for(lambda: not start_button(page).is_disabled(), 10)
    page.get_by_role("button", name="Draw points").click()
    pad(page)
    wait_for(lambda: count(page) == first, 10)


def test_the_pad_works_by_finger_and_by_keys(page):
    choose(page, "draw")
    box = pad(page).bounding_box()
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": box["x"] + x, "y": box["y"] + y} for x, y in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    touch("touchStart", (60, 60))
    for i in range(1, 11):
        touch("touchMove", (60 + 10 * i, 60 + 10 * i))
    touch("touchEnd")
    wait_for(lambda: count(page) > 30, 5)
    by_finger = count(page)
    canvas = pad(page)
    canvas.focus()
    for key in ("ArrowRight", "ArrowUp", "Space"):
        canvas.press(key)
    wait_for(lambda: count(page) > by_finger, 5)
    for name in ("Undo stroke", "Clear"):
        page.get_by_role("button", name=name).focus()
        page.keyboard.press("Enter")
    wait_for(lambda: count(page) == 0, 5)
    wait_for(lambda: "Draw at least 16 points" in sentence(page), 10)


def test_the_pad_is_full_at_five_thousand(page):
    choose(page, "draw")
    box = pad(page).bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    for i in range(1, 40):
        page.mouse.move(box["x"] + (20 if i % 2 else 270), box["y"] + 20 + 6 * i)
    page.mouse.up()
    assert count(page) == 5000
    wait_for(lambda: "This is the data" in sentence(page), 10)


def test_files_good_and_bad(page, tmp_path):
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("x,y\n" + "".join(f"{i},{i * i}\n" for i in range(40)))
    bad.write_text("1,2,3\n" * 40)
    choose(page, "upload")
    wait_for(lambda: "Upload a csv" in sentence(page), 10)
    page.locator("input[type=file]").set_input_files(bad)
    page.get_by_text("bad.csv: line 1 has 3 columns, expected 2 separated by a comma").wait_for(
        timeout=PATIENCE
    )
    assert start_button(page).is_disabled()
    page.locator("input[type=file]").set_input_files(good)
    page.get_by_text("good.csv: 40 points").wait_for(timeout=PATIENCE)
    wait_for(lambda: "This is the data" in sentence(page), 10)
    assert not start_button(page).is_disabled()


def test_the_mixture_is_shared_by_its_address(page, visit):
    choose(page, "mixture")
    slider = page.get_by_role("slider", name="Modes")
    slider.focus()
    for _ in range(3):
        slider.press("ArrowRight")
    wait_for(lambda: "mix_modes=8" in url(page), 10)
    other = visit()
    other.goto(url(page))
    drawn_fully(other)
    other.get_by_role("button", name="Edit the mixture").click()
    other.get_by_role("slider", name="Modes").wait_for(timeout=PATIENCE)
    assert "8" in other.locator(".st-key-mix_modes").inner_text()


def test_on_a_phone_nothing_moves_sideways(visit, server):
    page = visit(viewport=PHONE, has_touch=True)
    arrive(page, server.address)
    choose(page, "draw")
    box = pad(page).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert page.locator("h1").bounding_box()["x"] >= 0
    ring(page)
    wait_for(lambda: "This is the data" in sentence(page), 10)
    for square in page.locator(".st-key-squares .stVegaLiteChart :is(canvas, svg.marks)").all():
        box = square.bounding_box()
        assert box["x"] + box["width"] <= 390
        assert abs(box["width"] - box["height"]) <= 2
