"""Finds the pages: every module of `toylab.ui.pages` that has a title, in their order."""

import importlib
import pkgutil
from types import ModuleType

import streamlit as st

from toylab.ui import pages, shelf
from toylab.ui.guard import guarded


def modules() -> list[ModuleType]:
    """The page modules, in the order of their ORDER."""
    found = [
        importlib.import_module(f"{pages.__name__}.{item.name}")
        for item in pkgutil.iter_modules(pages.__path__)
    ]
    return sorted((module for module in found if hasattr(module, "TITLE")), key=lambda module: module.ORDER)


def styles() -> list[str]:
    """The style sheets that pages bring along as ``STYLE``."""
    return [module.STYLE for module in modules() if hasattr(module, "STYLE")]


def run() -> None:
    """Show the navigation (once there is something to navigate) and the current page."""
    shelf.gather()
    found = modules()
    entries = [
        st.Page(
            guarded(module.render),
            title=module.TITLE,
            url_path=module.__name__.rsplit(".", 1)[1],
            default=index == 0,
        )
        for index, module in enumerate(found)
    ]
    st.navigation(entries, position="top" if len(entries) > 1 else "hidden").run()
