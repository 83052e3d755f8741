"""An RTSP stream from a real server (GStreamer's, of Debian's packages) that is killed and started again."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fer_edge.capture.open import open_source
from fer_edge.capture.streams import LiveCapture
from fer_edge.faces.detection import DetectedFace
from fer_edge.loading.open import open_classifier
from fer_edge.pipeline import FacePipeline

SYSTEM_PYTHON = Path("/usr/bin/python3")  # Debian's GStreamer bindings belong to it
SERVER = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
for element in ("videotestsrc", "jpegenc", "rtpjpegpay"):
    assert Gst.ElementFactory.find(element), element
if len(sys.argv) > 1:
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1])
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=20/1"
        " ! jpegenc ! rtpjpegpay name=pay0 pt=26 )"
    )
    factory.set_shared(True)
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    GLib.MainLoop().run()
"""


class RtspServer:
    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/live"

    def start(self) -> None:
        command = [str(SYSTEM_PYTHON), "-c", SERVER, str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return
            except OSError:
                assert time.monotonic() < end, "the RTSP server did not start"
                time.sleep(0.05)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def rtsp() -> Iterator[RtspServer]:
    if not sys.platform.startswith("linux") or not SYSTEM_PYTHON.exists():
        pytest.skip("needs Debian's GStreamer RTSP server")
    probe = subprocess.run([str(SYSTEM_PYTHON), "-c", SERVER], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-{base,good}")
    server = RtspServer()
    yield server
    server.kill()


class NoFaces:
    name = "none"

    def detect(self, image: object, small: object = None) -> list[DetectedFace]:
        return []


def wait_for(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


def test_killed_and_restarted_in_mid_stream(rtsp: RtspServer, notices: list[str]) -> None:
    rtsp.start()
    source = open_source(rtsp.address)
    assert isinstance(source, LiveCapture)
    source._pauses = (0.2,)
    run = FacePipeline(source, open_classifier(backend="fake"), NoFaces())
    results = run.poll(0.1)

    def take(n: int) -> list[int]:
        frames: list[int] = []
        end = time.monotonic() + 20
        while len(frames) < n:
            assert time.monotonic() < end, f"only {len(frames)} frames came"
            result = next(results)
            if result is not None:
                assert result.image.shape == (240, 320, 3)
                frames.append(result.index)
        return frames

    before = take(10)
    rtsp.kill()
    while source.state == "running":  # the loop goes on, only without results
        next(results)
    assert source.state.startswith("lost, trying again")
    assert run.alive
    rtsp.start()
    after = take(10)
    assert source.state == "running"
    frames = before + after
    assert frames == sorted(set(frames))
    assert notices == [f"{rtsp.address} is lost; trying again until it is back", f"{rtsp.address} is back"]
    run.request_stop()
    assert list(results) == []
    rtsp.kill()
