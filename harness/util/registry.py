"""Implementations by name, each imported when it is first asked for."""

from __future__ import annotations

import importlib
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Registry(Generic[T]):
    """What the experiment file can name, one row each: a name, and where its object is, as "module:attribute".

    A row is a string, as in a package's entry points, so that listing the engines imports none of them and no package
    has to import one above it.
    """

    def __init__(self, rows: dict[str, str]) -> None:
        self._rows = rows

    def names(self) -> tuple[str, ...]:
        return tuple(self._rows)

    def get(self, name: str) -> T:
        """The object with this name. Raises KeyError if it is not registered."""
        module, _, attribute = self._rows[name].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def register(self, name: str, place: str) -> None:
        """Add a row. Raises ValueError if the name is taken: results of the two would be confused."""
        if name in self._rows:
            raise ValueError(f"{name!r} is registered already, as {self._rows[name]}")
        self._rows[name] = place

    def unregister(self, name: str) -> None:
        del self._rows[name]

    def all(self) -> list[tuple[str, Any]]:
        """Every name with its object."""
        return [(name, self.get(name)) for name in self._rows]
