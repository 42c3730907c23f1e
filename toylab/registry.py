"""Registries: a registry maps a name to the callable that builds the member.

A family (datasets, methods, proxies, ...) is a package whose modules register its members. The first look-up imports
every module of the package, so that a new file that registers itself is at once a choice of the command line, of the
app and of the shared conformance tests. No list of names has to be edited.
"""

import importlib
import inspect
import math
import numbers
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Build = TypeVar("Build", bound=Callable[..., Any])  # a class stays that class


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One registered member: its builder, the citation of its source, and a summary of one line."""

    name: str
    build: Callable[..., T]
    citation: str
    summary: str


class Registry(Generic[T]):
    """A family of members by name, registered by the modules of ``package``.

    Args:
        kind: singular noun for error messages, for example ``"dataset"``.
        package: dotted name of the package whose modules register the members.
    """

    def __init__(self, kind: str, package: str):
        self.kind = kind
        self._package = package
        self._entries: dict[str, Entry[T]] = {}
        self._discovered = False

    def register(self, name: str, citation: str = "") -> Callable[[Build], Build]:
        """Register the decorated class or function under ``name``; ``citation`` is a key of references.bib."""

        def decorate(build: Build) -> Build:
            if name in self._entries and self._entries[name].build.__module__ != build.__module__:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            summary = (inspect.getdoc(build) or "").split("\n", 1)[0]
            self._entries[name] = Entry(name, build, citation, summary)
            return build

        return decorate

    def _discover(self) -> None:
        if self._discovered:
            return
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{module.name}")
        self._discovered = True

    def names(self) -> list[str]:
        """Every registered name, sorted."""
        self._discover()
        return sorted(self._entries)

    def entry(self, name: str) -> Entry[T]:
        """The entry called ``name``.

        Raises:
            ValueError: no such member; the message names the choices.
        """
        self._discover()
        if name not in self._entries:
            raise ValueError(f"unknown {self.kind} {name!r}; choices: {', '.join(self.names())}")
        return self._entries[name]

    def options(self, name: str) -> dict[str, Any]:
        """Options of ``name`` with their defaults; ``inspect.Parameter.empty`` for an option that is required."""
        parameters = inspect.signature(self.entry(name).build).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD}

    def create(self, name: str, options: Mapping[str, Any] | None = None) -> T:
        """Build the member called ``name`` with ``options``.

        Raises:
            ValueError: unknown name, unknown option, missing option or a bad value; one line that names the choices.
        """
        entry, options = self.entry(name), dict(options or {})
        known = self.options(name)
        if unknown := sorted(set(options) - set(known)):
            choices = ", ".join(sorted(known)) or "none"
            raise ValueError(f"unknown option {unknown[0]!r} of {self.kind} {name!r}; choices: {choices}")
        required = [key for key, default in known.items() if default is inspect.Parameter.empty]
        if missing := [key for key in required if key not in options]:
            raise ValueError(f"{self.kind} {name!r} needs the option {missing[0]!r}")
        for key, value in options.items():
            if _is_number(known[key]) and not _is_finite_number(value):
                raise ValueError(
                    f"{key} must be a finite number, got {value!r} (an option of {self.kind} {name!r})"
                )
        # Errors of the builder pass unchanged: its ValueErrors name the bad value, any other exception is a bug.
        return entry.build(**options)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_finite_number(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value)
