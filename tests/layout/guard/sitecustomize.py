"""Loaded by every Python that has this folder in ``PYTHONPATH``: makes a poorer machine out of this one.

``FER_TEST_HIDE``: top-level modules, separated by blanks, that shall look as if they were not installed.
``FER_TEST_NETWORK``: a file; the network is gone, and every address that was asked for is written there, one a line.
``FER_TEST_NOBODY``: the user id has no entry in the list of users.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any


class _Hiding:
    """A finder that finds all but some."""

    def __init__(self, finder: Any, hidden: frozenset[str]) -> None:
        self._finder, self._hidden = finder, hidden

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        return None if name.split(".", maxsplit=1)[0] in self._hidden else self._finder.find_spec(name, path, target)


def _is_here(host: object) -> bool:
    return host is None or str(host).startswith(("127.", "localhost", "::1")) or str(host) == ""


def _hook(event: str, given: tuple[Any, ...]) -> None:
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = given[0]
    elif event == "socket.connect" and isinstance(given[1], tuple):
        host = given[1][0]
    else:
        return
    if not _is_here(host):
        with open(os.environ["FER_TEST_NETWORK"], "a") as asked:  # noqa: PTH123
            asked.write(f"{host}\n")
        import socket

        raise socket.gaierror(-3, "Temporary failure in name resolution")


if os.environ.get("FER_TEST_HIDE"):
    sys.meta_path[:] = [_Hiding(finder, frozenset(os.environ["FER_TEST_HIDE"].split())) for finder in sys.meta_path]
if os.environ.get("FER_TEST_NETWORK"):
    sys.addaudithook(_hook)
if os.environ.get("FER_TEST_NOBODY"):
    import pwd

    def _unknown(uid: int) -> Any:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    pwd.getpwuid = _unknown
