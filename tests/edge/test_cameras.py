"""Live sources with a scripted capture in place of a camera, and with streams that are really served on loopback."""

from __future__ import annotations

import http.server
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.capture import streams, v4l2
from fer_edge.capture.files import VideoFile
from fer_edge.capture.frames import CaptureOptions
from fer_edge.capture.open import open_source
from fer_edge.capture.streams import LiveCapture, open_camera, open_stream
from fer_edge.capture.v4l2 import CameraInfo, list_cameras
from fer_edge.errors import DeviceError, SourceError
from fer_edge.redact import redact_address


class ScriptedCapture:
    """Gives so many frames, then none; not opened if told so. Remembers what was set."""

    def __init__(self, n_frames: int, opened: bool = True) -> None:
        self.left = n_frames
        self.opened = opened
        self.released = False
        self.settings: list[tuple[int, float]] = []

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def read(self) -> tuple[bool, Any]:
        assert not self.released
        if self.left == 0:
            return False, None
        self.left -= 1
        return True, np.full((4, 6, 3), self.left, np.uint8)

    def get(self, prop: int, /) -> float:
        return 30.0 if prop == cv2.CAP_PROP_FPS else 0.0

    def set(self, prop: int, value: float) -> bool:
        self.settings.append((prop, value))
        return True

    def release(self) -> None:
        self.released = True


def test_a_lost_camera_is_waited_for_with_growing_pauses(monkeypatch: pytest.MonkeyPatch, notices: list[str]) -> None:
    first, back = ScriptedCapture(2), ScriptedCapture(3)
    attempts = [ScriptedCapture(0, opened=False), ScriptedCapture(0, opened=False), ScriptedCapture(0), back]
    script = iter(attempts)
    source = LiveCapture("camera 7", lambda: next(script), first, retry_pauses_s=(0.01, 0.02, 0.04))
    pauses: list[float] = []
    states: list[str] = []
    stopped_wait = source._stopped.wait

    def wait(timeout: float) -> bool:
        pauses.append(timeout)
        states.append(source.state)
        return stopped_wait(0)

    monkeypatch.setattr(source._stopped, "wait", wait)
    assert (source.live, source.continuous, source.fps, source.state) == (True, True, 30.0, "running")
    frames = source.frames()
    seen = [next(frames) for _ in range(5)]
    assert [frame.index for frame in seen] == [0, 1, 2, 3, 4]
    assert all(a.time_s < b.time_s for a, b in itertools.pairwise(seen))
    # Two that did not open, one that opened and gave nothing, then success: the pauses grow through all of it.
    assert pauses == [0.01, 0.02, 0.04, 0.04]
    assert states[0] == "lost, trying again every 0.01 s"
    assert source.state == "running"
    assert notices == ["camera 7 is lost; trying again until it is back", "camera 7 is back"]
    assert first.released
    assert all(attempt.released for attempt in attempts[:3])
    frames.close()  # type: ignore[attr-defined]
    assert back.released


def test_stop_ends_the_waiting() -> None:
    source = LiveCapture("c", lambda: ScriptedCapture(0, opened=False), ScriptedCapture(1), retry_pauses_s=(30.0,))
    threading.Timer(0.1, source.stop).start()
    assert len(list(source.frames())) == 1


def test_v4l2_gets_format_size_rate_and_a_short_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "front door").symlink_to("/dev/video97")  # as a rule of udev makes it
    with pytest.raises(DeviceError, match=r"no camera .*front door; cameras here"):
        open_source(tmp_path / "front door")
    device = tmp_path / "video5"
    device.touch()
    capture = ScriptedCapture(1)
    opened: list[tuple[Any, ...]] = []

    def video_capture(*arguments: Any) -> ScriptedCapture:
        opened.append(arguments)
        return capture

    monkeypatch.setattr(cv2, "VideoCapture", video_capture)
    monkeypatch.setattr("sys.platform", "linux")
    source = open_camera(str(device), CaptureOptions(1280, 720, 30.0, mjpg=True))
    assert opened == [(str(device), cv2.CAP_V4L2)]
    mjpg = cv2.VideoWriter.fourcc(*"MJPG")
    assert capture.settings == [
        (cv2.CAP_PROP_FOURCC, mjpg),  # first: it decides which sizes and rates there are
        (cv2.CAP_PROP_FRAME_WIDTH, 1280),
        (cv2.CAP_PROP_FRAME_HEIGHT, 720),
        (cv2.CAP_PROP_FPS, 30.0),
        (cv2.CAP_PROP_BUFFERSIZE, 1),
    ]
    frames = source.frames()
    assert next(frames).image.shape == (4, 6, 3)
    source.stop()


