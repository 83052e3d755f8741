"""A window with the annotated picture. Belongs to the main thread, as every window system wants it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2

from fer_edge.errors import DeviceError
from fer_edge.outputs.draw import annotate
from fer_edge.results import Result

TITLE: Final[str] = "fer-camera (q ends)"
RUNNING: Final[str] = "running"
_QUIT_KEYS: Final = frozenset({ord("q"), ord("Q"), 27})


class Window:
    """Shows results; :meth:`show` and :meth:`idle` say whether the user has closed it."""

    def __init__(self, *, blur: bool = False) -> None:
        check_display()
        self._blur = blur
        self._shown = False
        self._state = RUNNING
        try:
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:  # opencv-python-headless
            raise DeviceError("this OpenCV cannot open windows; use --headless, or install opencv-python") from error

    def show(self, result: Result) -> bool:
        """Show a result; False when the user has asked to end."""
        image = annotate(result, blur=self._blur)
        if not self._shown:
            cv2.resizeWindow(TITLE, image.shape[1], image.shape[0])
        cv2.imshow(TITLE, image)
        self._shown = True
        return self.idle()

    def idle(self, state: str = RUNNING) -> bool:
        """Let the window react, and say what the source is waiting for; False when the user has asked to end."""
        if state != self._state:
            self._state = state
            cv2.setWindowTitle(TITLE, TITLE if state == RUNNING else f"{TITLE}: {state}")
        key = cv2.waitKey(1) & 0xFF
        closed = self._shown and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1
        return key not in _QUIT_KEYS and not closed

    def hold(self, until: Callable[[], object]) -> None:
        """Keep the last picture until the user closes it or ``until`` says so: else it would be gone unseen."""
        while self._shown and not until() and self.idle():
            cv2.waitKey(30)

    def close(self) -> None:
        """Close the window."""
        cv2.destroyAllWindows()


def check_display() -> None:
    """Raise :class:`DeviceError` where no window can open: without this, Qt would abort the whole process."""
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
