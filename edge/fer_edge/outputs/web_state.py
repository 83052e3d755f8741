"""What the page shows of a camera: written by the output's thread, read by the server's."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import cv2

from fer_edge.outputs.draw import UNCERTAIN, annotate, shrunk
from fer_edge.outputs.prometheus import EmotionCounter
from fer_edge.outputs.status import StatusBoard
from fer_edge.results import Result

PREVIEW_FPS: Final[float] = 15.0
PREVIEW_WIDTH: Final[int] = 960
PREVIEW_QUALITY: Final[int] = 80
TILE_FPS: Final[float] = 2.0
TILE_WIDTH: Final[int] = 480
"""Of a picture in the grid of several cameras, in pixels."""
TIMELINE_S: Final[float] = 300.0
TIMELINE_STEP_S: Final[float] = 0.5


@dataclass(frozen=True)
class WebOptions:
    """How the page is served."""

    host: str = "127.0.0.1"
    port: int = 8080
    token: str | None = None
    """Required of every visitor, if set; must be set unless ``host`` is this machine only."""
    video: bool = True
    """False: numbers only, pictures are never sent."""
    blur: bool = False
    history: str | None = None
    """The file of :class:`fer_edge.outputs.history.History`, whose last day the page shows."""
    proxies: tuple[str, ...] = ()
    """Host names of a reverse proxy in front: accepted as ``Host``, and its ``X-Forwarded-`` headers are read."""


class State:
    """What the page shows of a camera; written by the output's thread, read by the server's."""

    def __init__(self, options: WebOptions, board: StatusBoard, camera: str = "") -> None:
        self.camera = camera
        self.options = options
        self.board = board
        self.counter = EmotionCounter()
        self.stopping = False
        self.version = 0
        self.faces: dict[str, Any] = {"frame": None, "time_s": None, "faces": []}
        self.jpeg: bytes | None = None
        self.jpeg_version = 0
        self.viewers = 0
        self.tile_until = 0.0
        """Until when somebody looks at the grid, by ``time.monotonic()``."""
        self.timeline: deque[tuple[float, dict[int, tuple[str, float]]]] = deque(
            maxlen=int(TIMELINE_S / TIMELINE_STEP_S)
        )
        """``(monotonic time, {track id: (emotion, its probability)})``, oldest first."""
        self._next_jpeg = 0.0
        self._next_mark = 0.0

    def take(self, result: Result) -> Result | None:
        """Note a result; gives it with a small picture where that is to be shown."""
        now = time.monotonic()
        self.counter.add(result)
        self.faces = {**result.as_dict(), "width": result.image.shape[1], "height": result.image.shape[0]}
        self.version += 1
        if now >= self._next_mark:
            self._next_mark = now + TIMELINE_STEP_S
            faces = {
                face.track_id: (face.emotion or UNCERTAIN, round(float(face.probabilities.max()), 3))
                for face in result.faces
            }
            self.timeline.append((now, faces))
        if self.options.video and now >= self._next_jpeg and (self.viewers or now < self.tile_until):
            self._next_jpeg = now + 1.0 / (PREVIEW_FPS if self.viewers else TILE_FPS)
            return shrunk(result, PREVIEW_WIDTH if self.viewers else TILE_WIDTH)
        return None

    def show(self, small: Result) -> None:
        """Show a small picture from now on."""
        self.jpeg = encode_preview(small, blur=self.options.blur)
        self.jpeg_version += 1

    def ages(self) -> list[dict[str, Any]]:
        """The timeline; how long ago, because neither the clock of this machine nor the visitor's need be right."""
        now, wall = time.monotonic(), time.time()
        ages = [(now - moment, faces) for moment, faces in list(self.timeline)]
        return [{"t": round(wall - age, 2), "ago_s": round(age, 2), "faces": faces} for age, faces in ages]

    def snapshot(self) -> dict[str, Any]:
        """The newest faces, and how the camera fares."""
        return {**self.faces, "status": self.board.now().as_dict()}


def encode_preview(result: Result, *, blur: bool) -> bytes:
    """The annotated frame as JPEG, at most :data:`PREVIEW_WIDTH` pixels wide."""
    image = annotate(shrunk(result, PREVIEW_WIDTH), blur=blur)  # so that no large picture is copied
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, PREVIEW_QUALITY])[1]
    return encoded.tobytes()
