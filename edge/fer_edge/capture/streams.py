"""Live sources through OpenCV: V4L2 cameras (webcams on other systems), RTSP and HTTP streams.

A camera that is unplugged or a stream that breaks off is opened again, with growing pauses; meanwhile ``state`` says
so, and everything after the source just sees no new frames.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import cv2
import numpy as np

from fer_edge.capture.files import DECODER_THREADS
from fer_edge.capture.frames import CaptureOptions, Frame, Source
from fer_edge.capture.orientation import UPRIGHT, turn
from fer_edge.capture.v4l2 import list_cameras
from fer_edge.errors import DeviceError, SourceError
from fer_edge.image_bytes import why_refused
from fer_edge.logs import LOG
from fer_edge.redact import redact_address, split_userinfo

RETRY_PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pauses before the attempts to open a lost source again; the last one repeats."""
BAD_READS: Final[int] = 5
"""Reads in a row that may fail before a source counts as lost: a camera now and then sends half a frame. Only reads
that fail at once: one that fails by a time-out will do so again."""
AT_ONCE_S: Final[float] = 0.5
OPEN_TIMEOUT_MS: Final[int] = 8_000
READ_TIMEOUT_MS: Final[int] = 8_000
_MJPG: Final[int] = cv2.VideoWriter.fourcc(*"MJPG")
_AGAIN: Final[str] = "beginning again"
_JPEG_PADDING: Final[int] = 4096
"""Some cameras send a little more after the end of a picture."""


class Capture(Protocol):
    """The part of ``cv2.VideoCapture`` that is used here."""

    def isOpened(self) -> bool:  # noqa: D102, N802
        ...

    def read(self) -> tuple[bool, Any]:  # noqa: D102
        ...

    def get(self, prop: int, /) -> float:  # noqa: D102
        ...

    def release(self) -> None:  # noqa: D102
        ...