def test_missing_busy_and_forbidden_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(streams, "list_cameras", lambda: [CameraInfo(2, "Good Cam")])
    with pytest.raises(DeviceError, match=r"no camera /dev/video97; cameras here: 2 \(Good Cam\)"):
        open_source(97)
    device = tmp_path / "video5"
    device.touch()
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: ScriptedCapture(0, opened=False))
    with pytest.raises(DeviceError, match="another program"):
        open_camera(str(device), CaptureOptions())
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(DeviceError, match="group video"):
        open_camera(str(device), CaptureOptions())


def test_cameras_are_listed_without_nodes_that_give_no_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("video10", "video2", "video3", "radio0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(f"Camera on {name}\n")
    monkeypatch.setattr(v4l2, "_captures", lambda device: device.name != "video3")
    assert list_cameras(tmp_path) == [CameraInfo(2, "Camera on video2"), CameraInfo(10, "Camera on video10")]
    assert list_cameras(tmp_path / "nothing") == []


def test_a_node_that_is_no_camera_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not v4l2._captures(tmp_path / "file")
    assert not v4l2._captures(tmp_path / "missing")


def test_passwords_are_not_shown() -> None:
    assert redact_address("rtsp://me:s3cret@cam.local:554/live?x=a@b") == "rtsp://me:***@cam.local:554/live?x=a@b"
    assert redact_address("rtsp://cam.local:554/live") == "rtsp://cam.local:554/live"
    with pytest.raises(SourceError, match=r"me:\*\*\*@127\.0\.0\.1:9") as caught:
        open_stream("rtsp://me:s3cret@127.0.0.1:9/live", CaptureOptions())
    assert "s3cret" not in str(caught.value)


class MjpegServer(http.server.ThreadingHTTPServer):
    """Serves a scene at ``/live`` as motion JPEG, five frames a connection, and a file at ``/scene.avi``."""

    daemon_threads = True

    def __init__(self, jpeg: bytes, video: bytes) -> None:
        super().__init__(("127.0.0.1", 0), MjpegHandler)
        self.jpeg, self.video = jpeg, video
        self.connections = 0


class MjpegHandler(http.server.BaseHTTPRequestHandler):
    server: MjpegServer

    def do_GET(self) -> None:
        self.server.connections += 1
        self.send_response(200)
        if self.path == "/live":
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for _ in range(5):
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(self.server.jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + self.server.jpeg + b"\r\n")
        else:
            self.send_header("Content-Length", str(len(self.server.video)))
            self.end_headers()
            self.wfile.write(self.server.video)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mjpeg(scene: npt.NDArray[np.uint8], video: Path) -> Iterator[MjpegServer]:
    encoded = cv2.imencode(".jpg", scene)[1].tobytes()
    with MjpegServer(encoded, video.read_bytes()) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_broken_off_http_stream_is_opened_again(mjpeg: MjpegServer, notices: list[str]) -> None:
    source = open_source(f"http://127.0.0.1:{mjpeg.server_address[1]}/live")
    assert isinstance(source, LiveCapture)
    source._pauses = (0.05,)
    frames = source.frames()
    seen = [next(frames) for _ in range(9)]
    assert seen[-1].index == 8
    assert mjpeg.connections >= 2
    assert seen[0].image.shape == (240, 320, 3)
    assert any("is lost" in notice for notice in notices)
    assert any("is back" in notice for notice in notices)
    frames.close()  # type: ignore[attr-defined]


def test_a_finite_file_behind_an_address_is_read_once(mjpeg: MjpegServer) -> None:
    source = open_source(f"http://127.0.0.1:{mjpeg.server_address[1]}/scene.avi")
    assert isinstance(source, VideoFile)
    assert len(list(source.frames())) == 12


def test_nobody_answers() -> None:
    with pytest.raises(SourceError, match="cannot be opened as a stream"):
        open_source("http://127.0.0.1:9/live")
