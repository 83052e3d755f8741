"""Which files a command line names: videos and images by name, by pattern, at an address, or in and below a folder."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fer_edge.analysis.remote import is_address, list_address
from fer_edge.capture.folders import MAX_SHOWN, matching
from fer_edge.capture.inputs import VIDEO_SUFFIXES, is_camera, is_image, is_video
from fer_edge.capture.open import STREAM_SCHEMES
from fer_edge.capture.sniff import IMAGE_SUFFIXES, sniff_file
from fer_edge.errors import SourceError, UsageError
from fer_edge.logs import LOG
from fer_edge.redact import redact_address
from fer_edge.rows import name_in_tables

__all__ = ["MARK", "Input", "list_inputs", "result_folder"]

MARK: Final[str] = "fer-analyze.json"
"""A folder that holds this file holds results: its pictures are no inputs."""
_REMOTE_SUFFIXES: Final = (
    VIDEO_SUFFIXES | IMAGE_SUFFIXES | {".gif", ".heic", ".heif", ".avif", ".mjpeg", ".mjpg", ".flv"}
)
_LIVE_SCHEMES: Final = tuple(scheme for scheme in STREAM_SCHEMES if not scheme.startswith("http"))
_NAME_CHARACTERS: Final[int] = 60


@dataclass(frozen=True)
class Input:
    """One file."""

    file: str
    """Its name in the tables: as it was named, or in a folder that was."""
    location: str
    """An absolute path, or an address."""
    size: int
    """In bytes; 0 where it is not known."""

    @property
    def identity(self) -> str:
        """The same for two names of one file, unless one is a link to it."""
        if is_address(self.location):
            return self.location
        folder, name = os.path.split(self.location)
        return os.path.join(os.path.realpath(folder), name)  # noqa: PTH118


def list_inputs(names: Sequence[str], out: Path) -> list[Input]:
    """The files that ``names`` mean, each once; what is left out is noticed.

    Args:
        names: paths of files and folders, patterns, addresses.
        out: the folder of results, which is never read.

    Returns:
        The files in the order in which they were named, those of a folder sorted.

    Raises:
        UsageError: a name that means nothing, or no file.
        SourceError: there is neither a video nor an image.
    """
    by_identity: dict[str, Input] = {}
    left_out: dict[str, str] = {}
    empty: list[str] = []
    n_again = 0
    for name in names:
        _check(name)
        n_seen = 0
        for item in _remote(name, left_out) if is_address(name) else _local(name, out, left_out):
            n_seen += 1
            n_again += item.identity in by_identity
            by_identity.setdefault(item.identity, item)
        if not n_seen:
            empty.append(redact_address(name))
    if left_out:
        more = f" and {len(left_out) - MAX_SHOWN} more" if len(left_out) > MAX_SHOWN else ""
        LOG.info(f"left out, neither video nor image: {', '.join(list(left_out.values())[:MAX_SHOWN])}{more}")
    if n_again:
        LOG.info(f"{n_again} of the files were named more than once; each is analyzed once")
    if not by_identity:
        raise SourceError(f"no videos and no images in {', '.join(map(redact_address, names))}; nothing to analyze")
    if empty:
        LOG.warning(f"no videos and no images in {', '.join(empty)}")
    return list(by_identity.values())


def result_folder(file: str) -> str:
    """The name of a file's folder of results: readable, and like that of no other file.

    Args:
        file: its name in the tables.

    Returns:
        The end of its name with a number made of the whole.
    """
    last = file.rstrip("/").rpartition("/")[2]
    readable = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in last)
    return f"{readable.lstrip('.')[:_NAME_CHARACTERS] or 'file'}-{hashlib.sha256(file.encode()).hexdigest()[:10]}"


def _check(name: str) -> None:
    if not name:
        raise UsageError("an empty name; expected a video, an image, a folder or a pattern")
    is_live = name == "-" or is_camera(name) or name.lower().startswith(_LIVE_SCHEMES)
    if is_live and not Path(name).exists():
        shown = redact_address(name)
        raise UsageError(f"{shown} is not a file; a camera or stream to a table: fer-camera {shown} --csv FILE")


def _local(name: str, out: Path, left_out: dict[str, str]) -> Iterator[Input]:
    path = Path(name)
    if path.is_dir():
        if path.resolve() == out.resolve():
            raise UsageError(f"--out {out} is the folder that is read; give the results a folder of their own")
        yield from _below(path, out, left_out)
    elif path.is_file():
        yield _input(path)
    elif path.exists():
        raise UsageError(f"{name} is neither a file nor a folder")
    elif glob.has_magic(name):
        matches = matching(name)
        if not matches:
            raise UsageError(f"nothing matches {name}")
        for match in matches:
            if match.is_dir():
                yield from _below(match, out, left_out)
            elif not _is_inside(match, out):
                yield from _if_fit(match, left_out)
    else:
        raise UsageError(f"there is no {name}; expected a video, an image, a folder or a pattern")


def _below(folder: Path, out: Path, left_out: dict[str, str]) -> Iterator[Input]:
    """The videos and images in a folder and those below it; links are followed, but not in a circle."""
    above: dict[str, frozenset[str]] = {str(folder): frozenset()}
    result = os.path.realpath(out)
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        passed = above.pop(place, frozenset())
        if real in passed or real == result or MARK in files:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            above[os.path.join(place, name)] = passed | {real}  # noqa: PTH118 - as os.walk writes it
        for name in sorted(files):
            if not name.startswith("."):  # .DS_Store and the like
                yield from _if_fit(Path(place, name), left_out)


def _is_inside(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)) or any(
        (parent / MARK).is_file() for parent in path.parents
    )


def _if_fit(path: Path, left_out: dict[str, str]) -> Iterator[Input]:
    if not path.is_file():  # a pipe would be waited for
        left_out[str(path)] = f"{path.name} (no plain file)"
    elif is_image(path) or is_video(path):
        yield _input(path)
    else:
        left_out[str(path)] = f"{path.name} ({sniff_file(path).format})"


def _input(path: Path) -> Input:
    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    # Not os.path.abspath: in link/../file it would take .. for the folder that holds the link.
    return Input(name_in_tables(path.as_posix()), os.path.join(Path.cwd(), path), size)  # noqa: PTH118


def _remote(name: str, left_out: dict[str, str]) -> Iterator[Input]:
    listed = list_address(name)
    for address, size in listed:
        shown = redact_address(address)
        # Their contents are not looked at before they are read: each would be a request.
        if len(listed) > 1 and Path(address).suffix.lower() not in _REMOTE_SUFFIXES:
            left_out[address] = shown
        else:
            yield Input(name_in_tables(shown), address, size)
