"""Files written whole or not at all, their checksums, and how a text is encoded."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

__all__ = [
    "atomic_path",
    "ffmpeg_name",
    "sha256_of",
    "text_encoding",
    "unused_path",
    "why_read_only",
    "write_bytes",
    "write_text",
    "write_together",
]

_STALE_S: Final[float] = 10.0
"""A temporary file of a dead process that was not written to for longer than this is a leftover."""


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is flushed to disk and renamed, on failure removed.

    A reader therefore sees the old file or the new one, never half of one, also after a power cut. The temporary name
    keeps the suffix of ``path``, because several libraries choose a format by it; one that needs another ending may add
    it to the temporary name without its suffix, and what it leaves under such names is removed, too.

    Args:
        path: the file to write; its folder is made where it does not exist.

    Yields:
        The temporary path to write to.
    """
    destination = Path(path)
    destination.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(destination)
    temporary = _temporary_name(destination)
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(destination)
    finally:
        _remove_leftovers(destination, of_ours=True)


def ffmpeg_name(path: str | os.PathLike[str]) -> str:
    """The name under which FFmpeg takes a path for a file: it reads ``12:30:05.mp4`` as an address of the scheme 12.

    Args:
        path: a file, by any name.

    Returns:
        The absolute path.
    """
    return str(Path(path).absolute())


def unused_path(path: str | os.PathLike[str]) -> Path:
    """``path`` if nothing has this name yet, else ``NAME-1.SUFFIX`` (2, 3, ...).

    Args:
        path: the name wished for.

    Returns:
        A path that does not exist.
    """
    free = asked = Path(path)
    number = 0
    while os.path.lexists(free):
        number += 1
        free = asked.with_name(f"{asked.stem}-{number}{asked.suffix}")
    return free


def why_read_only(path: str | os.PathLike[str]) -> str | None:
    """Why nothing can be written to ``path``, or into it where it is a folder.

    Args:
        path: a file or folder that exists.

    Returns:
        ``read-only file system``, ``permission denied``, or None where it can be written.
    """
    if os.access(path, os.W_OK):
        return None
    with contextlib.suppress(OSError, AttributeError):  # Windows has no statvfs
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            return "read-only file system"
    return "permission denied"


def write_together(folder: str | os.PathLike[str], files: Sequence[tuple[str, bytes]]) -> list[Path]:
    """Write several files that belong together: all contents first, then all names, in their order.

    So a full disk leaves the earlier set as it was. Only a kill between two renames can leave files of both sets, each
    whole: put last what tells that the set is complete. Returns the paths.

    Args:
        folder: is made where it does not exist.
        files: ``(name, content)`` of each file; names may have folders before them.

    Returns:
        The paths, in the order of ``files``.
    """
    destinations = [Path(folder) / name for name, _ in files]
    temporaries = [_temporary_name(destination) for destination in destinations]
    Path(folder).mkdir(parents=True, exist_ok=True)
    try:
        for destination, temporary, (_, content) in zip(destinations, temporaries, files, strict=True):
            destination.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(destination)
            temporary.write_bytes(content)
            _flush(temporary)
        for destination, temporary in zip(destinations, temporaries, strict=True):
            temporary.replace(destination)
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)
    return destinations


def _temporary_name(destination: Path) -> Path:
    return destination.with_name(f".{destination.stem}.{os.getpid()}.tmp{destination.suffix}")


def _flush(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def _remove_leftovers(destination: Path, *, of_ours: bool = False) -> None:
    """Remove temporary files of ``destination``: ours, or of killed processes, which would stay forever."""
    start, mark = f".{destination.stem}.", ".tmp"
    with contextlib.suppress(OSError), os.scandir(destination.parent) as entries:
        for entry in entries:
            number, marked, ending = entry.name[len(start) :].partition(mark)
            # The same stem with another suffix is another destination.
            fits = ending.endswith(destination.suffix) if destination.suffix else not ending
            if not (marked and fits and entry.name.startswith(start) and number.isdecimal()):
                continue
            with contextlib.suppress(OSError):
                if int(number) == os.getpid() if of_ours else _is_left_over(int(number), entry):
                    Path(entry.path).unlink()


def _is_left_over(process: int, entry: os.DirEntry[str]) -> bool:
    if os.name != "posix":  # elsewhere nobody can be asked whether a process lives
        return False
    return not _lives(process) and time.time() - entry.stat().st_mtime > _STALE_S


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        pass
    return True


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write ``content`` to ``path`` atomically.

    Args:
        path: the file.
        content: all of it.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Write ``content`` to ``path`` atomically, as UTF-8.

    Args:
        path: the file.
        content: all of it.
    """
    write_bytes(path, content.encode())


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content as 64 hexadecimal digits.

    Args:
        path: the file.

    Returns:
        The digest in lower case.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def text_encoding(head: bytes) -> str:
    """How a text file is encoded, by its first bytes: spreadsheets and PowerShell's ``>`` write UTF-16.

    Args:
        head: the beginning of the file, two bytes or more.

    Returns:
        A name for :meth:`bytes.decode` that takes a byte order mark away: ``utf-16``; ``utf-16-le`` or ``utf-16-be``
            for ASCII in UTF-16 without a mark; else ``utf-8-sig``.
    """
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if head[1:2] == b"\0":
        return "utf-16-le"
    return "utf-16-be" if head[:1] == b"\0" else "utf-8-sig"
