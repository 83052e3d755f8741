"""The download of the face detector, against a server on loopback that misbehaves in every way it can."""

from __future__ import annotations

import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fer_edge.errors import MissingDependencyError
from fer_edge.faces.yunet_file import YUNET, PinnedFile, cache_folder, download, yunet_file

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.released = threading.Event()

    def pinned(self, behaviour: str, sha256: str = SHA256, size: int = len(CONTENT)) -> PinnedFile:
        return PinnedFile(f"http://127.0.0.1:{self.server_address[1]}/{behaviour}/yunet.onnx", sha256, size)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        behaviour = self.path.split("/")[1]
        if behaviour == "missing":
            self.send_error(404)
            return
        if behaviour == "moved":
            self.send_response(302)
            self.send_header("Location", "/good/yunet.onnx")
            self.end_headers()
            return
        self.send_response(200)
        if behaviour == "short":  # promises more than it sends
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:1000])
            return
        self.end_headers()
        if behaviour == "good":
            self.wfile.write(CONTENT)
        elif behaviour == "brief":  # ends early without having promised anything
            self.wfile.write(CONTENT[:1000])
        elif behaviour == "endless":
            while not self.server.released.is_set():
                try:
                    self.wfile.write(CONTENT)
                except OSError:
                    return
        elif behaviour == "silent":
            self.wfile.write(CONTENT[:10])
            self.wfile.flush()
            self.server.released.wait(10)
        elif behaviour == "trickling":
            while not self.server.released.wait(0.05):
                try:
                    self.wfile.write(b"x")
                    self.wfile.flush()
                except OSError:
                    return

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("behaviour", ["good", "moved"])
def test_fetched_once_and_kept(server: Server, empty_cache: Path, behaviour: str) -> None:
    path = yunet_file(server.pinned(behaviour))
    assert path == empty_cache / "yunet.onnx"
    assert path.read_bytes() == CONTENT
    seen = len(server.requests)
    assert yunet_file(server.pinned(behaviour)) == path
    assert len(server.requests) == seen
    assert [p.name for p in empty_cache.iterdir()] == ["yunet.onnx"]


def test_a_damaged_copy_is_replaced(server: Server, empty_cache: Path) -> None:
    empty_cache.mkdir(parents=True)
    (empty_cache / "yunet.onnx").write_bytes(CONTENT[:-1] + b"?")
    assert yunet_file(server.pinned("good")).read_bytes() == CONTENT


def test_another_checksum_is_refused(server: Server, empty_cache: Path) -> None:
    with pytest.raises(MissingDependencyError, match="expected sha256 000000000000"):
        yunet_file(server.pinned("good", sha256="0" * 64))
    assert not empty_cache.exists()


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("short", "expected 102400 bytes, got 1000|cannot fetch"),
        ("brief", "expected 102400 bytes, got 1000"),
        ("endless", "expected 102400 bytes, got more"),
        ("missing", "Not Found"),
    ],
)
def test_a_wrong_answer_is_refused(server: Server, empty_cache: Path, behaviour: str, message: str) -> None:
    with pytest.raises(MissingDependencyError, match=message) as caught:
        yunet_file(server.pinned(behaviour))
    assert "--detector-model" in str(caught.value)
    assert not empty_cache.exists()


@pytest.mark.parametrize("behaviour", ["silent", "trickling"])
def test_a_stalled_answer_times_out(server: Server, behaviour: str) -> None:
    began = time.monotonic()
    with pytest.raises(MissingDependencyError, match="no complete answer"):
        download(server.pinned(behaviour), stall_s=0.3, total_s=0.5)
    assert time.monotonic() - began < 3


def test_no_server_at_all() -> None:
    with pytest.raises(MissingDependencyError, match=r"yunet\.onnx from 127\.0\.0\.1:9: Connection refused"):
        download(PinnedFile("http://127.0.0.1:9/yunet.onnx", SHA256, 1))


def test_a_cache_that_cannot_be_written(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(MissingDependencyError, match="cannot be kept"):
        yunet_file(server.pinned("good"))


def test_the_pin(assets: Path) -> None:
    """The pinned length and checksum are those of the real file."""
    content = (assets / "detectors" / YUNET.name).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (YUNET.size, YUNET.sha256)
    assert YUNET.url.startswith("https://github.com/opencv/opencv_zoo/")


def test_the_cache_folder_follows_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/maker")
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == Path("/home/maker/.cache/fer-edge")
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder() == Path("/home/maker/Library/Caches/fer-edge")
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/appdata")
    assert cache_folder() == Path("/appdata/fer-edge")
