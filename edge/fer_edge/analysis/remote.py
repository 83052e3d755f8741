"""Files at addresses that fsspec knows, such as ``s3://bucket/clips/``: listed here, copied where they are read."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final

from fer_edge.errors import MissingDependencyError, SourceError, UsageError
from fer_edge.redact import redact_address

__all__ = ["is_address", "list_address", "local_copy"]

_CHUNK: Final[int] = 1 << 22


def is_address(name: str) -> bool:
    """Whether a name is an address, not a path.

    Args:
        name: as the user gave it.

    Returns:
        True for ``scheme://...``.
    """
    return "://" in name and not Path(name).exists()


def list_address(address: str) -> list[tuple[str, int]]:
    """The files at an address: itself, those that its pattern names, or all below it.

    Args:
        address: of a file, a folder or a pattern.

    Returns:
        ``(address, size in bytes)`` of each, sorted; empty for an empty folder.

    Raises:
        UsageError: there is nothing, or it cannot be reached.
        MissingDependencyError: fsspec, or its package for this scheme, is not installed.
    """
    shown = redact_address(address)
    system, path = _system(address)
    try:
        if any(letter in path for letter in "*?["):
            sizes = {name: info for name, info in system.glob(path, detail=True).items() if info["type"] == "file"}
        elif system.isfile(path):
            return [(address, int(system.size(path) or 0))]
        else:
            sizes = system.find(path, detail=True)
            if not sizes and not system.isdir(path):
                raise UsageError(f"there is nothing at {shown}; expected a file, a folder or a pattern")
    except (OSError, ValueError) as error:  # fsspec: FileNotFoundError, PermissionError, or of the package behind it
        raise UsageError(f"{shown} cannot be listed: {error}") from error
    return [(system.unstrip_protocol(name), int(info.get("size") or 0)) for name, info in sorted(sizes.items())]


@contextmanager
def local_copy(location: str) -> Iterator[Path]:
    """The file at a path or address, as a path; a copy is removed afterwards.

    Args:
        location: an absolute path, or an address.

    Yields:
        Where to read it.

    Raises:
        SourceError: it cannot be read.
        MissingDependencyError: fsspec, or its package for this scheme, is not installed.
    """
    if not is_address(location):
        path = Path(location)
        if not path.is_file():
            raise SourceError(f"{location} is not here; all machines need it under the same path")
        yield path
        return
    system, remote = _system(location)
    with tempfile.TemporaryDirectory(prefix="fer-analyze-") as folder:
        own = Path(folder) / (PurePosixPath(remote).name or "file")  # some kinds of file are known by their names alone
        try:
            with system.open(remote, "rb") as source, own.open("wb") as copy:
                shutil.copyfileobj(source, copy, _CHUNK)
        except (OSError, ValueError) as error:
            raise SourceError(f"{redact_address(location)} cannot be read: {error}") from error
        yield own


def _system(address: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise MissingDependencyError.for_extra("fsspec", "cluster") from error
    shown, scheme = redact_address(address), address.partition("://")[0]
    try:
        return fsspec.core.url_to_fs(address)  # type: ignore[no-any-return]
    except ImportError as error:
        if scheme in ("s3", "s3a"):
            raise MissingDependencyError.for_extra("s3fs", "cluster") from error
        raise MissingDependencyError(f"{shown}: {error}") from error
    except ValueError as error:
        raise UsageError(f"{shown} is no address that is read: {error}") from error
