"""Finds the pages: every package of `toylab.ui.pages` has a module `page` with TITLE, ORDER and render()."""

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType, ModuleType

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from toylab.ui import pages
from toylab.ui.runs import shelf
from toylab.ui.widgets.guard import guarded


def modules() -> list[ModuleType]:
    """The page modules, in the order of their ORDER."""
    found = [
        importlib.import_module(f"{pages.__name__}.{item.name}.page")
        for item in pkgutil.iter_modules(pages.__path__)
    ]
    return sorted((module for module in found if hasattr(module, "TITLE")), key=lambda module: module.ORDER)


def name_of(module: ModuleType) -> str:
    """What the address calls a page."""
    return module.__name__.split(".")[-2]


def entries() -> dict[str, StreamlitPage]:
    """The pages by name, as the navigation knows them; the first one is the default."""
    return {
        name_of(module): st.Page(
            guarded(module.render), title=module.TITLE, url_path=name_of(module), default=index == 0
        )
        for index, module in enumerate(modules())
    }


def go(name: str, query: Mapping[str, str] = MappingProxyType({})) -> None:
    """Show another page, with these parameters in its address.

    From the script of a page, never from a fragment: the browser would get a page that it cannot draw, and go blank.
    """
    st.switch_page(entries()[name], query_params=dict(query))


def styles() -> list[str]:
    """The style sheets that pages bring along as ``STYLE``."""
    return [module.STYLE for module in modules() if hasattr(module, "STYLE")]


def run() -> None:
    """Show the navigation (once there is something to navigate) and the current page."""
    shelf.gather()
    pages = list(entries().values())
    st.navigation(pages, position="top" if len(pages) > 1 else "hidden").run()
