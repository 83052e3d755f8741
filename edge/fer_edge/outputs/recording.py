"""A video file that is whole at every moment: what was recorded plays even if the process is killed.

FFmpeg, as OpenCV's wheels bring it, keeps up to 256 KiB of a file to itself, which of a quiet scene is a quarter of a
minute, and an unfinished ``.mp4`` plays nowhere. So frames go as Matroska through a pipe (from a pipe FFmpeg holds
nothing back) to a ``.mkv`` file; at a clean end its packets are copied, not encoded again, into the container that was
asked for.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from fer_edge.arrays import Image
from fer_edge.errors import DeviceError
from fer_edge.files import atomic_path, ffmpeg_name
from fer_edge.outputs.mp4_header import add_decoder_config

MP4_SUFFIXES: Final = frozenset({".mp4", ".m4v"})
SURVIVING_SUFFIX: Final[str] = ".mkv"
_CHUNK: Final[int] = 1 << 16
_HEADROOM: Final[int] = 1 << 20
"""Room that a container's index may take beside the packets, in bytes."""


def can_survive() -> bool:
    """Whether this system has pipes with names, and this OpenCV (4.8 or newer) copies packets."""
    return hasattr(os, "mkfifo") and hasattr(cv2, "VIDEOWRITER_PROP_RAW_VIDEO")


def recording_path(destination: Path) -> Path:
    """Where a video that will be ``destination`` is recorded: ``NAME.recording.mkv`` beside it; a ``.mkv`` in place."""
    if destination.suffix.lower() == SURVIVING_SUFFIX:
        return destination
    return destination.with_name(f"{destination.stem}.recording{SURVIVING_SUFFIX}")


class Recording:
    """Encoded frames on their way into a file, of ``size`` (width, height) even pixels at ``fps`` frames per second.

    What a killed process left behind under the same name is kept as ``NAME.recording-1.mkv`` (2, 3, ...). Raises
    :class:`DeviceError` when OpenCV cannot encode.
    """

    def __init__(self, destination: Path, codec: str, fps: float, size: tuple[int, int]) -> None:
        self.destination = destination
        self.path = recording_path(destination)
        self._codec, self._fps, self._size = cv2.VideoWriter.fourcc(*codec), fps, size
        self.error: OSError | None = None
        """Why nothing more can be written, for example a full disk."""
        if self.path != destination:
            _keep(self.path)
        folder = Path(tempfile.mkdtemp(prefix="fer-camera-"))
        try:
            pipe = folder / f"pipe{SURVIVING_SUFFIX}"
            os.mkfifo(pipe, 0o600)
            # A reader must be there before FFmpeg opens the pipe, or it would wait for one.
            self._reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            self._writer = cv2.VideoWriter(str(pipe), cv2.CAP_FFMPEG, self._codec, fps, size)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if not self._writer.isOpened():
            os.close(self._reading)
            raise DeviceError(f"OpenCV cannot write {destination} ({codec}, {size[0]}x{size[1]}); try a name in .avi")
        os.set_blocking(self._reading, True)
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self._thread = threading.Thread(target=self._copy, name="fer-recording", daemon=True)
        self._thread.start()

    def write(self, image: Image) -> None:
        """Add a frame ``(H, W, 3)`` BGR of the recording's size; raises ``OSError`` when the disk is full."""
        if self.error is not None:
            raise self.error
        self._writer.write(image)

    def _copy(self) -> None:
        while chunk := os.read(self._reading, _CHUNK):
            # After an error the pipe is still emptied: FFmpeg would wait for room in it for ever.
            if self.error is None:
                try:
                    _write_all(self._file, chunk)
                except OSError as error:
                    self.error = error
        os.close(self._reading)

    def close(self) -> None:
        """Finish the file; raises ``OSError`` when that failed, what was recorded then stays in :attr:`path`."""
        self._writer.release()
        self._thread.join()
        with contextlib.suppress(OSError):
            os.fsync(self._file)
        os.close(self._file)
        if self.error is None:
            self._finish()

    def _finish(self) -> None:
        free = shutil.disk_usage(self.path.parent).free
        if free < self.path.stat().st_size + _HEADROOM:
            if self.path == self.destination:
                return  # it plays as it is, only jumping to a moment is slow
            raise OSError(
                errno.ENOSPC, f"no space left to convert {self.path.name}, which also plays, to {self.destination.name}"
            )
        with atomic_path(self.destination) as temporary:
            self._remux(temporary)
        if self.path != self.destination:
            self.path.unlink()

    def _remux(self, temporary: Path) -> None:
        """Copy the packets into the final container, with an index and the duration."""
        packets = cv2.VideoCapture(ffmpeg_name(self.path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
        options = [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1]
        writer = cv2.VideoWriter(ffmpeg_name(temporary), cv2.CAP_FFMPEG, self._codec, self._fps, self._size, options)
        is_mp4 = self.destination.suffix.lower() in MP4_SUFFIXES
        copied = 0
        config = b""
        try:
            if not writer.isOpened():
                raise DeviceError(f"{self.destination.name} cannot be made; the video is in {self.path.name}")
            while True:
                got, packet = packets.read()
                if not got:
                    break
                if copied == 0:
                    received, extra = packets.retrieve(flag=int(packets.get(cv2.CAP_PROP_CODEC_EXTRADATA_INDEX)))
                    config = extra.tobytes() if received and extra is not None else b""
                key = bool(packets.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME))
                # OpenCV copies packets, but not the decoder's configuration: where the container is to hold it (MP4)
                # it is added below, elsewhere it goes before each key frame, which decoders take as well.
                if key and config and not is_mp4:
                    packet = np.concatenate([np.frombuffer(config, np.uint8), packet.ravel()])[None]
                writer.set(cv2.VIDEOWRITER_PROP_KEY_FLAG, float(key))
                writer.write(packet)
                copied += 1
        finally:
            packets.release()
            writer.release()
        if is_mp4 and config and not add_decoder_config(temporary, config):
            raise DeviceError(f"{self.destination.name} cannot be made; the video is in {self.path.name}")
        check = cv2.VideoCapture(ffmpeg_name(temporary), cv2.CAP_FFMPEG)
        whole = check.isOpened() and round(check.get(cv2.CAP_PROP_FRAME_COUNT)) >= copied > 0 and check.read()[0]
        check.release()
        if not whole:
            raise OSError(errno.EIO, f"{self.destination.name} came out incomplete; the video is in {self.path.name}")


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def _keep(path: Path) -> None:
    """Give what an earlier, killed process recorded under ``path`` a name of its own."""
    if not path.is_file() or path.stat().st_size == 0:
        return
    number = 1
    while (kept := path.with_name(f"{path.stem}-{number}{path.suffix}")).exists():
        number += 1
    path.replace(kept)
