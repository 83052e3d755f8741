"""Where encoded images come from: a folder, a zip, or ``fer2013.csv``, behind one small interface.

A source lists or streams records; nothing here decodes more than one batch at a time. Damage to the whole (a truncated
archive, an unknown class folder) is a :class:`DataError`; damage to one image is left to the caller, who skips it.
"""

from __future__ import annotations

import csv
import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.errors import DataError, InputError
from fer_edge.preprocess import GrayImage, to_gray
from fer_train.archive import check_members, open_zip
from fer_train.layout import Entry, assign, require_classes

MAX_IMAGE_BYTES: Final[int] = 64 << 20
"""An encoded image larger than this is taken for damage or malice, not for a face."""

CSV_LABELS: Final[tuple[int, ...]] = (0, 1, 2, 3, 5, 6, 4)
"""``fer2013.csv`` numbers angry, disgust, fear, happy, sad, surprise, neutral; this maps them to our order."""
CSV_SPLITS: Final[dict[str, str]] = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}


class BrokenImageError(InputError):
    """One image cannot be decoded; the message is the reason."""


@dataclass(frozen=True)
class Record:
    """One labelled image, not decoded yet: ``decode`` gives grey ``(H, W)`` uint8 or raises BrokenImageError."""

    entry: Entry
    decode: Callable[[], GrayImage]
    position: int
    """How far reading has come, in the unit of the source's ``total``."""


class ImageSource(Protocol):
    """Something that :func:`fer_train.dataset.load_dataset` can read."""

    path: Path
    total: int
    """Length of the whole, in images or in bytes: the denominator of progress."""
    skipped: list[tuple[str, str]]

    def key(self) -> str:
        """What changes when the content changes; cheap to compute."""
        ...

    def records(self) -> Iterator[Record]:
        """All images in a fixed order; they can be decoded until :meth:`close`."""
        ...

    def close(self) -> None:
        """Let go of open files."""
        ...


def open_source(path: str | os.PathLike[str]) -> ImageSource:
    """The source that ``path`` means. Raises :class:`DataError` when it is none of the three kinds."""
    source = Path(path)
    if source.is_dir():
        return FolderSource(source)
    if not source.exists():
        raise DataError(f"no data set at {source}; expected a folder, a zip or a fer2013.csv")
    if source.stat().st_size == 0:
        raise DataError(f"{source} is empty; expected a folder, a zip or a fer2013.csv")
    if source.suffix.lower() == ".csv":
        return CsvSource(source)
    if source.suffix.lower() == ".zip" or zipfile.is_zipfile(source):
        return ZipSource(source)
    raise DataError(f"{source} is not a data set; expected a folder, a zip or a fer2013.csv")


def decode_image(content: bytes) -> GrayImage:
    """Grey ``(H, W)`` uint8 from an encoded image file. Raises :class:`BrokenImageError`."""
    if not content:
        raise BrokenImageError("empty file")
    if len(content) > MAX_IMAGE_BYTES:
        raise BrokenImageError(f"{len(content) >> 20} MiB, more than {MAX_IMAGE_BYTES >> 20}")
    # Some OpenCV versions fill the missing part of a truncated file with grey and say nothing.
    if content[:2] == b"\xff\xd8" and b"\xff\xd9" not in content[-4096:]:
        raise BrokenImageError("truncated JPEG")
    if content[:4] == b"\x89PNG" and b"IEND" not in content[-4096:]:
        raise BrokenImageError("truncated PNG")
    try:
        image = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_ANYCOLOR)
    except cv2.error as error:
        raise BrokenImageError(f"not decodable ({error.err or 'OpenCV error'})") from error
    if image is None:
        raise BrokenImageError("not decodable as an image")
    return to_gray(np.asarray(image, dtype=np.uint8))


