"""Zip archives from strangers: opened with one-line errors, refused when they try to leave their folder."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from fer_edge.errors import DataError

__all__ = [
    "DAMAGED_MEMBER",
    "check_members",
    "check_size",
    "directory_digest",
    "extract_member",
    "open_zip",
    "read_member",
    "refuse_climbing",
    "too_large",
]

_END_RECORD: Final[int] = 22
_LONGEST_TAIL: Final[int] = _END_RECORD + 0xFFFF  # the record that ends an archive, and its comment

DAMAGED_MEMBER: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)
"""What reading a damaged, encrypted or exotic member raises."""


def open_zip(path: str | os.PathLike[str]) -> zipfile.ZipFile:
    """Open a zip archive for reading.

    Args:
        path: the file.

    Returns:
        The archive, to be closed.

    Raises:
        DataError: it is not a zip archive, or is truncated.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a zip archive or is truncated ({error}); download it again") from error
    if not all(info.filename for info in archive.filelist):  # zipfile itself stumbles over them
        archive.close()
        raise DataError(f"{path} is damaged (a member without a name); download it again")
    return archive


def directory_digest(path: Path) -> str | None:
    """SHA-256 of an archive's central directory, which holds name, size and CRC-32 of every member.

    It identifies the content without listing the members, in constant memory.

    Args:
        path: the archive.

    Returns:
        The digest in hexadecimal digits. None when the directory is not found at the usual place (a truncated archive,
            or one of more than 4 GiB).
    """
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        size = handle.seek(0, os.SEEK_END)
        tail_start = max(0, size - _LONGEST_TAIL)
        handle.seek(tail_start)
        tail = handle.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) - at < _END_RECORD:
            return None
        (length,) = struct.unpack_from("<I", tail, at + 12)
        start = tail_start + at - length
        if length in (0, 0xFFFFFFFF) or start < 0:
            return None
        handle.seek(start)
        first = handle.read(min(length, 1 << 20))
        if not first.startswith(b"PK\x01\x02"):
            return None
        digest.update(first)
        left = length - len(first)
        while left > 0 and (block := handle.read(min(left, 1 << 20))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Content of a member, never more than its declared size, checked against its CRC.

    It raises one of :data:`DAMAGED_MEMBER`.

    Args:
        archive: the archive, open.
        info: the member.

    Returns:
        All of its bytes.
    """
    with archive.open(info) as handle:
        # A length keeps zipfile from inflating beyond it, which a plain read() of a lying member would do.
        content = handle.read(info.file_size) if info.file_size else b""
    if len(content) != info.file_size:
        raise EOFError("shorter than declared")
    return content


def refuse_climbing(name: str, where: str | os.PathLike[str]) -> None:
    """Refuse a member whose path leaves the folder that it is unpacked to.

    Args:
        name: path of a member.
        where: the archive, for messages.

    Raises:
        DataError: the path is absolute, climbs, or could on another system.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in "".join(path.parts[:1]):
        raise DataError(f"{where}: refused, the member {name!r} has a path that climbs out")


def too_large(where: str | os.PathLike[str], size: int, max_bytes: int) -> DataError:
    """The error for an archive that unpacks to too much.

    Args:
        where: the archive, for messages.
        size: bytes that it unpacks to.
        max_bytes: the most bytes that it may unpack to.

    Returns:
        The error, to be raised.
    """
    return DataError(
        f"{where}: refused, it unpacks to {size / 1e9:.1f} GB, more than {max_bytes / 1e9:.1f}; "
        "raise the limit with --max-size"
    )


def check_members(infos: Iterable[zipfile.ZipInfo], where: str | os.PathLike[str]) -> None:
    """Refuse archives with links or climbing paths.

    Args:
        infos: members.
        where: the archive, for messages.

    Raises:
        DataError: a member is a link, or its path leaves the archive's folder.
    """
    for info in infos:
        refuse_climbing(info.orig_filename, where)
        refuse_climbing(info.filename, where)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise DataError(f"{where}: refused, the member {info.filename!r} is a link")


def check_size(infos: Iterable[zipfile.ZipInfo], where: str | os.PathLike[str], max_bytes: int) -> None:
    """Refuse an archive that unpacks to more than a limit.

    Args:
        infos: members.
        where: the archive, for messages.
        max_bytes: the most bytes that it may unpack to.

    Raises:
        DataError: the archive says that it unpacks to more.
    """
    total = sum(info.file_size for info in infos)
    if total > max_bytes:
        raise too_large(where, total, max_bytes)


def extract_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, to: Path, where: str | os.PathLike[str]) -> None:
    """Unpack one member to the file ``to``, in pieces and never beyond its declared size.

    Args:
        archive: the archive, open.
        info: the member.
        to: the file to write.
        where: the archive, for messages.

    Raises:
        DataError: the member is damaged.
    """
    left = info.file_size
    try:
        with archive.open(info) as member, to.open("wb") as output:
            while left > 0 and (piece := member.read(min(left, 1 << 20))):
                output.write(piece)
                left -= len(piece)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{where}: {info.filename} is damaged ({error}); download it again") from error
    if left:
        raise DataError(f"{where}: {info.filename} is shorter than declared; download it again")
