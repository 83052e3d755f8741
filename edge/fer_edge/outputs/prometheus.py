"""Figures for Prometheus, in its text format (version 0.0.4); written out by hand, which spares a dependency."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from fer_edge.errors import UsageError
from fer_edge.labels import EMOTIONS
from fer_edge.outputs.address import is_loopback, listen, same
from fer_edge.outputs.draw import UNCERTAIN
from fer_edge.outputs.status import Status, StatusBoard
from fer_edge.outputs.token_guesses import GuessLimit
from fer_edge.results import Result

if TYPE_CHECKING:
    from fer_edge.outputs.base import Output

CONTENT_TYPE: Final[str] = "text/plain; version=0.0.4; charset=utf-8"
MAX_CONNECTIONS: Final[int] = 16
CONNECTION_S: Final[float] = 10.0


class EmotionCounter:
    """Counts faces by emotion, over all frames."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, result: Result) -> None:
        """Count the faces of a result."""
        for face in result.faces:
            self.counts[face.emotion or UNCERTAIN] += 1


def metrics_text(status: Status, emotions: Counter[str]) -> str:
    """All figures as Prometheus reads them."""
    return cameras_text([(None, status, emotions)])


def cameras_text(cameras: Sequence[tuple[str | None, Status, Counter[str]]]) -> str:
    """The figures of several cameras, each with the label ``camera``.

    Args:
        cameras: name, state and faces by emotion of each; no label for the name None.

    Returns:
        The text; empty where there is no camera.
    """
    values: dict[str, list[str]] = {}
    heads: dict[str, str] = {}
    for name, status, emotions in cameras:
        for metric, kind, text, own, value in _figures(status, emotions):
            labels = [] if name is None else [f'camera="{_escaped(name)}"']
            labels += [f'{key}="{_escaped(label)}"' for key, label in own.items()]
            heads[metric] = f"# HELP fer_{metric} {text}\n# TYPE fer_{metric} {kind}"
            shown = f"{{{','.join(labels)}}}" if labels else ""
            values.setdefault(metric, []).append(f"fer_{metric}{shown} {value:.10g}")
    return "".join(f"{heads[metric]}\n" + "\n".join(lines) + "\n" for metric, lines in values.items())


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


Figure = tuple[str, str, str, dict[str, str], float]
"""Name, kind, help, labels, value."""


def _figures(status: Status, emotions: Counter[str]) -> Iterator[Figure]:
    """Those of one camera, as far as they are known: no figure rather than a wrong one."""

    def metric(name: str, kind: str, text: str, *values: tuple[dict[str, str], float | None]) -> Iterator[Figure]:
        for labels, value in values:
            if value is not None:
                yield name, kind, text, labels, value

    yield from metric("up", "gauge", "1 when results come, and came lately.", ({}, float(status.healthy)))
    yield from metric("uptime_seconds", "gauge", "Since the start.", ({}, status.uptime_s))
    yield from metric("frames_total", "counter", "Frames with a result.", ({}, status.frames))
    yield from metric("frames_dropped_total", "counter", "Frames dropped for newer ones.", ({}, status.dropped))
    yield from metric("faces_total", "counter", "Faces, over all frames.", ({}, status.faces))
    by_emotion = [({"emotion": name}, float(emotions[name])) for name in (*EMOTIONS, UNCERTAIN)]
    yield from metric("emotions_total", "counter", "Faces by emotion, over all frames.", *by_emotion)
    yield from metric("frames_per_second", "gauge", "Results per second, recent average.", ({}, status.fps))
    ages = [({"quantile": "0.5"}, status.age_p50_ms), ({"quantile": "0.99"}, status.age_p99_ms)]
    in_seconds = [(labels, None if age is None else age / 1e3) for labels, age in ages]
    yield from metric("capture_to_result_seconds", "gauge", "Age of recent results.", *in_seconds)
    stages = [({"stage": name}, seconds) for name, seconds in status.busy_s.items()]
    yield from metric("stage_busy_seconds_total", "counter", "Time that a stage was busy.", *stages)
    dropped = [({"output": name}, float(count)) for name, count in status.outputs_dropped.items()]
    text = "Results dropped because an output was too slow."
    yield from metric("output_dropped_total", "counter", text, *dropped)
    failed = [({"output": name}, float(name in status.outputs_failed)) for name in status.outputs_dropped]
    text = "1 when an output has stopped, for example because the disk is full."
    yield from metric("output_failed", "gauge", text, *failed)
    yield from metric("temperature_celsius", "gauge", "Of the processor.", ({}, status.temperature_c))


