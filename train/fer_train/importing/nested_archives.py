"""What lies inside a download: archives in archives, a CSV in an archive, a list of labels beside the images."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from fer_edge.errors import DataError
from fer_train.data.folder_layout import IMAGE_SUFFIXES, is_clutter
from fer_train.data.table_text import TABLE_SUFFIXES
from fer_train.data.zip_archive import DAMAGED_MEMBER, check_members, check_size, extract_member, open_zip, read_member
from fer_train.importing.rafdb_list import LIST_NAMES, MAX_LIST_BYTES, LabelList, parse_list
from fer_train.importing.tar_archive import is_packed_text, repack_as_zip, tar_opener, unpack_text
from fer_train.wording import megabytes

_CSV_NAMES: Final[tuple[str, ...]] = ("fer2013.csv", "icml_face_data.csv")
_ARCHIVES: Final[tuple[str, ...]] = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".csv.gz", ".tsv.gz")
_HEAD_BYTES: Final[int] = 4096
_MOST_LAYERS: Final[int] = 4


def unwrap(
    source: Path, destination: Path, max_bytes: int, stack: contextlib.ExitStack
) -> tuple[Path, LabelList | None]:
    """The folder, zip or CSV that holds the images of ``source``, and the list of labels met on the way to it.

    Inner archives are unpacked beside ``destination``, to files that ``stack`` removes. Raises :class:`DataError` for
    an archive that is damaged, holds links or climbing paths, unpacks to more than ``max_bytes``, or is wrapped too
    often.
    """
    labels = _list_in_folder(source) if source.is_dir() else None
    plain = source
    for layer in range(_MOST_LAYERS):
        if not plain.is_file() or plain.suffix.lower() in TABLE_SUFFIXES:
            return plain, labels
        if is_packed_text(plain):
            unpacked = _beside(destination, f"{layer}.csv", stack)
            unpack_text(plain, unpacked, str(source), max_bytes)
            return unpacked, labels
        if tar_opener(plain) is not None:
            unpacked = _beside(destination, f"{layer}.zip", stack)
            repack_as_zip(plain, unpacked, str(source), max_bytes)
            plain = unpacked
        if not zipfile.is_zipfile(plain):
            return plain, labels
        with open_zip(plain) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            check_members(infos, source)
            check_size(infos, source, max_bytes)
            list_ = _list_in_zip(archive, infos, source)
            labels = labels if list_ is None else list_
            inner = _wrapped_file(archive, infos, source)
            if inner is None:
                return plain, labels
            # Not its own name: that may be anything. The suffix says what it is.
            unpacked = _beside(destination, f"{layer}.inner{PurePosixPath(inner.filename).suffix.lower()}", stack)
            extract_member(archive, inner, unpacked, source)
            plain = unpacked
    raise DataError(f"{source}: archives within archives, more than {_MOST_LAYERS} deep; unpack it by hand")


def _beside(destination: Path, ending: str, stack: contextlib.ExitStack) -> Path:
    path = destination.with_name(f".{destination.name}.unpacked{ending}")
    path.parent.mkdir(parents=True, exist_ok=True)
    stack.callback(path.unlink, missing_ok=True)
    return path


def _wrapped_file(archive: zipfile.ZipFile, infos: Iterable[zipfile.ZipInfo], where: Path) -> zipfile.ZipInfo | None:
    """The archive or table like ``fer2013.csv`` that an archive without images of its own is wrapped around."""
    files = [info for info in infos if not is_clutter(PurePosixPath(info.filename))]
    if any(PurePosixPath(info.filename).suffix.lower() in IMAGE_SUFFIXES for info in files):
        return None
    for name in _CSV_NAMES:
        for info in files:
            if PurePosixPath(info.filename).name.lower() == name:
                return info
    tables = [info for info in files if _is_table(archive, info)]
    if len(tables) > 1:
        names = ", ".join(info.filename for info in tables[:3])
        raise DataError(f"{where} holds {len(tables)} tables of images ({names}); unpack it and give one of them")
    if tables:
        return tables[0]
    archives = [info for info in files if info.filename.lower().endswith(_ARCHIVES)]
    if len(archives) > 1:  # RAF-DB ships original.zip, aligned.zip and annotations beside each other
        archives = [info for info in archives if PurePosixPath(info.filename).name.lower().startswith("aligned")]
    return archives[0] if len(archives) == 1 else None


def _is_table(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    """Whether a member has a first line like that of ``fer2013.csv``, whatever it is called."""
    if PurePosixPath(info.filename).suffix.lower() not in TABLE_SUFFIXES:
        return False
    try:
        with archive.open(info) as member:
            head = member.read(_HEAD_BYTES)
    except DAMAGED_MEMBER:
        return False
    first = head.replace(b"\0", b"").lower().lstrip(b"\xef\xbb\xbf\xff\xfe\r\n").partition(b"\n")[0]
    return b"pixel" in first and (b"emotion" in first or b"label" in first or b"class" in first)


def _list_in_folder(folder: Path) -> LabelList | None:
    for root, _, files in os.walk(folder):
        for name in files:
            if name.lower() in LIST_NAMES:
                path = Path(root, name)
                try:
                    with path.open("rb") as handle:
                        return parse_list(handle.read(MAX_LIST_BYTES + 1), str(path))
                except OSError as error:
                    raise DataError(f"{path} is not readable ({error.strerror})") from error
    return None


def _list_in_zip(archive: zipfile.ZipFile, infos: Iterable[zipfile.ZipInfo], where: Path) -> LabelList | None:
    for info in infos:
        path = PurePosixPath(info.filename)
        if path.name.lower() in LIST_NAMES and not is_clutter(path):
            if info.file_size > MAX_LIST_BYTES:
                raise DataError(
                    f"{where}: {info.filename} has {megabytes(info.file_size)}, too much for a list of labels"
                )
            try:
                return parse_list(read_member(archive, info), f"{where}: {info.filename}")
            except DAMAGED_MEMBER as error:
                raise DataError(f"{where}: {info.filename} is damaged ({error}); download it again") from error
    return None
