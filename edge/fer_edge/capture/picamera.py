"""The Raspberry Pi's own camera through Picamera2, with a second, small stream that faces are searched in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import cv2
import numpy as np

from fer_edge.capture.frames import CaptureOptions, Frame
from fer_edge.errors import DeviceError, MissingDependencyError, UsageError

DEFAULT_SIZE: Final = (1280, 720)
DEFAULT_FPS: Final[float] = 30.0
SMALL_WIDTH: Final[int] = 320  # a multiple of 64, so that the camera pads no line
BUFFERS: Final[int] = 4


class PiCamera:
    """Frames of one camera, through Picamera2's documented calls."""

    live = True
    continuous = True

    def __init__(self, camera: Any, description: str, size: tuple[int, int], fps: float) -> None:
        self.description = description
        self.fps: float | None = fps
        self._camera = camera
        self._stopped = threading.Event()
        width, height = size
        self._small_size = (SMALL_WIDTH, max(2, round(height * SMALL_WIDTH / width / 2) * 2))  # YUV420 wants even
        configuration = camera.create_video_configuration(
            # Picamera2 names formats as the words lie in memory: its RGB888 is OpenCV's BGR.
            main={"size": size, "format": "RGB888"},
            lores={"size": self._small_size, "format": "YUV420"},
            controls={"FrameRate": fps},
            buffer_count=BUFFERS,
        )
        camera.configure(configuration)
        camera.start()

    @property
    def state(self) -> str:
        """Always ``running``: libcamera reports no loss; a dead ribbon cable is the watchdog's business."""
        return "running"

    def frames(self) -> Iterator[Frame]:
        """Frames until :meth:`stop`."""
        index = 0
        began = 0.0
        try:
            while not self._stopped.is_set():
                request = self._camera.capture_request()
                try:
                    image, small_yuv = request.make_array("main"), request.make_array("lores")
                finally:
                    request.release()  # a request kept is a buffer that the camera cannot fill
                now = time.monotonic()
                if index == 0:
                    began = now
                width, height = self._small_size
                small = cv2.cvtColor(small_yuv[: height * 3 // 2], cv2.COLOR_YUV2BGR_I420)[:, :width]
                yield Frame(
                    np.ascontiguousarray(image[:, :, :3], dtype=np.uint8),
                    index,
                    now - began,
                    now,
                    small=np.ascontiguousarray(small, dtype=np.uint8),
                )
                index += 1
        finally:
            self._camera.stop()
            self._camera.close()

    def stop(self) -> None:
        """See :meth:`fer_edge.capture.frames.Source.stop`."""
        self._stopped.set()


def open_picamera(name: str, options: CaptureOptions, *, on_notice: Callable[[str], None] = lambda _: None) -> PiCamera:
    """The camera ``picamera`` or ``picamera:N``.

    Raises :class:`MissingDependencyError` without Picamera2, :class:`DeviceError` when no such camera is connected.
    """
    del on_notice
    number = name.partition(":")[2] or "0"
    if not number.isdigit():
        raise UsageError(f"expected picamera or picamera:NUMBER, got {name}")
    try:
        from picamera2 import Picamera2
    except ImportError as error:
        raise MissingDependencyError(
            "Picamera2 is not installed; install it with: sudo apt install python3-picamera2 "
            "(and make the virtual environment with --system-site-packages)"
        ) from error
    size = (options.width or DEFAULT_SIZE[0], options.height or DEFAULT_SIZE[1])
    try:
        return PiCamera(Picamera2(int(number)), f"Pi camera {number}", size, options.fps or DEFAULT_FPS)
    except (RuntimeError, IndexError) as error:  # what Picamera2 raises for no camera, or one in use
        raise DeviceError(f"Pi camera {number} cannot be opened: {error}; see rpicam-hello --list-cameras") from error
