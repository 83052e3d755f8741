"""What the toolkit asks of the operating system in one way everywhere: its one cache folder, and how many CPUs it has.

The cache folder ``fer-edge-toolkit`` holds everything that the toolkit keeps without an explicit path: the face
detector's file, decoded data sets, and what Keras and Matplotlib would else put into folders of their own. Deleting it
is always safe.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fer_edge.errors import UsageError
from fer_edge.logs import LOG

__all__ = [
    "FORMER_NAME",
    "NAME",
    "cache_folder",
    "can_write",
    "places_to_look",
    "temporary_folder",
    "usable_cpus",
    "usual_cache_folder",
]

NAME: Final[str] = "fer-edge-toolkit"
FORMER_NAME: Final[str] = "fer-edge"
"""Where version 0.1.0 kept the face detector's file; still looked into."""


def usable_cpus() -> int:
    """Number of CPUs that this process may run on, 1 or more.

    Returns:
        The affinity mask's count on Linux, elsewhere all CPUs.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_folder() -> Path:
    """The folder to write caches into; it need not exist yet.

    That is ``fer-edge-toolkit`` in ``$XDG_CACHE_HOME``, else in the system's place: ``~/.cache``, on macOS
    ``~/Library/Caches``, on Windows ``%LOCALAPPDATA%``. Where that cannot be made or written, it is a private
    folder in the temporary one, with one warning per process.

    Returns:
        Path of the folder.

    Raises:
        UsageError: the temporary folder cannot be used either.
    """
    usual = usual_cache_folder()
    if usual is not None and can_write(usual):
        return usual
    folder = temporary_folder()
    _warn_once(usual, folder)
    return folder


def usual_cache_folder() -> Path | None:
    """The cache folder after the custom of the system, writable or not; None for a user without a home folder.

    Returns:
        Path of the folder, None where there is none.
    """
    base = _base()
    return None if base is None else base / NAME


def places_to_look(name: str) -> Iterator[Path]:
    """Paths at which the cached file ``name`` may lie, the best first; for reading only.

    A filled cache that cannot be written (in a container image, say) still serves, and so do the folder's former name
    and the private temporary folder.

    Args:
        name: of the cached file.

    Returns:
        Paths, whether or not there is a file.
    """
    base = _base()
    if base is not None:
        yield base / NAME / name
        yield base / FORMER_NAME / name
    if base is None or not can_write(base / NAME):
        with contextlib.suppress(UsageError):
            yield temporary_folder() / name


def can_write(folder: Path) -> bool:
    """Whether files can be made in ``folder``, after making the folder itself where it does not exist.

    Args:
        folder: need not exist.

    Returns:
        True where it can be written, or made and then written.
    """
    try:
        for place in (folder, *folder.parents):
            if place.exists() or place.is_symlink():  # nor can a folder be made in place of a broken link
                return place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    except OSError:  # a component that may not be entered, or is too long
        return False
    return False


def _base() -> Path | None:
    # A relative path in it is to be ignored: XDG Base Directory Specification 0.8.
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if chosen.is_absolute():
        return chosen
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local)
    home = _home()
    if home is None:
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    return home / "AppData" / "Local" if sys.platform == "win32" else home / ".cache"


def _home() -> Path | None:
    """The user's home folder; None for a user id that the system does not know, without ``HOME``."""
    if os.environ.get("HOME") == "":  # Python would take "/"
        return None
    try:
        home = Path.home()
    except (RuntimeError, KeyError):
        return None
    return home if home.is_absolute() else None


def temporary_folder() -> Path:
    """A folder of this user in the temporary one; made at once, so that nobody else can put anything there first.

    Returns:
        Path of the folder; on POSIX it exists and belongs to this user alone.

    Raises:
        UsageError: it cannot be made, or somebody else has put something there.
    """
    import tempfile  # late: rarely needed, and with shutil and random behind it

    if not hasattr(os, "getuid"):
        return Path(tempfile.gettempdir()) / NAME  # Windows: already the user's own
    try:
        folder = Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise UsageError(
            f"no folder for caches: neither the home folder nor the temporary one can be written ({error.strerror}); "
            "set XDG_CACHE_HOME to one that can"
        ) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise UsageError(
            f"no folder for caches: {folder} belongs to somebody else, or others may write it; "
            "set XDG_CACHE_HOME to a folder of your own"
        )
    return folder


@functools.cache
def _warn_once(usual: Path | None, folder: Path) -> None:
    reason = "there is no home folder" if usual is None else f"{usual} cannot be written"
    LOG.warning("%s: caches go to %s (XDG_CACHE_HOME chooses another place)", reason, folder)
