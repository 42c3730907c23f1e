"""Every page that the router finds: open to all, free of errors, light and dark, wide and narrow."""

import pytest

from toylab.ui import router

from .accessibility import violations
from .visiting import PHONE, check, overflow, settle


def address_of(module) -> str:
    """Where a page is; the first has no path of its own."""
    first = module is router.modules()[0]
    return "" if first else router.name_of(module)


PAGES = {module.TITLE: address_of(module) for module in router.modules()}


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
@pytest.mark.parametrize("title", PAGES)
def test_a_page_is_open_to_all(server, visit, title, scheme):
    page = visit(color_scheme=scheme)
    page.goto(f"{server.address}/{PAGES[title]}")
    settle(page)
    check(page)
    assert page.get_by_role("heading", level=1).count() == 1
    assert violations(page) == []
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(400)
    assert overflow(page)[1] == 0, "a phone scrolls sideways"
