"""Names of a package that are loaded when they are first used, so that importing the package costs nothing."""

from __future__ import annotations

import importlib
import sys

TYPE_CHECKING = False  # typing's own takes longer to import than all that is here

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

__all__ = ["lazy_names"]


def lazy_names(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The module functions ``__getattr__`` and ``__dir__`` (PEP 562) of a package that hands on names lazily.

    Type checkers do not read them: the package imports the same names under ``TYPE_CHECKING``.

    Args:
        package: ``__name__`` of the package.
        homes: ``{name: full name of the module that defines it}``.

    Returns:
        ``(__getattr__, __dir__)``. The former raises :class:`AttributeError` for a name that is not in ``homes``, and
        :class:`fer_edge.errors.MissingDependencyError` when a package, or a library of the system that one needs, is
        missing.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from fer_edge.missing import explained

        with explained():
            value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)  # the next look-up finds it without coming here
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return load, names
