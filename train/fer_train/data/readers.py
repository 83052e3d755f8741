"""Where encoded images come from: a folder, a zip, or ``fer2013.csv``, through one small interface.

A source lists or streams records; nothing here decodes more than one batch at a time. Damage to the whole (a truncated
archive, an unknown class folder) is a :class:`DataError`; damage to one image is left to the caller, who skips it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fer_edge.errors import DataError
from fer_edge.preprocess import GrayImage
from fer_train.data.decoding import MAX_IMAGE_BYTES, BrokenImageError, decode_image
from fer_train.data.fer2013_csv import CsvReader
from fer_train.data.folder_layout import Entry, Layout, LayoutRule, assign, require_classes
from fer_train.data.records import ImageReader, Record, StoredFace, StoredImage
from fer_train.data.table_text import TABLE_SUFFIXES
from fer_train.data.zip_archive import DAMAGED_MEMBER, check_members, directory_digest, open_zip, read_member
from fer_train.logs import LOG
from fer_train.wording import megabytes

__all__ = ["FolderReader", "ZipReader", "open_reader"]


def open_reader(path: str | os.PathLike[str], rule: LayoutRule = assign) -> ImageReader:
    """What reads the data set at ``path``.

    Args:
        path: a folder, a zip or a ``fer2013.csv``.
        rule: which split and class each file belongs to; not asked for a CSV.

    Returns:
        A reader, to be closed.

    Raises:
        DataError: it is none of the three kinds.
    """
    opened = _opened(Path(path), rule)
    LOG.debug(f"{path} is read by {type(opened).__name__}")
    return opened


def _opened(source: Path, rule: LayoutRule) -> ImageReader:
    if source.is_dir():
        return FolderReader(source, rule)
    if not source.exists():
        raise DataError(f"no data set at {source}; expected a folder, a zip or a fer2013.csv")
    if source.stat().st_size == 0:
        raise DataError(f"{source} is empty; expected a folder, a zip or a fer2013.csv")
    if source.suffix.lower() in TABLE_SUFFIXES:
        return CsvReader(source)
    if source.suffix.lower() == ".zip" or zipfile.is_zipfile(source):
        return ZipReader(source, rule)
    raise DataError(f"{source} is not a data set; expected a folder, a zip or a fer2013.csv")


class _ListedReader:
    """What folders and zips share: files that a layout rule sorts into splits and classes, when that is needed.

    A data set that is in the cache is recognised by its key alone; then no list of its files is ever made.
    """

    def __init__(self, path: Path, rule: LayoutRule) -> None:
        self.path = path
        self._rule = rule

    def _names(self) -> Iterable[PurePosixPath]:
        raise NotImplementedError

    @functools.cached_property
    def layout(self) -> Layout:
        """Entries, skipped and dropped files. Raises :class:`DataError`."""
        layout = self._rule(self._names(), str(self.path))
        _require(layout.entries, self.path)
        return layout

    @property
    def total(self) -> int:
        """Number of images."""
        return len(self.layout.entries)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """``(name, reason)`` of files that are not images."""
        return self.layout.skipped

    @property
    def dropped(self) -> dict[str, int]:
        """Images of unknown classes, by class."""
        return self.layout.dropped

    @property
    def notes(self) -> list[str]:
        """How the layout was read, where that was a choice."""
        return self.layout.notes

    @property
    def numbering(self) -> str | None:
        """Whose numbers numbered class folders were taken for."""
        return self.layout.numbering


class FolderReader(_ListedReader):
    """``train/<class>/*`` and its siblings on disk. Links to files are followed, links to folders are not.

    Args:
        path: the folder.
        rule: which split and class each file belongs to.
    """

    def __init__(self, path: Path, rule: LayoutRule = assign) -> None:
        super().__init__(path, rule)
        self._files = sorted((file.relative_to(path).as_posix(), s.st_size, s.st_mtime_ns) for file, s in _walk(path))

    def _names(self) -> Iterable[PurePosixPath]:
        return [PurePosixPath(name) for name, _, _ in self._files]

    def key(self) -> str:
        """Digest of the folder's path and of every file's name, size and time of change.

        Returns:
            A digest in hexadecimal digits.
        """
        digest = hashlib.sha256(str(self.path.resolve()).encode(errors="surrogateescape"))
        for name, size, changed in self._files:
            digest.update(f"{name}\0{size}\0{changed}\0".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def records(self) -> Iterator[Record]:
        """Images sorted by name.

        Yields:
            One record per image.
        """
        for position, entry in enumerate(self.layout.entries, start=1):
            yield Record(entry, _face(entry, _ImageFile(self.path / entry.path)), position)

    def close(self) -> None:
        """Nothing stays open between files."""


@dataclass(frozen=True)
class _ImageFile:
    file: Path

    def encoded(self) -> bytes:
        try:
            if self.file.stat().st_size > MAX_IMAGE_BYTES:
                raise BrokenImageError(f"more than {megabytes(MAX_IMAGE_BYTES)}")
            return self.file.read_bytes()
        except OSError as error:
            raise BrokenImageError(f"not readable ({error.strerror})") from error

    def decode(self) -> GrayImage:
        return decode_image(self.encoded())


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as items:
            for item in items:
                if item.is_dir(follow_symlinks=False):
                    pending.append(Path(item.path))
                elif item.is_file():
                    yield Path(item.path), item.stat()


class ZipReader(_ListedReader):
    """The same layout inside a zip, read in place without unpacking.

    Args:
        path: the archive.
        rule: which split and class each file belongs to.
    """

    def __init__(self, path: Path, rule: LayoutRule = assign) -> None:
        super().__init__(path, rule)
        self._digest = directory_digest(path)
        if self._digest is None:
            _ = self._archive  # lets zipfile say what is wrong with it

    @functools.cached_property
    def _archive(self) -> zipfile.ZipFile:
        return open_zip(self.path)

    @functools.cached_property
    def _members(self) -> dict[PurePosixPath, zipfile.ZipInfo]:
        infos = [info for info in self._archive.infolist() if not info.is_dir()]
        check_members(infos, self.path)
        members = {PurePosixPath(info.filename): info for info in infos}
        if len(members) != len(infos):
            raise DataError(f"{self.path} holds two files of the same name; pack it again")
        return members

    def _names(self) -> Iterable[PurePosixPath]:
        return self._members

    def key(self) -> str:
        """Digest of what the archive's directory says of its members: names, sizes, checksums.

        Returns:
            A digest in hexadecimal digits.
        """
        if self._digest is None:
            lines = (f"{info.filename}\0{info.CRC}\0{info.file_size}\0" for info in self._archive.infolist())
            self._digest = hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()
        return self._digest

    def records(self) -> Iterator[Record]:
        """Images sorted by name.

        Yields:
            One record per image.
        """
        for position, entry in enumerate(self.layout.entries, start=1):
            yield Record(entry, _face(entry, _ZipMember(self._archive, self._members[entry.path])), position)

    def close(self) -> None:
        """Close the archive."""
        if "_archive" in self.__dict__:
            self._archive.close()


@dataclass(frozen=True)
class _ZipMember:
    archive: zipfile.ZipFile  # safe to read from several threads: zipfile locks the file position
    info: zipfile.ZipInfo

    def encoded(self) -> bytes:
        if self.info.file_size > MAX_IMAGE_BYTES:
            raise BrokenImageError(f"{megabytes(self.info.file_size)}, more than {megabytes(MAX_IMAGE_BYTES)}")
        try:
            return read_member(self.archive, self.info)
        except DAMAGED_MEMBER as error:
            raise BrokenImageError(f"damaged in the archive ({error})") from error

    def decode(self) -> GrayImage:
        return decode_image(self.encoded())


def _face(entry: Entry, image: StoredImage) -> StoredImage:
    return image if entry.box is None else StoredFace(image, entry.box)


def _require(entries: list[Entry], path: Path) -> None:
    counts: dict[str, list[int]] = {}
    for entry in entries:
        counts.setdefault(entry.split, [0] * 7)[entry.label] += 1
    require_classes(counts, str(path))
