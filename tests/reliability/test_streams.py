"""Cameras and streams that break off, stall, send nonsense and change their size, and come back."""

from __future__ import annotations

import http.server
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from tests.edge.test_rtsp import RtspServer, rtsp  # noqa: F401 - the fixture
from tests.reliability.campaign import Campaign, figures, rss_kib

from fer_edge.capture import streams as cameras
from fer_edge.capture.open import open_source
from fer_edge.capture.streams import LiveCapture
from fer_edge.faces.detectors.haar import HaarDetector
from fer_edge.loading.open import open_classifier
from fer_edge.pipeline import FacePipeline
from fer_edge.results import Result

Image = npt.NDArray[np.uint8]


class Plugged:
    """As much of ``cv2.VideoCapture`` as is used; gives so many frames, then is pulled out."""

    def __init__(self, image: Image, frames: int, opened: bool = True) -> None:
        self._image, self._left, self._opened = image, frames, opened

    def isOpened(self) -> bool:  # noqa: N802
        return self._opened

    def read(self) -> tuple[bool, Any]:
        time.sleep(0.002)
        self._left -= 1
        return (True, self._image.copy()) if self._left >= 0 else (False, None)

    def get(self, prop: int, /) -> float:
        return 30.0 if prop == cv2.CAP_PROP_FPS else 0.0

    def release(self) -> None:
        self._opened = False


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Watch:
    """A pipeline with the shipped network whose results are taken as long as is wanted."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.pipeline = FacePipeline(source, open_classifier(), HaarDetector(width=160), detect_every=2)
        self._results = self.pipeline.poll(0.05)
        self.frames: list[int] = []
        self.shapes: set[tuple[int, ...]] = set()

    def until(self, condition: Callable[[Result | None], object], what: str, timeout_s: float = 60.0) -> float:
        began = time.monotonic()
        for result in self._results:
            if result is not None:
                self.frames.append(result.index)
                self.shapes.add(result.image.shape)
            if condition(result):
                return time.monotonic() - began
            assert time.monotonic() - began < timeout_s, f"waited {timeout_s:.0f} s for {what}"
        raise AssertionError(f"ended while waiting for {what}")

    def more(self, n: int) -> float:
        end = len(self.frames) + n
        return self.until(lambda _: len(self.frames) >= end, f"{n} frames")

    def close(self) -> None:
        self.pipeline.request_stop()
        assert list(self._results) == []
        assert all(a < b for a, b in itertools.pairwise(self.frames))


def test_camera_unplugged_and_back(campaign: Campaign, scene: Image, notices: list[str]) -> None:
    times = campaign.count(10, 200)
    opened = 0

    def plug_in() -> Plugged:
        nonlocal opened
        opened += 1
        picture = np.ascontiguousarray(scene[: 240 - 40 * (opened % 4), : 320 - 60 * (opened % 3)])  # another size
        return Plugged(picture, 12 if opened % 3 else 0, opened % 5 != 0)  # some attempts fail, some give no frame

    source = LiveCapture("camera 0", plug_in, Plugged(scene, 12), retry_pauses_s=(0.01,))
    watch = Watch(source)
    watch.more(3)
    before = (descriptors(), threading.active_count())
    watch.until(lambda _: len(notices) >= 2 * times, f"{times} returns", 300.0)
    assert (descriptors(), threading.active_count()) == before
    watch.close()
    lost = sum("is lost" in notice for notice in notices)
    back = notices.count("camera 0 is back")
    campaign.record(lost=lost, back=back, attempts=opened, frames=len(watch.frames), sizes=len(watch.shapes))
    assert len(watch.shapes) > 1
    assert back >= times
    assert lost - back in (0, 1)


def test_rtsp_server_killed_and_back(campaign: Campaign, rtsp: RtspServer) -> None:  # noqa: F811
    times = campaign.count(1, 20)
    rtsp.start()
    source = open_source(rtsp.address)
    watch = Watch(source)
    watch.more(5)
    noticed_s, recovered_s = [], []
    memory: list[int] = []
    for number in range(times):
        rtsp.kill()
        noticed_s.append(watch.until(lambda _: source.state != "running", "the loss"))
        rtsp.start()
        recovered_s.append(watch.more(5))
        if number == min(4, times - 1):
            memory.append(rss_kib(os.getpid()))
            resources = (descriptors(), threading.active_count())
    memory.append(rss_kib(os.getpid()))
    assert threading.active_count() <= resources[1]
    assert descriptors() <= resources[0] + 1
    watch.close()
    rtsp.kill()
    campaign.record(
        times=times,
        noticed_after_s=figures(noticed_s),
        recovered_after_s=figures(recovered_s),
        memory_growth_kib_since_fifth=memory[1] - memory[0],
        frames=len(watch.frames),
    )


class FaultyStream(http.server.ThreadingHTTPServer):
    """Motion JPEG with a fault in each connection, of the kind that ``fault`` says."""

    daemon_threads = True

    def __init__(self, image: Image, fault: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.large = cv2.imencode(".jpg", image)[1].tobytes()
        # Upright, as from a phone that was turned
        self.other = cv2.imencode(".jpg", image[:, 80:240])[1].tobytes()
        self.fault = fault
        self.faults = 0
        self.over = threading.Event()

    def handle_error(self, *_: object) -> None:
        pass


class _Handler(http.server.BaseHTTPRequestHandler):
    server: FaultyStream

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        rng = np.random.default_rng(self.server.faults)
        for number in itertools.count(1):
            jpeg = self.server.large
            faulty = number % 8 == 0
            self.server.faults += faulty
            if faulty and self.server.fault == "half-written frames":
                jpeg = jpeg[: int(rng.integers(2, len(jpeg)))]
            if self.server.fault == "changing size" and number // 8 % 2:
                jpeg = self.server.other
            if faulty and self.server.fault == "broken off in a frame":
                self.wfile.write(self._part(jpeg)[: int(rng.integers(50, 3000))])
                return
            if faulty and self.server.fault == "stalled":
                self.server.over.wait(120.0)
                return
            self.wfile.write(self._part(jpeg))
            time.sleep(0.02)

    @staticmethod
    def _part(jpeg: bytes) -> bytes:
        return f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode() + jpeg + b"\r\n"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def faulty(scene: Image) -> Iterator[Callable[[str], FaultyStream]]:
    servers: list[tuple[FaultyStream, threading.Thread]] = []

    def start(fault: str) -> FaultyStream:
        server = FaultyStream(scene, fault)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    for server, thread in servers:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    "fault",
    ["half-written frames", "changing size", "broken off in a frame", pytest.param("stalled", marks=pytest.mark.slow)],
)
def test_stream_with(
    campaign: Campaign,
    faulty: Callable[[str], FaultyStream],
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    notices: list[str],
) -> None:
    times = campaign.count(2, 20 if fault == "stalled" else 50)
    if fault == "stalled":
        monkeypatch.setattr(cameras, "READ_TIMEOUT_MS", 1000)  # 8 s in the product
    server = faulty(fault)
    source = open_source(f"http://127.0.0.1:{server.server_address[1]}/live")
    assert isinstance(source, LiveCapture)
    source._pauses = (0.05,)
    watch = Watch(source)
    watch.until(lambda _: server.faults >= times, f"{times} faults", 300.0)
    after = watch.more(5) if fault != "stalled" else 0.0
    watch.close()
    lost = sum("is lost" in notice for notice in notices)
    sizes = sorted(f"{shape[1]}x{shape[0]}" for shape in watch.shapes)
    campaign.record(faults=server.faults, times_opened_again=lost, frames=len(watch.frames), sizes=sizes)
    assert after < 30.0
    if fault == "changing size":
        assert sizes == ["160x240", "320x240"]  # as sent, not stretched to the first
        assert lost == 0
    if fault in ("broken off in a frame", "stalled"):
        assert lost >= times - 1
