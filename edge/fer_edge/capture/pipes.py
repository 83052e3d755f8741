"""Pictures and films that another program sends: ``-`` for standard input, and named pipes.

A pipe gives every byte once. So its first bytes decide: what FFmpeg reads from beginning to end goes straight on to it,
as it comes (``rpicam-vid -o -`` never ends); a picture, or an MP4 file with its table of contents at the end, is kept
in a temporary file first.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

import cv2

from fer_edge.capture.files import DECODER_THREADS, VideoCapture, VideoFile
from fer_edge.capture.frames import CaptureOptions, Source
from fer_edge.capture.iso_boxes import table_comes_last
from fer_edge.capture.sniff import HEAD_BYTES, Kind, sniff
from fer_edge.errors import FerError, SourceError

STANDARD_INPUT: Final[str] = "-"
MAX_KEPT_BYTES: Final[int] = 2 << 30
_COPY_BYTES: Final[int] = 1 << 16


def is_pipe(name: str) -> bool:
    """Whether a source is standard input or a pipe.

    Args:
        name: a source as the user names it.

    Returns:
        True for ``-``, a named pipe, and ``/dev/stdin`` or ``/dev/fd/N`` where they are pipes.
    """
    if name == STANDARD_INPUT:
        return True
    try:
        return stat.S_ISFIFO(Path(name).stat().st_mode)
    except (OSError, ValueError):
        return False


def open_pipe(name: str, options: CaptureOptions, open_file: Callable[[Path, CaptureOptions], Source]) -> Source:
    """Open what comes through a pipe.

    Args:
        name: ``-`` or the path of a pipe.
        options: what is asked of the source.
        open_file: opens what was kept in a file.

    Returns:
        The source, open.

    Raises:
        SourceError: nothing comes, or nothing that can be read.
    """
    shown = "standard input" if name == STANDARD_INPUT else name
    if name == STANDARD_INPUT and (sys.stdin is None or sys.stdin.isatty()):
        raise SourceError("standard input is a terminal; expected a picture or a video from another program")
    try:
        # Not closed by `with`: the copying thread does, when the end is reached.
        given = open(0 if name == STANDARD_INPUT else name, "rb", closefd=name != STANDARD_INPUT)  # noqa: SIM115
        head = given.read(HEAD_BYTES)
    except OSError as error:
        raise SourceError(f"{shown} cannot be read: {error.strerror or error}") from error
    if not head:
        given.close()
        raise SourceError(f"{shown} is empty; expected an image or a video")
    if sniff(head).kind is Kind.VIDEO and not table_comes_last(head) and not options.loop:
        return VideoFile(
            name,
            realtime=options.realtime,
            description=shown,
            orientation=options.orientation,
            open_capture=lambda: _handed_on(given, head),
        )
    return _kept(given, head, shown, options, open_file)


def _handed_on(given: BinaryIO, head: bytes) -> VideoCapture:
    """A capture that FFmpeg reads while a thread fills its pipe."""
    reading, writing = os.pipe()

    def copy() -> None:
        with contextlib.suppress(OSError), given, open(writing, "wb", buffering=0) as destination:  # noqa: PTH123
            data = head
            while data:
                destination.write(data)
                data = given.read1(_COPY_BYTES)  # type: ignore[attr-defined]

    threading.Thread(target=copy, name="fer-pipe", daemon=True).start()
    try:
        capture: VideoCapture = cv2.VideoCapture(
            f"/dev/fd/{reading}", cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, DECODER_THREADS]
        )
    finally:
        os.close(reading)
    return capture


def _kept(
    given: BinaryIO,
    head: bytes,
    shown: str,
    options: CaptureOptions,
    open_file: Callable[[Path, CaptureOptions], Source],
) -> Source:
    import tempfile  # late: every start reads this module

    descriptor, name = tempfile.mkstemp(prefix="fer-edge-")
    path = Path(name)
    try:
        with given, os.fdopen(descriptor, "wb") as destination:
            data, left = head, MAX_KEPT_BYTES
            while data:
                destination.write(data)
                left -= len(data)
                if left < 0:
                    raise SourceError(f"{shown}: more than {MAX_KEPT_BYTES >> 30} GiB; save it as a file first")
                data = given.read(_COPY_BYTES)
        source = open_file(path, options)
    except FerError as error:
        path.unlink()
        raise type(error)(str(error).replace(name, shown)) from error
    except OSError as error:
        path.unlink()
        raise SourceError(f"{shown} cannot be kept in {tempfile.gettempdir()}: {error.strerror or error}") from error
    except BaseException:
        path.unlink()
        raise
    source.description = shown
    weakref.finalize(source, path.unlink, missing_ok=True)
    return source