class _Server(http.server.ThreadingHTTPServer):
    """At most :data:`MAX_CONNECTIONS` visitors at a time, each for at most :data:`CONNECTION_S` seconds."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(listening.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self._until: dict[socket.socket, float] = {}
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            full = len(self._until) >= MAX_CONNECTIONS
            if not full:
                self._until[request] = time.monotonic() + CONNECTION_S
        if full:
            super().shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._until.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called several times per second: disconnects slow clients ("slow loris")."""
        now = time.monotonic()
        with self._lock:
            late = [request for request, until in self._until.items() if now > until]
        for request in late:
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)  # its thread wakes up and tidies

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that went away."""


class MetricsServer:
    """Serves ``/metrics`` alone, with the standard library; the web page has it, too.

    On any other address than this machine's own it demands ``token`` (``Authorization: Bearer ...``). Raises
    :class:`UsageError` where it needs one and has none, or cannot listen.
    """

    name = "metrics"
    lossless = False
    lets_go = True

    def __init__(self, address: tuple[str, int], board: StatusBoard, token: str | None = None) -> None:
        if not is_loopback(address[0]) and not token:
            raise UsageError(
                f"--metrics {address[0]}:{address[1]} can be reached from other machines and so needs FER_WEB_TOKEN "
                "or --web-token-file; Prometheus gives it as authorization: credentials"
            )
        counter = EmotionCounter()
        self._counter = counter
        self._cameras: dict[str, tuple[StatusBoard, EmotionCounter]] = {}
        figures = self._figures
        self._board = board
        guesses = GuessLimit()

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = CONNECTION_S
            server_version, sys_version = "fer-camera", ""

            def do_GET(self) -> None:
                if token is None and not is_loopback(urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""):
                    self._answer(403, b"ask for this as 127.0.0.1 or localhost\n")  # see web_guard.Guard
                elif token is not None and guesses.wait_s(self.client_address[0]):
                    self._answer(429, b"too many wrong tokens\n")
                elif token is not None and not same(given := self.headers.get("Authorization", ""), f"Bearer {token}"):
                    if given:
                        guesses.wrong(self.client_address[0], given)
                    self._answer(401, b"a token is needed\n")
                elif self.path.split("?")[0] in ("/metrics", "/"):
                    self._answer(200, figures().encode())
                else:
                    self._answer(404, b"see /metrics\n")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("X-Content-Type-Options", "nosniff")
                if status == 401:
                    self.send_header("WWW-Authenticate", "Bearer")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing: a scrape every few seconds would fill the log."""

        listening = listen(*address, "--metrics")
        self.host, self.port = str(listening.getsockname()[0]), int(listening.getsockname()[1])
        self._server = _Server(listening, Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="fer-metrics", daemon=True
        )
        self._thread.start()

    def _figures(self) -> str:
        if not self._cameras:
            return metrics_text(self._board.now(), self._counter.counts)
        return cameras_text(
            [(name, board.now(), counter.counts) for name, (board, counter) in self._cameras.copy().items()]
        )

    def of_camera(self, name: str, board: StatusBoard, *, blur: bool) -> Output:
        """See :meth:`fer_edge.outputs.shared.OfCameras.of_camera`."""
        del blur
        return _CameraFigures(self._cameras, name, board)

    def write(self, result: Result) -> None:
        """Count."""
        self._counter.add(result)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _CameraFigures:
    """One camera's share of the figures."""

    name = "metrics"
    lossless = False

    def __init__(self, cameras: dict[str, tuple[StatusBoard, EmotionCounter]], name: str, board: StatusBoard) -> None:
        self._cameras = cameras
        self._camera = name
        self._counter = EmotionCounter()
        cameras[name] = (board, self._counter)

    def write(self, result: Result) -> None:
        self._counter.add(result)

    def forget(self) -> None:
        """The camera is gone for good."""
        self._cameras.pop(self._camera, None)

    def close(self) -> None:
        """The last figures stay, with ``fer_up`` at 0."""
