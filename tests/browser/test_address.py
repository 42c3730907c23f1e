"""The address: whatever it says the page is a good one, and it says all that a run needs (app.md 3.6, checks 5, 6)."""

import contextlib
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest

from toylab.ui import settings

from .lab import arrive, beta, choose, drawn_fully, press, state
from .visiting import check, url, visitors
from .waiting import wait_for

HOSTILE = [
    "beta=7",
    "beta=nan",
    "beta=1e400",
    "beta=0.123456",
    "beta=abc&beta=0.5",
    "steps=1000000000",
    "width=XXL",
    "dataset=<script>alert(1)</script>",
    "dataset=two_moons&dataset=swiss_roll",
    "proxy=../../etc/passwd",
    "lr=nan",
    "seed=99999999999999999999",
    "batch=%00&gap=2&equal=-3",
    "run=0123456789abcdef",
    "run=<img src=x onerror=alert(1)>",
    "no_such_setting=1&embed_options=none",
    "beta=1e400&steps=999999999&dataset=<script>alert(1)</script>&lr=nan&seed=-1&width=XXL",
]


@pytest.fixture(scope="module")
def wanderer(browser):
    """One page for all addresses: what each leaves behind is part of the test."""
    with visitors(browser) as visit:
        yield visit()


@pytest.mark.parametrize("query", HOSTILE)
def test_a_hostile_address_is_a_normal_page(server, wanderer, query):
    arrive(wanderer, server.address, query)
    check(wanderer)
    assert state(wanderer) in {"STORED RUN", "READY"}
    assert settings.snap_beta(beta(wanderer)) == beta(wanderer)
    assert settings.BETA_MIN <= beta(wanderer) <= settings.BETA_MAX
    assert 0 <= int(wanderer.get_by_label("Seed").input_value()) <= settings.MAX_SEED
    assert wanderer.locator(".st-key-picker").get_by_role("radio", checked=True).count() == 1
    assert "<script>" not in wanderer.locator(".stMain").inner_text()


def test_the_address_keeps_what_it_means(server, visit):
    page = visit()
    page.goto(f"{server.address}/?dataset=two_moons&beta=0.333")
    for seed in ("3", "4"):
        drawn_fully(page)
        assert page.get_by_role("radio", name="two moons").is_checked()
        assert "β = 0.35" in page.locator(".st-key-square_chosen").inner_text()
        assert "0.35" in page.locator(".st-key-beta_box").inner_text()
        # Whatever is touched then: the address still says so, and a reload shows it.
        page.get_by_label("Seed").fill(seed)
        page.keyboard.press("Enter")
        wait_for(lambda seed=seed: query(page).get("seed") == [seed], 10)
        assert query(page)["dataset"] == ["two_moons"]
        assert settings.snap_beta(query(page)["beta"][0]) == 0.35
        page.reload()


@pytest.mark.slow
def test_a_shared_address_trains_the_same_run(server, visit):
    first = visit()
    arrive(first, server.address, "width=32&batch=64")
    first.get_by_role("radio", name="two moons").check(force=True)
    wait_for_query(first, dataset="two_moons", width="32")
    slider = first.get_by_role("slider", name="Coefficient")
    slider.focus()
    for _ in range(4):
        slider.press("ArrowLeft")
    wait_for_query(first, beta="0.8")
    first.get_by_label("Seed").fill("7")
    first.keyboard.press("Enter")
    wait_for_query(first, seed="7")
    choose(first, "Steps", "1000")
    wait_for_query(first, dataset="two_moons", beta="0.8", seed="7", steps="1000", width="32")
    shared = url(first)
    second = visit()
    second.goto(shared)
    drawn_fully(second)
    assert second.get_by_role("radio", name="two moons").is_checked()
    assert beta(second) == beta(first) == 0.8
    assert second.get_by_label("Seed").input_value() == "7"
    assert value_of(second, "Steps") == value_of(first, "Steps") == "1000"
    losses = [last_loss(server, page) for page in (first, second)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def query(page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url(page)).query)


def wait_for_query(page, **expected: str) -> None:
    """Wait until the address holds these settings; an error shows what it holds."""
    with contextlib.suppress(AssertionError):
        wait_for(lambda: expected.items() <= first_values(page).items(), 20)
    found = first_values(page)
    assert {name: found.get(name) for name in expected} == expected


def first_values(page) -> dict[str, str]:
    return {name: values[0] for name, values in query(page).items()}


def value_of(page, label: str) -> str:
    return page.get_by_role("combobox", name=label, exact=True).input_value()


def last_loss(server, page) -> float:
    """Train to the end, save, and read the loss of the chosen lane at the last step, with all its digits."""
    press(page, "Start")
    wait_for(lambda: state(page) == "DONE", 90)
    press(page, "Save run")
    folder = page.get_by_role("dialog").locator("code").first.inner_text().splitlines()[0]
    return float(pd.read_csv(server.folder / folder / "history.csv")["loss"].iloc[-1])
