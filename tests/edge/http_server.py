"""An HTTP server whose every answer a test writes byte by byte, and what cameras answer with."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Callable

import numpy as np
from tests.edge.made_files import corners, jpeg

Write = Callable[[bytes], None]
PICTURES = [jpeg(np.roll(corners(), 8 * number, axis=1), None) for number in range(6)]


class Server(socketserver.ThreadingTCPServer):
    """Answers every request with what ``answer(request, write)`` writes; counts the requests."""

    allow_reuse_address = True
    daemon_threads = False

    def __init__(self, answer: Callable[[bytes, Write], None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.requests: list[bytes] = []
        self.ended = threading.Event()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            data = self.request.recv(4096)
            if not data:
                return
            request += data
        self.server.requests.append(request)
        with contextlib.suppress(OSError):
            self.server.answer(request, self._write)

    def _write(self, data: bytes) -> None:
        self.wfile.write(data)


def head(content_type: str, newline: bytes = b"\r\n", *more: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Type: " + content_type.encode(), b"Connection: close", *more]
    return newline.join(lines) + newline + newline


def part(picture: bytes, *, newline: bytes = b"\r\n", kind: bytes = b"image/jpeg", length: int | None = 0) -> bytes:
    lines = [b"Content-Type: " + kind]
    if length is not None:
        lines.append(b"Content-Length: %d" % (len(picture) + length))
    return newline.join(lines) + newline + newline + picture


MIXED = "multipart/x-mixed-replace; boundary=frame"
