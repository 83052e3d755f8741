"""Cameras that do not behave, on this machine: one falls silent, one sends rubbish, one comes and goes."""

from __future__ import annotations

import http.server
import threading
import time
from types import TracebackType
from typing import Any, Final

import cv2
import numpy as np

__all__ = ["DISTURBANCES", "BadCamera"]

DISTURBANCES: Final[dict[str, str]] = {
    "stall": "falls silent after a few pictures",
    "garbage": "sends random bytes instead of pictures",
    "flap": "ends its connection after a few pictures, again and again",
}
"""Kinds of bad cameras, and what they do."""
_PICTURES: Final[int] = 10
_PAUSE_S: Final[float] = 1 / 15
_BOUNDARY: Final[bytes] = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"


class BadCamera:
    """A camera for motion JPEG over HTTP that misbehaves.

    Args:
        kind: a key of :data:`DISTURBANCES`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.n_connections = 0
        """How often somebody connected."""
        self._ended = threading.Event()
        picture = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
        picture = np.asarray(cv2.resize(picture, (1280, 720), interpolation=cv2.INTER_CUBIC), np.uint8)
        self._jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera._answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}/live.mjpg"
        """Where it is found."""
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> BadCamera:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: Any) -> None:
        self.n_connections += 1
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        request.end_headers()
        noise = np.random.default_rng(self.n_connections)
        try:
            for number in range(1_000_000):
                body = self._jpeg
                if self.kind == "garbage" and number >= _PICTURES:
                    body = noise.bytes(len(self._jpeg))
                request.wfile.write(_BOUNDARY % len(body) + body + b"\r\n")
                time.sleep(_PAUSE_S)
                if number >= _PICTURES and self.kind == "flap":
                    return
                if number >= _PICTURES and self.kind == "stall":
                    self._ended.wait()
                if self._ended.is_set():
                    return
        except OSError:  # whoever looked has gone
            pass