@dataclass
class FolderSource:
    """``train/<class>/*`` and its siblings on disk. Links to files are followed, links to folders are not."""

    path: Path
    total: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    _entries: list[Entry] = field(default_factory=list)
    _files: dict[str, Path] = field(default_factory=dict)
    _key: str = ""

    def __post_init__(self) -> None:
        paths: list[PurePosixPath] = []
        stats: dict[PurePosixPath, tuple[int, int]] = {}
        for file, stat in _walk(self.path):
            relative = PurePosixPath(file.relative_to(self.path).as_posix())
            paths.append(relative)
            stats[relative] = (stat.st_size, stat.st_mtime_ns)
        self._entries, self.skipped = assign(paths, str(self.path))
        _require(self._entries, self.path)
        tails = {entry.name for entry in self._entries}
        for path in paths:
            # The root may be wrapped in folders: an entry's name is the tail of exactly one path.
            for cut in range(len(path.parts)):
                tail = "/".join(path.parts[cut:])
                if tail in tails:
                    self._files.setdefault(tail, self.path / path)
                    break
        digest = hashlib.sha256(str(self.path.resolve()).encode())
        for path in sorted(stats):
            digest.update(f"{path}\0{stats[path]}\0".encode())
        self._key = digest.hexdigest()
        self.total = len(self._entries)

    def key(self) -> str:
        """Digest of the folder's path and of every file's name, size and time of change."""
        return self._key

    def records(self) -> Iterator[Record]:
        """Images sorted by name."""
        for position, entry in enumerate(self._entries, start=1):
            yield Record(entry, _FileDecoder(self._files[entry.name]), position)

    def close(self) -> None:
        """Nothing stays open between files."""


@dataclass(frozen=True)
class _FileDecoder:
    file: Path

    def __call__(self) -> GrayImage:
        try:
            if self.file.stat().st_size > MAX_IMAGE_BYTES:
                raise BrokenImageError(f"more than {MAX_IMAGE_BYTES >> 20} MiB")
            content = self.file.read_bytes()
        except OSError as error:
            raise BrokenImageError(f"not readable ({error.strerror})") from error
        return decode_image(content)


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as items:
            for item in items:
                if item.is_dir(follow_symlinks=False):
                    pending.append(Path(item.path))
                elif item.is_file():
                    yield Path(item.path), item.stat()


@dataclass
class ZipSource:
    """The same layout inside a zip, read in place without unpacking."""

    path: Path
    total: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    _members: list[tuple[Entry, zipfile.ZipInfo]] = field(default_factory=list)
    _key: str = ""

    def __post_init__(self) -> None:
        self._archive = open_zip(self.path)
        try:
            self._read_directory()
        except BaseException:
            self.close()
            raise

    def _read_directory(self) -> None:
        infos = [info for info in self._archive.infolist() if not info.is_dir()]
        check_members(infos, self.path)
        by_path = {PurePosixPath(info.filename): info for info in infos}
        if len(by_path) != len(infos):
            raise DataError(f"{self.path} holds two files of the same name; pack it again")
        entries, self.skipped = assign(by_path, str(self.path))
        _require(entries, self.path)
        names = {entry.name: entry for entry in entries}
        found: dict[str, zipfile.ZipInfo] = {}
        for path, info in by_path.items():
            for cut in range(len(path.parts)):
                tail = "/".join(path.parts[cut:])
                if tail in names:
                    found.setdefault(tail, info)
                    break
        self._members = [(entry, found[entry.name]) for entry in entries]
        # The central directory holds a checksum of every member: content is known without reading 53 MB.
        digest = hashlib.sha256()
        for info in sorted(infos, key=lambda info: info.filename):
            digest.update(f"{info.filename}\0{info.CRC}\0{info.file_size}\0".encode())
        self._key = digest.hexdigest()
        self.total = len(self._members)

    def key(self) -> str:
        """Digest of every member's name, size and CRC-32, whatever the archive's own name or date."""
        return self._key

    def records(self) -> Iterator[Record]:
        """Images sorted by name."""
        for position, (entry, info) in enumerate(self._members, start=1):
            yield Record(entry, _MemberDecoder(self._archive, info), position)

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()


@dataclass(frozen=True)
class _MemberDecoder:
    archive: zipfile.ZipFile  # safe to read from several threads: zipfile locks the file position
    info: zipfile.ZipInfo

    def __call__(self) -> GrayImage:
        if self.info.file_size > MAX_IMAGE_BYTES:
            raise BrokenImageError(f"{self.info.file_size >> 20} MiB, more than {MAX_IMAGE_BYTES >> 20}")
        try:
            content = self.archive.read(self.info)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise BrokenImageError(f"damaged in the archive ({error})") from error
        return decode_image(content)


