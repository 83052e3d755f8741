"""A served page, a stand-in for the pipeline behind it, and plain requests to it."""

from __future__ import annotations

import contextlib
import http.client
import time
from types import SimpleNamespace
from typing import Any

import numpy as np

from fer_edge.capture.frames import Frame
from fer_edge.outputs.status import StatusBoard
from fer_edge.results import Face, PipelineStats, Result


def make_result(index: int = 0, happy: float = 0.7, size: tuple[int, int] = (160, 120)) -> Result:
    image = np.full((size[1], size[0], 3), 200, np.uint8)
    image[::2] = 40
    probabilities = np.full(7, (1 - happy) / 6, np.float32)
    probabilities[3] = happy
    face = Face(7, (40, 30, 50, 60), 0.9, "happy", probabilities, probabilities)
    return Result(Frame(image, index, index / 20.0, time.monotonic()), (face,), time.monotonic())


class Pipeline:
    """As much of a pipeline as the page asks for."""

    def __init__(self) -> None:
        self.stats = PipelineStats()
        self.source = SimpleNamespace(state="running", description="camera 0")

    def count(self, result: Result) -> None:
        self.stats.frames += 1
        self.stats.faces += len(result.faces)
        self.stats.done_at.append(result.done_at)
        self.stats.ages_s.append(0.012)


class Page:
    """A served page and plain requests to it."""

    def __init__(self, **options: Any) -> None:
        from fer_edge.outputs.web import WebPage
        from fer_edge.outputs.web_state import WebOptions

        self.pipeline = Pipeline()
        pipeline: Any = self.pipeline
        self.sink = WebPage(WebOptions(**{"port": 0, **options}), StatusBoard(pipeline))

    def show(self, result: Result) -> bool:
        """False, so that it can stand before an ``or``."""
        self.pipeline.count(result)
        self.sink.write(result)
        return False

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.sink.port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
