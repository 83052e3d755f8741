"""A window with the annotated picture. Belongs to the main thread, as every window system wants it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2

from fer_edge.arrays import Image
from fer_edge.errors import DeviceError
from fer_edge.files import unused_path, write_bytes
from fer_edge.logs import LOG
from fer_edge.outputs.draw import annotate
from fer_edge.results import Result

__all__ = ["PAUSED", "RUNNING", "TITLE", "Window", "check_display"]

TITLE: Final[str] = "fer-camera (q quits, space pauses, s saves a picture, f fills the screen)"
RUNNING: Final[str] = "running"
PAUSED: Final[str] = "paused"
_QUIT_KEYS: Final = frozenset({ord("q"), ord("Q"), 27})  # 27: Escape
_PAUSE_KEYS: Final = frozenset({ord(" "), ord("p"), ord("P")})
_SNAPSHOT_KEYS: Final = frozenset({ord("s"), ord("S")})
_FULL_SCREEN_KEYS: Final = frozenset({ord("f"), ord("F")})
# Without the last one Qt puts a toolbar above the picture and a status line below.
_FLAGS: Final[int] = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL


class Window:
    """Shows results; :meth:`show` and :meth:`idle` say whether the user has closed it.

    Keys: q or Escape quits, space holds the picture, s saves it into the working folder, f fills the screen.

    Args:
        blur: make faces unrecognisable.

    Raises:
        DeviceError: where no window can be opened.
    """

    def __init__(self, *, blur: bool = False) -> None:
        check_display()
        self._blur = blur
        self._picture: Image | None = None
        self._title = TITLE
        self._full = False
        self.paused = False
        """Whether the user holds the picture; only a source that waits may wait for it."""
        try:
            cv2.namedWindow(TITLE, _FLAGS)
        except cv2.error as error:  # opencv-python-headless
            raise DeviceError("this OpenCV cannot open windows; use --headless, or install opencv-python") from error

    def show(self, result: Result) -> bool:
        """Show a result, unless the picture is held; False when the user has asked to end.

        Args:
            result: the result.

        Returns:
            False when the user has asked to end.
        """
        if not self.paused:
            first = self._picture is None
            self._picture = annotate(result, blur=self._blur)
            if first:
                cv2.resizeWindow(TITLE, self._picture.shape[1], self._picture.shape[0])
            cv2.imshow(TITLE, self._picture)
        return self.idle()

    def idle(self, state: str = RUNNING) -> bool:
        """Let the window react, and say what the source is waiting for; False when the user has asked to end.

        Args:
            state: what the source is doing; shown in the title unless it runs.

        Returns:
            False when the user has asked to end.
        """
        key = cv2.waitKey(1) & 0xFF
        if key in _PAUSE_KEYS:
            self.paused = not self.paused
        elif key in _SNAPSHOT_KEYS:
            self._save()
        elif key in _FULL_SCREEN_KEYS:
            self._full = not self._full
            mode = cv2.WINDOW_FULLSCREEN if self._full else cv2.WINDOW_NORMAL
            cv2.setWindowProperty(TITLE, cv2.WND_PROP_FULLSCREEN, mode)
        states = [PAUSED] if self.paused else []
        states += [] if state == RUNNING else [state]
        title = f"{TITLE}: {', '.join(states)}" if states else TITLE
        if title != self._title:
            self._title = title
            cv2.setWindowTitle(TITLE, title)
        closed = self._picture is not None and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1
        return key not in _QUIT_KEYS and not closed

    def _save(self) -> None:
        """The picture as it is shown, into the working folder."""
        if self._picture is None:
            return
        destination = unused_path(Path(f"fer-camera-{time.strftime('%Y%m%d-%H%M%S')}.png"))
        try:
            write_bytes(destination, cv2.imencode(".png", self._picture)[1].tobytes())
        except OSError as error:
            LOG.info(f"{destination.resolve()} cannot be written: {error.strerror or error}")
        else:
            LOG.info(f"saved {destination.resolve()}")

    def hold(self, until: Callable[[], object]) -> None:
        """Keep the last picture until the user closes it or ``until`` says so: else it would be gone unseen.

        Args:
            until: asked again and again; a true answer ends the wait.
        """
        while self._picture is not None and not until() and self.idle():
            time.sleep(0.03)

    def close(self) -> None:
        """Close the window."""
        cv2.destroyAllWindows()


def check_display() -> None:
    """Refuse to open a window where none can open: without this, Qt would abort the whole process.

    Raises:
        DeviceError: there is no display, or it does not answer.
    """
    if not sys.platform.startswith("linux"):
        return
    display = os.environ.get("DISPLAY", "")
    advice = "use --headless with --jsonl, --save, --web or --mqtt"
    if not display:
        raise DeviceError(f"no display to open a window on; {advice}")
    host, _, number = display.rpartition(":")
    socket = Path(f"/tmp/.X11-unix/X{number.partition('.')[0]}")
    if host in ("", "unix") and not socket.exists():
        raise DeviceError(f"no display answers at DISPLAY={display}; {advice}")
