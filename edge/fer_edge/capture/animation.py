"""Pictures that hold several frames: animated GIF, PNG, WebP and AVIF.

GIF and PNG are read by FFmpeg, frame by frame, like a video. WebP and AVIF are read by OpenCV 4.11 or newer, a few
frames at a time, because a long animation does not fit into a small memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from fer_edge.capture.orientation import picture_orientation, turn
from fer_edge.errors import SourceError
from fer_edge.files import ffmpeg_name
from fer_edge.image_bytes import MAX_PARTS

BATCH_BYTES: Final[int] = 32 << 20
"""Memory for the frames that are decoded at once; each batch begins by decoding all before it again."""


def frames_in(content: bytes) -> int:
    """How many frames an animated GIF, PNG, WebP or AVIF says it has; 1 for other files."""
    if content[:4] == b"GIF8":
        return max(1, _frames_of_gif(content))
    if content[:4] == b"\x89PNG":
        return max(1, _frames_of_png(content))
    if content[:4] == b"RIFF" and content[8:16] == b"WEBPVP8X" and content[20:21] and content[20] & 2:
        return max(1, _frames_of_webp(content))
    if content[4:8] == b"ftyp" and content[8:12] == b"avis":
        return 2  # or more: a sequence by its own word
    return 1


def _frames_of_gif(content: bytes) -> int:
    """GIF89a specification, appendix B: image descriptors among extensions; all data in blocks of at most 255 bytes."""

    left = 8 * MAX_PARTS  # of blocks: 500 MiB where they are full, as they are in real files

    def behind_blocks(at: int) -> int:
        nonlocal left
        while at < len(content) and content[at] and left > 0:
            at += 1 + content[at]
            left -= 1
        return at + 1

    def behind_table(at: int, flags: int) -> int:
        return at + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)

    count = 0
    at = behind_table(13, content[10]) if len(content) > 10 else len(content)
    while at + 10 <= len(content) and left > 0:
        left -= 1
        if content[at] == 0x2C:
            count += 1
            at = behind_blocks(behind_table(at + 10, content[at + 9]) + 1)
        elif content[at] == 0x21:
            at = behind_blocks(at + 2)
        else:
            break
    return count


def _frames_of_png(content: bytes) -> int:
    at = 8
    for _ in range(MAX_PARTS):
        kind = content[at + 4 : at + 8]
        if kind == b"acTL":
            return int.from_bytes(content[at + 8 : at + 12], "big")
        if kind in (b"IDAT", b"IEND") or at + 12 > len(content):
            break
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return 1


def _frames_of_webp(content: bytes) -> int:
    at, count = 12, 0
    for _ in range(MAX_PARTS):
        if at + 8 > len(content):
            break
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        count += content[at : at + 4] == b"ANMF"
        at += 8 + size + size % 2
    return count


class AnimationCapture:
    """The frames of an animated WebP or AVIF, in the manner of ``cv2.VideoCapture``.

    Args:
        content: the file.
        name: for messages.

    Raises:
        SourceError: OpenCV before 4.11, or one built without this format.
    """

    def __init__(self, content: bytes, name: str) -> None:
        if not hasattr(cv2, "imdecodeanimation"):
            raise SourceError(
                f"{name} is an animated picture, which OpenCV {cv2.__version__} does not read; 4.11 or newer does: "
                "pip install --upgrade opencv-python"
            )
        # Two dimensions: OpenCV wants a row, and makes a column of one.
        self._buffer = np.frombuffer(content, np.uint8).reshape(1, -1)
        self._batch: list[tuple[Any, float]] = []
        self._read = 0
        self._size = 1
        self._orientation = picture_orientation(content)
        self._next_ms = self._now_ms = 0.0
        self._ended = False
        self._fill()

    def isOpened(self) -> bool:  # noqa: N802
        """Whether there is at least one frame."""
        return bool(self._batch) or self._read > 0

    def read(self) -> tuple[bool, Any]:
        """The next frame ``(H, W, 3)`` BGR uint8, or False at the end."""
        if not self._batch:
            self._fill()
        if not self._batch:
            return False, None
        frame, duration_ms = self._batch.pop(0)
        self._read += 1
        self._now_ms, self._next_ms = self._next_ms, self._next_ms + duration_ms
        if frame.ndim == 2:
            frame = cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
        return True, turn(np.ascontiguousarray(frame[:, :, :3]), self._orientation)

    def _fill(self) -> None:
        if self._ended:
            return
        try:
            got, animation = cv2.imdecodeanimation(self._buffer, self._read, self._size)
        except cv2.error:
            got = False
        frames = list(animation.frames) if got else []
        self._ended = len(frames) < self._size
        durations = [float(value) for value in np.ravel(animation.durations)] if frames else []
        # A few files say 0; browsers then take a tenth of a second.
        self._batch = [
            (frame, durations[n] or 100.0 if n < len(durations) else 100.0) for n, frame in enumerate(frames)
        ]
        if frames:
            self._size = max(1, BATCH_BYTES // max(1, frames[0].nbytes))

    def get(self, prop: int, /) -> float:
        """Time of the last frame, mean rate; see ``cv2.VideoCapture``."""
        if prop == cv2.CAP_PROP_POS_MSEC:
            return self._now_ms
        if prop == cv2.CAP_PROP_FPS:
            return 1000.0 / self._batch[0][1] if self._batch else 0.0
        return 0.0

    def release(self) -> None:
        """Forget the frames."""
        self._batch, self._ended = [], True


def open_animation(path: Path, content: bytes) -> Any:
    """A capture of the frames of an animated picture; see :class:`AnimationCapture` for what it raises."""
    if content[:4] in (b"GIF8", b"\x89PNG"):
        return cv2.VideoCapture(ffmpeg_name(path), cv2.CAP_FFMPEG)
    return AnimationCapture(content, str(path))
