"""Figures for Prometheus, in its text format (version 0.0.4); written out by hand, which spares a dependency."""

from __future__ import annotations

import http.server
import threading
from collections import Counter
from typing import Final

from fer_edge.draw import UNCERTAIN
from fer_edge.labels import EMOTIONS
from fer_edge.pipeline import Result
from fer_edge.sinks.address import listen
from fer_edge.status import Status, StatusBoard

CONTENT_TYPE: Final[str] = "text/plain; version=0.0.4; charset=utf-8"


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
    lines: list[str] = []

    def metric(name: str, kind: str, text: str, *values: tuple[str, float | None]) -> None:
        known = [(labels, value) for labels, value in values if value is not None]
        if known:
            lines.extend([f"# HELP fer_{name} {text}", f"# TYPE fer_{name} {kind}"])
            lines.extend(f"fer_{name}{labels} {value:.10g}" for labels, value in known)

    metric("up", "gauge", "1 when results come, and came lately.", ("", float(status.healthy)))
    metric("uptime_seconds", "gauge", "Since the start.", ("", status.uptime_s))
    metric("frames_total", "counter", "Frames with a result.", ("", status.frames))
    metric("frames_dropped_total", "counter", "Frames passed over for newer ones.", ("", status.dropped))
    metric("faces_total", "counter", "Faces, over all frames.", ("", status.faces))
    by_emotion = [(f'{{emotion="{name}"}}', float(emotions[name])) for name in (*EMOTIONS, UNCERTAIN)]
    metric("emotions_total", "counter", "Faces by emotion, over all frames.", *by_emotion)
    metric("frames_per_second", "gauge", "Results a second, of late.", ("", status.fps))
    ages = [('{quantile="0.5"}', status.age_p50_ms), ('{quantile="0.99"}', status.age_p99_ms)]
    in_seconds = [(labels, None if age is None else age / 1e3) for labels, age in ages]
    metric("capture_to_result_seconds", "gauge", "Age of results, of the latest frames.", *in_seconds)
    stages = [(f'{{stage="{name}"}}', seconds) for name, seconds in status.busy_s.items()]
    metric("stage_busy_seconds_total", "counter", "Time that a stage has worked.", *stages)
    outputs = [(f'{{output="{name}"}}', float(count)) for name, count in status.outputs_dropped.items()]
    metric("output_dropped_total", "counter", "Results that an output was too slow for.", *outputs)
    metric("temperature_celsius", "gauge", "Of the processor.", ("", status.temperature_c))
    return "\n".join(lines) + "\n"


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that went away."""


class MetricsServer:
    """Serves ``/metrics`` alone, with the standard library; the web page has it, too."""

    name = "metrics"
    lossless = False

    def __init__(self, address: tuple[str, int], board: StatusBoard) -> None:
        counter = EmotionCounter()
        self._counter = counter

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 10.0

            def do_GET(self) -> None:
                known = self.path.split("?")[0] in ("/metrics", "/")
                body = metrics_text(board.now(), counter.counts).encode() if known else b"see /metrics\n"
                self.send_response(200 if known else 404)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing: a scrape every few seconds would fill the log."""

        socket = listen(*address, "--metrics")
        self._server = _Server(address, Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = socket
        self.port: int = socket.getsockname()[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="fer-metrics", daemon=True
        )
        self._thread.start()

    def write(self, result: Result) -> None:
        """Count."""
        self._counter.add(result)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