@dataclass
class CsvSource:
    """The original ``fer2013.csv``: columns ``emotion, pixels, Usage``; read row by row, never as a whole."""

    path: Path
    total: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    _columns: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.total = self.path.stat().st_size
        with self.path.open("rb") as handle:
            head = handle.readline(4096)
        try:
            header = [name.strip() for name in next(csv.reader([head.decode("utf-8-sig")]), [])]
        except UnicodeDecodeError:
            header = []
        missing = {"emotion", "pixels", "Usage"} - set(header)
        if missing:
            raise DataError(f"{self.path} is not a fer2013.csv: the first line lacks {', '.join(sorted(missing))}")
        self._columns = {name: header.index(name) for name in ("emotion", "pixels", "Usage")}

    def key(self) -> str:
        """Digest of size, time of change, and both ends: 287 MB are not read twice."""
        stat = self.path.stat()
        digest = hashlib.sha256(f"{self.path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        with self.path.open("rb") as handle:
            digest.update(handle.read(1 << 16))
            handle.seek(max(0, stat.st_size - (1 << 16)))
            digest.update(handle.read())
        return digest.hexdigest()

    def records(self) -> Iterator[Record]:
        """Images in the order of the rows; the name is ``<Usage>_row<row>``, rows counted from 0 after the header.

        Raises :class:`DataError` when the last row breaks off.
        """
        self.skipped.clear()
        position = 0
        seen_any = False
        with self.path.open("rb") as handle:
            position += len(handle.readline())
            for row, line in enumerate(handle):
                position += len(line)
                if not line.strip():
                    continue
                try:
                    record = self._record(row, line, position)
                except BrokenImageError as error:
                    if not line.endswith(b"\n"):
                        raise DataError(f"{self.path} is truncated in row {row}: {error}") from error
                    self.skipped.append((f"row {row}", str(error)))
                    continue
                seen_any = True
                yield record
        if not seen_any:
            raise DataError(f"{self.path} holds no images")

    def close(self) -> None:
        """Nothing stays open between readings."""

    def _record(self, row: int, line: bytes, position: int) -> Record:
        fields = [value.strip().strip(b'"') for value in line.split(b",")]
        if len(fields) <= max(self._columns.values()):
            raise BrokenImageError(f"{len(fields)} columns instead of {max(self._columns.values()) + 1}")
        emotion, pixels, usage = (fields[self._columns[name]] for name in ("emotion", "pixels", "Usage"))
        split = CSV_SPLITS.get(usage.decode(errors="replace"))
        if split is None:
            raise BrokenImageError(f"Usage {usage.decode(errors='replace')!r} is none of {', '.join(CSV_SPLITS)}")
        if not emotion.isdigit() or int(emotion) >= len(CSV_LABELS):
            raise BrokenImageError(f"emotion {emotion.decode(errors='replace')!r} is not 0 to 6")
        name = f"{usage.decode()}_row{row:05d}"
        return Record(Entry(name, split, CSV_LABELS[int(emotion)]), _PixelsDecoder(pixels), position)


@dataclass(frozen=True)
class _PixelsDecoder:
    pixels: bytes

    def __call__(self) -> GrayImage:
        values = parse_pixels(self.pixels)
        side = round(len(values) ** 0.5)
        if side == 0 or side * side != len(values):
            raise BrokenImageError(f"{len(values)} pixels are not a square")
        return values.reshape(side, side)


def parse_pixels(text: bytes) -> npt.NDArray[np.uint8]:
    """``(N,)`` uint8 from decimal numbers with blanks between. Raises :class:`BrokenImageError`."""
    try:
        # int() of each token rejects what numpy's lenient text reader would cut short in silence.
        values: npt.NDArray[Any] = np.array(text.split(), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise BrokenImageError("pixels are not whole numbers") from error
    if len(values) and (values.min() < 0 or values.max() > 255):
        raise BrokenImageError("a pixel lies outside 0 to 255")
    return values.astype(np.uint8)


def _require(entries: list[Entry], path: Path) -> None:
    counts: dict[str, list[int]] = {}
    for entry in entries:
        counts.setdefault(entry.split, [0] * 7)[entry.label] += 1
    require_classes(counts, str(path))
