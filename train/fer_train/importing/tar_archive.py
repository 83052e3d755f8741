"""Tar archives from strangers, plain or compressed: copied to a zip, which can be read in any order, or refused.

The same guards as for zips (:mod:`fer_train.data.zip_archive`): no path that climbs out, no link, a limit on the
unpacked size.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from fer_edge.errors import DataError
from fer_train.data.zip_archive import refuse_climbing, too_large

_MAGIC: Final[tuple[tuple[int, bytes, Callable[[Path], Any]], ...]] = (
    (0, b"\x1f\x8b", gzip.open),
    (0, b"BZh", bz2.open),
    (0, b"\xfd7zXZ\x00", lzma.open),
    (257, b"ustar", lambda path: path.open("rb")),
)
"""Offset, bytes there, and how to open such a file."""
_BLOCK: Final[int] = 512
_UTF16: Final[tuple[bytes, ...]] = (b"\xff\xfe", b"\xfe\xff")
_TEXT_ZEROS: Final[int] = _BLOCK // 2
"""Every second byte of UTF-16 may be zero."""
_PIECE: Final[int] = 1 << 20
_LARGEST_HEADER: Final[int] = 1 << 22
_LONGEST_NAME: Final[int] = 4096
_HEADERS: Final[int] = 4 * _BLOCK
"""Room for each member's headers and padding on top of its size."""
_DAMAGE: Final = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError, ValueError)


def tar_opener(path: Path) -> Callable[[Path], Any] | None:
    """How to open ``path`` as a stream of tar blocks; None when it is not a tar and nothing compressed like one."""
    with path.open("rb") as handle:
        head = handle.read(_BLOCK)
    for offset, magic, opener in _MAGIC:
        if head[offset:].startswith(magic):
            return opener
    return None


def is_packed_text(path: Path) -> bool:
    """Whether a compressed file holds text instead of a tar: a table that somebody packed by itself."""
    opener = tar_opener(path)
    if opener is None:
        return False
    try:
        with opener(path) as plain:
            head: bytes = plain.read(_BLOCK)
    except _DAMAGE:
        return False
    return bool(head) and b"\0" not in head.replace(b"\0", b"", _TEXT_ZEROS if head[:2] in _UTF16 else 0)


def unpack_text(path: Path, to: Path, where: str, max_bytes: int) -> None:
    """Write what a compressed file holds. Raises :class:`DataError` when it is damaged or holds too much."""
    opener = tar_opener(path)
    if opener is None:
        raise DataError(f"{where} is not compressed")
    written = 0
    try:
        with opener(path) as plain, to.open("wb") as output:
            while piece := plain.read(_PIECE):
                written += len(piece)
                if written > max_bytes:
                    raise too_large(where, written, max_bytes)
                output.write(piece)
    except _DAMAGE as error:
        raise DataError(f"{where} is damaged ({error}); download it again") from error


def repack_as_zip(path: Path, to: Path, where: str, max_bytes: int) -> None:
    """Copy the files of a ``.tar``, ``.tar.gz``, ``.tar.bz2`` or ``.tar.xz`` to an uncompressed zip at ``to``.

    Raises :class:`DataError` when it is not a tar, is truncated, holds links, devices or paths that climb out, or
    unpacks to more than ``max_bytes``. Then ``to`` is half written; whoever named it removes it.
    """
    opener = tar_opener(path)
    if opener is None:
        raise DataError(f"{where} is not a tar archive")
    try:
        with opener(path) as plain, zipfile.ZipFile(to, "w", zipfile.ZIP_STORED) as output:
            stream = _Stream(plain, where, max_bytes)
            with tarfile.open(fileobj=stream, mode="r:", errorlevel=1) as archive:  # type: ignore[call-overload]
                _copy_members(archive, output, where, max_bytes, stream)
            if stream.last.strip(b"\0") or len(stream.last) != _BLOCK:
                raise EOFError("it breaks off before its end mark")  # tarfile takes that for the end
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault, not the archive's
        raise DataError(f"{where} is not a tar archive or is damaged ({error}); download it again") from error


def _copy_members(archive: tarfile.TarFile, output: zipfile.ZipFile, where: str, max_bytes: int, stream: Any) -> None:
    total = 0
    for member in archive:
        refuse_climbing(member.name, where)
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            kind = "link" if member.issym() or member.islnk() else "device or sparse file"
            raise DataError(f"{where}: refused, the member {member.name!r} is a {kind}")
        if len(member.name) > _LONGEST_NAME:
            raise tarfile.ReadError(f"a name of {len(member.name)} letters")
        total += member.size
        stream.headers += _HEADERS
        if total > max_bytes:
            raise too_large(where, total, max_bytes)
        source = archive.extractfile(member)
        assert source is not None  # only members that are no files have none
        name = member.name.encode("utf-8", "replace").decode()
        with output.open(zipfile.ZipInfo(name), "w", force_zip64=member.size > zipfile.ZIP64_LIMIT // 2) as destination:
            _copy(source, destination, member.size)
        archive.members = []  # type: ignore[attr-defined]  # tarfile would remember every member


def _copy(source: IO[bytes], destination: IO[bytes], size: int) -> None:
    while size > 0:
        piece = source.read(min(size, _PIECE))
        if not piece:
            raise EOFError("a file in it is shorter than declared")
        destination.write(piece)
        size -= len(piece)


class _Stream:
    """The decompressed blocks, forwards only, counted: neither their sum nor a single header may be huge."""

    def __init__(self, plain: IO[bytes], where: str, max_bytes: int) -> None:
        self._plain, self._where, self._max_bytes = plain, where, max_bytes
        self._position = 0
        self.headers = 1 << 16
        self.last = b""
        """What was read last: an archive ends with blocks of zeros."""

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.last = self._plain.read(size)
        self._position += len(self.last)
        if self._position > self._max_bytes + self.headers:
            raise too_large(self._where, self._position, self._max_bytes)
        return self.last

    def seek(self, position: int, whence: int = 0) -> int:
        if whence or position < self._position:
            raise tarfile.ReadError("its blocks are out of order")
        while (left := position - self._position) > 0 and self.read(min(left, _PIECE)):
            pass
        return self._position
