"""RTSP servers on this machine that play a video: GStreamer's, of the distribution's packages."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2

from fer_bench.log import LOG
from fer_edge.errors import MissingDependencyError, SourceError
from fer_edge.files import ffmpeg_name

__all__ = ["PYTHON", "served"]

PYTHON: Final[Path] = Path("/usr/bin/python3")
"""Debian's GStreamer bindings belong to it."""
_PACKAGES: Final[str] = "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-{base,good,bad}"
_START_S: Final[float] = 20.0
_SERVER: Final[str] = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
for element in ("filesrc", "qtdemux", "h264parse", "rtph264pay", "openh264enc", "avidemux", "jpegdec"):
    assert Gst.ElementFactory.find(element), element
if len(sys.argv) == 3:
    source, path = sys.argv[1:]
    encode = f'filesrc location="{source}" ! avidemux ! jpegdec ! videoconvert ! video/x-raw,format=I420'
    encode += " ! openh264enc bitrate=3000000 gop-size=30 ! h264parse ! mp4mux"
    pipeline = Gst.parse_launch(f'{encode} ! filesink location="{path}"')
    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    sys.exit(message.type != Gst.MessageType.EOS)
if len(sys.argv) > 3:
    port, path, number = sys.argv[1:]
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    for n in range(int(number)):
        factory = GstRtspServer.RTSPMediaFactory()
        play = f'filesrc location="{path}" ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=1'
        factory.set_launch(f'( {play} )')
        server.get_mount_points().add_factory(f"/camera{n}", factory)
    server.attach(None)
    GLib.MainLoop().run()
"""


@contextlib.contextmanager
def served(video: Path, n_cameras: int, seconds: float) -> Iterator[list[str]]:
    """Serve a video as H.264 at ``n_cameras`` addresses, each at its own pace from its beginning.

    Args:
        video: the file; repeated until it is long enough.
        n_cameras: how many addresses.
        seconds: how long it is to last.

    Yields:
        The addresses.

    Raises:
        MissingDependencyError: there is no such server on this machine.
        SourceError: the video cannot be read.
    """
    if not sys.platform.startswith("linux") or not PYTHON.exists():
        raise MissingDependencyError("--rtsp needs Linux with GStreamer's RTSP server")
    if subprocess.run([str(PYTHON), "-c", _SERVER], capture_output=True, check=False).returncode:
        raise MissingDependencyError(f"--rtsp needs GStreamer's RTSP server: apt-get install {_PACKAGES}")
    with tempfile.TemporaryDirectory(prefix="fer-bench-") as folder:
        path = _as_h264(video, Path(folder), seconds)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [str(PYTHON), "-c", _SERVER, str(port), str(path), str(n_cameras)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                _wait_for(port)
                yield [f"rtsp://127.0.0.1:{port}/camera{n}" for n in range(n_cameras)]
            finally:
                server.kill()


def _as_h264(video: Path, folder: Path, seconds: float) -> Path:
    LOG.info("encoding %s for RTSP: %.0f s of it", video.name, seconds)
    long, path = folder / "long.avi", folder / "served.mp4"
    capture = cv2.VideoCapture(ffmpeg_name(video), cv2.CAP_FFMPEG)
    fps = capture.get(cv2.CAP_PROP_FPS) or 15.0
    size = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    writer = cv2.VideoWriter(str(long), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), fps, size)
    missing = round(seconds * fps)
    while missing > 0:
        done, image = capture.read()
        if not done:
            capture.release()
            capture = cv2.VideoCapture(ffmpeg_name(video), cv2.CAP_FFMPEG)
            done, image = capture.read()
            if not done:
                raise SourceError(f"{video} cannot be read as a video")
        writer.write(image)
        missing -= 1
    writer.release()
    capture.release()
    encoded = subprocess.run([str(PYTHON), "-c", _SERVER, str(long), str(path)], capture_output=True, check=False)
    if encoded.returncode or not path.exists():
        raise MissingDependencyError(f"GStreamer cannot encode H.264 here: apt-get install {_PACKAGES}")
    return path


def _wait_for(port: int) -> None:
    end = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise SourceError(f"the RTSP server did not start within {_START_S:.0f} s") from None
            time.sleep(0.05)
