"""Finds and shows the pages: every package of `toylab.ui.pages` has a module `page`, whether or not it has others.

A page module has TITLE, ORDER and render(), and may have STYLE, its style sheet.
"""

import importlib
import pkgutil
from types import ModuleType

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from toylab.ui import pages, session
from toylab.ui.charts import theme
from toylab.ui.runs import shelf
from toylab.ui.widgets import thumbnails
from toylab.ui.widgets.parts import guarded


def modules() -> list[ModuleType]:
    """The page modules, in the order of their ORDER."""
    found = [
        importlib.import_module(f"{pages.__name__}.{item.name}.page")
        for item in pkgutil.iter_modules(pages.__path__)
    ]
    return sorted(found, key=lambda module: module.ORDER)


def name_of(module: ModuleType) -> str:
    """Name of a page in the address."""
    return module.__name__.split(".")[-2]


def entries() -> dict[str, StreamlitPage]:
    """The pages by name, as the navigation knows them; the first one is the default."""
    return {
        name_of(module): st.Page(
            guarded(module.render), title=module.TITLE, url_path=name_of(module), default=index == 0
        )
        for index, module in enumerate(modules())
    }


def run() -> None:
    """Show the navigation (where there is more than one page) and the current page."""
    sheets = [module.STYLE for module in modules() if hasattr(module, "STYLE")]
    theme.apply(thumbnails.style_sheet(), *sheets)
    shelf.gather()
    found = entries()
    session.set_pages(found)
    st.navigation(list(found.values()), position="top" if len(found) > 1 else "hidden").run()