class _Beginning:
    """What a source began with: its first picture, as long as it stood, and the one after it.

    Both, because a camera that is back may well begin with the same picture: one of no signal, or of a closed cover.
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self._stood = 0
        self._next: int | None = None
        self._again = 0

    def learn(self, image: Any) -> None:
        """Take the next picture after the start."""
        if self._next is not None:
            return
        checksum = zlib.crc32(np.ascontiguousarray(image).data)
        if self._first is None or checksum == self._first:
            self._first, self._stood = checksum, self._stood + 1
        else:
            self._next = checksum

    def rewind(self) -> None:
        """The source was opened again."""
        self._again = 0

    def repeats(self, image: Any) -> bool:
        """Whether the source, opened again, has given nothing new so far, ``image`` being its next picture."""
        if self._next is None:
            return False
        wait_s = self._first if self._again < self._stood else self._next
        self._again += 1
        return zlib.crc32(np.ascontiguousarray(image).data) == wait_s

    @property
    def whole(self) -> bool:
        """Whether all that is known was repeated."""
        return self._again > self._stood


class LiveCapture:
    """Frames of a capture that may break off and come back.

    ``open_capture`` opens it; what it returns may be not opened. ``first`` is an open one to begin with. With
    ``may_end`` a source that begins again with the very same pictures counts as a film that is over; with ``loop`` as
    well it is played again and again.
    """

    live = True
    continuous = True

    def __init__(
        self,
        description: str,
        open_capture: Callable[[], Capture],
        first: Capture,
        *,
        retry_pauses_s: tuple[float, ...] = RETRY_PAUSES_S,
        orientation: int = UPRIGHT,
        may_end: bool = False,
        loop: bool = False,
    ) -> None:
        self.description = description
        self._orientation = orientation
        self._beginning = _Beginning() if may_end else None
        self._loop = loop
        self._is_film = False
        """Known to end and begin again; False as long as a pass has given nothing."""
        self._ended = False
        self._open = open_capture
        self._capture: Capture | None = first
        self._pauses = retry_pauses_s
        self._stopped = threading.Event()
        self._state = "running"
        self._attempts = 0
        fps = first.get(cv2.CAP_PROP_FPS)
        self.fps: float | None = fps if 0.0 < fps <= 1000.0 else None

    @property
    def state(self) -> str:
        """``running``, or ``lost, trying again in N s``."""
        return self._state

    def frames(self) -> Iterator[Frame]:
        """Frames until :meth:`stop`; a loss is waited out."""
        index = 0
        began = 0.0
        bad_reads = 0
        try:
            while not self._stopped.is_set():
                if self._capture is None:
                    if not self._reopen():
                        return
                    bad_reads = 0
                assert self._capture is not None
                asked = time.monotonic()
                got, image = self._capture.read()
                now = time.monotonic()
                if not got or image is None:
                    bad_reads += 1
                    if bad_reads < BAD_READS and now - asked < AT_ONCE_S:
                        continue
                    self._capture.release()
                    self._capture = None
                    continue
                bad_reads = 0
                if index == 0:
                    began = now
                if self._only_repeats(image):
                    if self._ended:
                        LOG.info(f"{self.description} has ended: it only starts over")
                        return
                    continue
                image = turn(np.asarray(image, dtype=np.uint8), self._orientation)
                yield Frame(image, index, now - began, now)
                index += 1
        finally:
            if self._capture is not None:
                self._capture.release()
                self._capture = None

    def _only_repeats(self, image: Any) -> bool:
        """Whether a picture is to be left out, because since the source was opened again all has been the same."""
        if self._beginning is not None and self._state == "running":
            self._beginning.learn(image)
        elif self._beginning is not None and self._beginning.repeats(image):
            if not self._beginning.whole:
                return True
            self._ended = not self._loop
            if self._ended:
                return True
            self._state, self._is_film = "running", True
        if self._state != "running":
            self._state, self._is_film = "running", False
            LOG.info(f"{self.description} is back")
        return False

    def _reopen(self) -> bool:
        """Try until the source is open again (True) or we are asked to stop (False)."""
        if self._is_film:  # over, not lost
            self._is_film = False  # until the next pass has shown the same
            self._state = _AGAIN
            if self._try_to_open():
                return True
        # A source that opens but gives no frame comes here again with another state; its pauses go on growing.
        if self._state in ("running", _AGAIN):
            LOG.warning("%s is lost; trying again until it is back", self.description)
            self._attempts = 0
        while True:
            pause = self._pauses[min(self._attempts, len(self._pauses) - 1)]
            self._attempts += 1
            self._state = f"lost, trying again every {pause:g} s"
            if self._stopped.wait(pause):
                return False
            if self._try_to_open():
                return True

    def _try_to_open(self) -> bool:
        capture = self._open()
        if not capture.isOpened():
            capture.release()
            return False
        self._capture = capture
        if self._beginning is not None:
            self._beginning.rewind()
        return True

    def stop(self) -> None:
        """See :meth:`Source.stop`."""
        self._stopped.set()
        interrupt = getattr(self._capture, "interrupt", None)  # of those that wait for a long time
        if interrupt is not None:
            interrupt()


def open_camera(name: str, options: CaptureOptions) -> LiveCapture:
    """The camera with this number, or this ``/dev/videoN``; raises :class:`DeviceError` if there is none."""
    linux = sys.platform.startswith("linux")
    device: str | int = int(name) if name.isdigit() else name
    if linux:
        path = Path(f"/dev/video{name}") if name.isdigit() else Path(name)
        if not path.exists():
            known = ", ".join(f"{camera.number} ({camera.name})" for camera in list_cameras())
            raise DeviceError(f"no camera {path}; cameras here: {known or 'none'}")
        if not os.access(path, os.R_OK | os.W_OK):
            raise DeviceError(f"{path} permission denied; add this user to the group video, then log in again")
    parameters = _camera_parameters(options)

    def open_capture() -> Capture:
        capture = cv2.VideoCapture(device, cv2.CAP_V4L2 if linux else cv2.CAP_ANY)
        for prop, value in parameters:  # one by one: a camera that refuses one property still gets the others
            capture.set(prop, value)
        opened: Capture = capture
        return opened

    first = open_capture()
    if not first.isOpened():
        first.release()
        raise DeviceError(f"camera {name} cannot be opened; is another program using it? See fer-camera --list-cameras")
    return LiveCapture(f"camera {name}", open_capture, first, orientation=options.orientation)


def _camera_parameters(options: CaptureOptions) -> list[tuple[int, float]]:
    """OpenCV properties in the order in which V4L2 drivers want them: format, size, rate."""
    parameters: list[tuple[int, float]] = []
    if options.mjpg:
        parameters.append((cv2.CAP_PROP_FOURCC, float(cv2.VideoWriter.fourcc(*"MJPG"))))
    if options.width is not None:
        parameters.append((cv2.CAP_PROP_FRAME_WIDTH, float(options.width)))
    if options.height is not None:
        parameters.append((cv2.CAP_PROP_FRAME_HEIGHT, float(options.height)))
    if options.fps is not None:
        parameters.append((cv2.CAP_PROP_FPS, options.fps))
    parameters.append((cv2.CAP_PROP_BUFFERSIZE, 1.0))  # old frames in a driver's queue are delay
    return parameters


class JpegCapture:
    """A motion JPEG stream whose pictures are decoded here, one by one.

    OpenCV's own decoding stretches every later picture to the size of the first: after a phone that serves as camera
    was turned, all faces would be squeezed. A picture that was cut off is a failed read.
    """

    def __init__(self, packets: Capture) -> None:
        self._packets = packets

    def isOpened(self) -> bool:  # noqa: N802
        """See ``cv2.VideoCapture``."""
        return self._packets.isOpened()

    def read(self) -> tuple[bool, Any]:
        """The next picture ``(H, W, 3)`` BGR, or False for a damaged one, and where there is none."""
        got, packet = self._packets.read()
        if not got or packet is None:
            return False, None
        content = np.asarray(packet, dtype=np.uint8).reshape(-1)
        if content[-_JPEG_PADDING:].tobytes().find(b"\xff\xd9") < 0 or why_refused(content.tobytes()) is not None:
            return False, None
        try:
            image = cv2.imdecode(content, cv2.IMREAD_COLOR)
        except cv2.error:
            image = None
        return image is not None, image

    def get(self, prop: int, /) -> float:
        """See ``cv2.VideoCapture``."""
        return self._packets.get(prop)

    def release(self) -> None:
        """See ``cv2.VideoCapture``."""
        self._packets.release()


def open_stream(address: str, options: CaptureOptions) -> Source:
    """An RTSP, HTTP or other stream by FFmpeg; motion JPEG and single pictures over HTTP by readers of our own.

    A finite file at an HTTP address is read like a local one. Raises :class:`SourceError` when it cannot be opened.
    """
    if address.lower().startswith(("http://", "https://")):
        from fer_edge.capture.web_sources import open_http

        return open_http(address, options)
    shown = redact_address(address)
    first = open_by_ffmpeg(address)
    if not first.isOpened():
        first.release()
        # FFmpeg keeps its reason to itself, and most of these cameras ask for a password.
        login = "" if split_userinfo(address)[1] is not None else ", with USER:PASSWORD@ before the host if it asks,"
        raise SourceError(f"{shown} cannot be opened as a stream; is the address right{login} and the server running?")
    return LiveCapture(shown, lambda: open_by_ffmpeg(address), first, orientation=options.orientation)


def open_by_ffmpeg(address: str) -> Capture:
    """A capture of what FFmpeg makes of an address; it may be not opened."""
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
    # With more threads, one a core if FFmpeg may choose, each holds a picture back.
    opened = cv2.VideoCapture(address, cv2.CAP_FFMPEG, [*timeouts, cv2.CAP_PROP_N_THREADS, DECODER_THREADS])
    # Most cameras that speak HTTP. -1 asks for the packets as they come: whole JPEG pictures.
    if int(opened.get(cv2.CAP_PROP_FOURCC)) == _MJPG and opened.set(cv2.CAP_PROP_FORMAT, -1):
        return JpegCapture(opened)
    capture: Capture = opened
    return capture
