"""Loaded by every Python that has this folder in ``PYTHONPATH``: makes a poorer machine out of this one.

``FER_TEST_HIDE``: top-level modules, separated by blanks, that shall look as if they were not installed.
``FER_TEST_NETWORK``: a file; the network is gone, and every address that was asked for is written there, one a line.
``FER_TEST_NOBODY``: the user id has no entry in the list of users.
"""

import os
import sys


class _Hiding:
    """A finder that finds all but some."""

    def __init__(self, finder, hidden):
        self._finder, self._hidden = finder, hidden

    def __getattr__(self, name):
        return getattr(self._finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in self._hidden else self._finder.find_spec(name, path, target)


def _is_here(host):
    return host is None or str(host).startswith(("127.", "localhost", "::1")) or str(host) == ""


def _hook(event, given):
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

    def _unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    pwd.getpwuid = _unknown
