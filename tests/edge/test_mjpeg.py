"""Motion JPEG in many dialects, single pictures and films behind HTTP addresses, really served on loopback."""

from __future__ import annotations

import base64
import contextlib
import gc
import hashlib
import itertools
import re
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.edge.made_files import AS_SEEN, alike, corners, film, jpeg, png, set_matrix

from fer_edge.capture.files import VideoFile
from fer_edge.capture.frames import CaptureOptions
from fer_edge.capture.mjpeg import JpegSplitter
from fer_edge.capture.open import open_source
from fer_edge.capture.streams import LiveCapture
from fer_edge.errors import SourceError

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


@pytest.fixture
def served() -> Iterator[Callable[[Callable[[bytes, Write], None]], Server]]:
    running: list[tuple[Server, threading.Thread]] = []

    def start(answer: Callable[[bytes, Write], None]) -> Server:
        server = Server(answer)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def head(content_type: str, newline: bytes = b"\r\n", *more: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Type: " + content_type.encode(), b"Connection: close", *more]
    return newline.join(lines) + newline + newline


def part(picture: bytes, *, newline: bytes = b"\r\n", kind: bytes = b"image/jpeg", length: int | None = 0) -> bytes:
    lines = [b"Content-Type: " + kind]
    if length is not None:
        lines.append(b"Content-Length: %d" % (len(picture) + length))
    return newline.join(lines) + newline + newline + picture


MIXED = "multipart/x-mixed-replace; boundary=frame"
CUT = PICTURES[0][: len(PICTURES[0]) // 2]
DIALECTS: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "plain": (head(MIXED), lambda p: b"--frame\r\n" + part(p) + b"\r\n"),
    "boundary behind the part": (head(MIXED), lambda p: part(p) + b"--frame\r\n"),
    "image/jpg": (head(MIXED), lambda p: b"--frame\r\n" + part(p, kind=b"image/jpg") + b"\r\n"),
    "no length": (head(MIXED), lambda p: b"--frame\r\n" + part(p, length=None) + b"\r\n"),
    "length too large": (head(MIXED), lambda p: b"--frame\r\n" + part(p, length=2) + b"\r\n"),
    "length too small": (head(MIXED), lambda p: b"--frame\r\n" + part(p, length=-9) + b"\r\n"),
    "length of zero": (head(MIXED), lambda p: b"--frame\r\n" + part(p, length=-len(p)) + b"\r\n"),
    "lines end in LF": (head(MIXED, b"\n"), lambda p: b"--frame\n" + part(p, newline=b"\n") + b"\n"),
    "boundary quoted": (head(MIXED.replace("frame", '"frame"')), lambda p: b"--frame\r\n" + part(p) + b"\r\n"),
    "boundary with dashes": (head(MIXED.replace("frame", "--frame")), lambda p: b"--frame\r\n" + part(p) + b"\r\n"),
    "boundary without dashes": (head(MIXED), lambda p: b"frame\r\n" + part(p) + b"\r\n"),
    "no boundary told": (head("multipart/x-mixed-replace"), lambda p: b"--x\r\n" + part(p) + b"\r\n"),
    "capitals": (head("Multipart/X-Mixed-Replace;BOUNDARY=frame"), lambda p: b"--frame\r\n" + part(p) + b"\r\n"),
    "octet-stream": (head("application/octet-stream"), lambda p: b"--frame\r\n" + part(p) + b"\r\n"),
    "no part headers": (head(MIXED), lambda p: b"--frame\r\n\r\n" + p + b"\r\n"),
    "JPEG after JPEG": (head("image/jpeg"), lambda p: p),
    "zeros between": (head(MIXED), lambda p: b"--frame\r\n" + part(p + bytes(37)) + b"\r\n"),
    "other parts between": (
        head(MIXED),
        lambda p: b"--frame\r\nContent-Type: text/xml\r\n\r\n<a/>\r\n--frame\r\n" + part(p),
    ),
    "now and then cut off": (head(MIXED), lambda p: b"--frame\r\n" + part(CUT, length=None) + b"--frame\r\n" + part(p)),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("chunked", [False, True])
def test_dialects(dialect: str, chunked: bool, served: Callable[..., Server], notices: list[str]) -> None:
    begin, frame = DIALECTS[dialect]

    def answer(_request: bytes, write: Write) -> None:
        write(begin[:-2] + b"Transfer-Encoding: chunked\r\n\r\n" if chunked and begin.endswith(b"\r\n\r\n") else begin)
        for picture in PICTURES:
            data = frame(picture)
            for piece in (data[:700], data[700:]):
                write(b"%x\r\n" % len(piece) + piece + b"\r\n" if chunked and begin.endswith(b"\r\n\r\n") else piece)
        server.ended.wait(5.0)  # a camera goes on; the end would be a loss

    server = served(answer)
    source = open_source(f"http://{server.address}/stream")
    assert isinstance(source, LiveCapture)
    frames = list(itertools.islice(source.frames(), len(PICTURES)))
    source.stop()
    for frame_, number in zip(frames, range(6), strict=True):
        assert alike(frame_.image, np.roll(corners(), 8 * number, axis=1))
    assert notices == []
    assert len(server.requests) == 1  # small cameras serve one visitor at a time


def test_a_thumbnail_inside_is_no_picture_of_its_own() -> None:
    small = jpeg(corners(16, 12), None)
    outer = PICTURES[0]
    block = b"Exif\0\0" + small
    picture = outer[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + outer[2:]
    splitter = JpegSplitter()
    splitter.feed(picture + PICTURES[1])
    assert splitter.next() == picture
    assert splitter.next() == PICTURES[1]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 900), min_size=1, max_size=12),
    st.lists(
        st.binary(max_size=40).filter(lambda between: b"\xff\xd8" not in between and between[-1:] != b"\xff"),
        min_size=6,
        max_size=6,
    ),
)
def test_however_the_stream_is_cut(cuts: list[int], between: list[bytes]) -> None:
    stream = b"".join(noise + picture for noise, picture in zip(between, PICTURES, strict=True))
    splitter = JpegSplitter()
    found, at = [], 0
    for size in itertools.cycle(cuts):
        if at >= len(stream):
            break
        splitter.feed(stream[at : at + size])
        at += size
        while (picture := splitter.next()) is not None:
            found.append(picture)
    assert found == PICTURES


def test_progressive_pictures_and_what_never_holds_one() -> None:
    progressive = cv2.imencode(".jpg", corners(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    splitter = JpegSplitter()
    splitter.feed(progressive * 2)
    assert splitter.next() == splitter.next() == progressive
    for _ in range(90):
        splitter.feed(bytes(50_000))
        assert splitter.next() is None
    assert splitter.lost


def test_a_multipart_stream_without_pictures_is_refused(served: Callable[..., Server]) -> None:
    server = served(lambda _, write: write(head(MIXED) + b"--frame\r\nContent-Type: text/xml\r\n\r\n<alarm/>\r\n"))
    with pytest.raises(SourceError, match="no JPEG pictures"):
        open_source(f"http://{server.address}/events")


@pytest.mark.parametrize("told_length", [True, False])
@pytest.mark.parametrize("path", ["/snap.jpg", "/capture", "/cgi-bin/shot?size=1"])
def test_an_address_of_one_picture_is_asked_again_and_again(
    path: str, told_length: bool, served: Callable[..., Server], notices: list[str]
) -> None:
    numbers = itertools.count()

    def answer(_request: bytes, write: Write) -> None:
        picture = PICTURES[next(numbers) % 6]
        length = [b"Content-Length: %d" % len(picture)] if told_length else []
        write(head("image/jpeg", b"\r\n", *length) + picture)

    source = open_source(f"http://{served(answer).address}{path}", CaptureOptions(fps=20.0))
    assert (source.live, source.fps) == (True, 20.0)
    frames = list(itertools.islice(source.frames(), 5))
    source.stop()
    for number, frame in enumerate(frames):
        assert alike(frame.image, np.roll(corners(), 8 * number, axis=1))
    steps = np.diff([frame.captured_at for frame in frames])
    assert steps.mean() > 0.04  # not oftener than asked; how late is up to the machine
    assert notices == []


def test_once_a_second_unless_told_otherwise_and_the_wait_can_be_ended(served: Callable[..., Server]) -> None:
    server = served(lambda _, write: write(head("image/png", b"\r\n", b"Content-Length: %d" % len(PNG)) + PNG))
    source = open_source(f"http://{server.address}/capture", CaptureOptions(orientation=6))
    assert source.fps == 1.0
    frames = source.frames()
    assert alike(next(frames).image, AS_SEEN[6](corners()))
    threading.Timer(0.1, source.stop).start()
    began = time.monotonic()
    assert list(frames) == []
    assert time.monotonic() - began < 0.9


PNG = png(corners(), 1)


def test_a_busy_camera_is_not_lost_but_a_dead_one_is(served: Callable[..., Server], notices: list[str]) -> None:
    numbers = itertools.count()

    def answer(_request: bytes, write: Write) -> None:
        busy = next(numbers) in (1, 2, 5, *range(8, 12))
        write(b"HTTP/1.0 503 Busy\r\n\r\n" if busy else head("image/jpeg") + PICTURES[0])

    source = open_source(f"http://{served(answer).address}/c", CaptureOptions(fps=50.0))
    assert isinstance(source, LiveCapture)
    source._pauses = (0.01,)
    frames = source.frames()
    assert len([next(frames) for _ in range(5)]) == 5
    assert notices == []
    next(frames)
    source.stop()


@pytest.mark.parametrize("kind", ["image/jpeg", "video/x-motion-jpeg", "application/octet-stream"])
def test_a_file_of_motion_jpeg_behind_an_address_ends(kind: str, served: Callable[..., Server]) -> None:
    content = b"".join(PICTURES)
    server = served(lambda _, write: write(head(kind, b"\r\n", b"Content-Length: %d" % len(content)) + content))
    source = open_source(f"http://{server.address}/row.mjpeg")
    assert not source.live
    assert len(list(source.frames())) == len(PICTURES)
    looped = open_source(f"http://{server.address}/row.mjpeg", CaptureOptions(loop=True)).frames()
    assert len(list(itertools.islice(looped, 15))) == 15


@pytest.mark.parametrize("announced", [True, False])
def test_a_photo_with_a_second_picture_inside_is_one(announced: bool, served: Callable[..., Server]) -> None:
    """Phones put a preview or a gain map behind the photo, and say so."""
    block = b"\xff\xe2" + (2 + 4 + 20).to_bytes(2, "big") + b"MPF\0" + bytes(20)
    content = PICTURES[0][:2] + block + PICTURES[0][2:] + PICTURES[1]
    length = [b"Content-Length: %d" % len(content)] if announced else []
    server = served(lambda _, write: write(head("image/jpeg", b"\r\n", *length) + content))
    frames = open_source(f"http://{server.address}/photo.jpg", CaptureOptions(fps=50.0)).frames()
    for frame in itertools.islice(frames, 3):
        assert alike(frame.image, corners())


def test_a_stream_of_one_part_is_asked_again_without_a_word(served: Callable[..., Server], notices: list[str]) -> None:
    pictures = iter(PICTURES * 3)
    server = served(lambda _, write: write(head(MIXED) + b"--frame\r\n" + part(next(pictures)) + b"\r\n--frame--\r\n"))
    frames = open_source(f"http://{server.address}/snap", CaptureOptions(fps=50.0)).frames()
    for frame, wanted in zip(itertools.islice(frames, 5), [0, 8, 16, 24, 32], strict=True):
        assert alike(frame.image, np.roll(corners(), wanted, axis=1))
    assert notices == []


def test_a_stream_that_ends_and_begins_again_has_ended(served: Callable[..., Server], notices: list[str]) -> None:
    pictures = [PICTURES[0], PICTURES[0], *PICTURES]  # a title that stands for a while
    content = head(MIXED) + b"".join(b"--frame\r\n" + part(picture) + b"\r\n" for picture in pictures)
    source = open_source(f"http://{served(lambda _, write: write(content)).address}/live")
    assert isinstance(source, LiveCapture)
    source._pauses = (0.01,)
    assert len(list(source.frames())) == len(pictures)
    assert "has ended" in notices[-1]


def test_a_camera_that_begins_with_the_same_picture_has_not_ended(served: Callable[..., Server]) -> None:
    """ "No signal" at every start, then what is there now."""
    now = itertools.count(1)

    def answer(_request: bytes, write: Write) -> None:
        shown = [PICTURES[0], PICTURES[0], PICTURES[next(now)]]
        write(head(MIXED) + b"".join(b"--frame\r\n" + part(picture) + b"\r\n" for picture in shown))

    source = open_source(f"http://{served(answer).address}/live")
    assert isinstance(source, LiveCapture)
    source._pauses = (0.01,)
    assert len(list(itertools.islice(source.frames(), 5))) == 5  # 3, then the new one of each further start


@pytest.mark.parametrize("name", ["film.mp4", "film.mpg", "film.avi"])
def test_a_film_behind_an_address_ends_and_loops(tmp_path: Path, name: str, served: Callable[..., Server]) -> None:
    codec = {"film.mp4": "mp4v", "film.mpg": "mpg1", "film.avi": "MJPG"}[name]
    path = film(tmp_path / name, [corners()] * 12, codec, 25.0)
    if name == "film.mp4":
        set_matrix(path, 5)
    content = path.read_bytes()

    def answer(_request: bytes, write: Write) -> None:
        write(head("application/octet-stream", b"\r\n", b"Content-Length: %d" % len(content)) + content)

    server = served(answer)
    source = open_source(f"http://{server.address}/{name}")
    assert isinstance(source, VideoFile)
    frames = list(source.frames())
    assert len(frames) == 12
    assert alike(frames[0].image, AS_SEEN[5](corners()) if name == "film.mp4" else corners())
    looped = open_source(f"http://{server.address}/{name}", CaptureOptions(loop=True)).frames()
    assert len([next(looped) for _ in range(30)]) == 30


@pytest.mark.parametrize(("parts", "length"), [(True, True), (False, True), (False, False)])
def test_a_film_with_its_table_at_the_end(
    tmp_path: Path,
    parts: bool,
    length: bool,
    served: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
    notices: list[str],
) -> None:
    """FFmpeg finds no frame in it behind a server that sends whole files only, as Python's own does."""
    path = film(tmp_path / "film.mp4", [corners()] * 12)
    set_matrix(path, 4)
    content = path.read_bytes()
    assert content.index(b"mdat") < content.index(b"moov")

    def answer(request: bytes, write: Write) -> None:
        found = re.search(rb"[Rr]ange: bytes=(\d+)-(\d*)", request)
        if not (parts and found):
            write(head("video/mp4", b"\r\n", *([b"Content-Length: %d" % len(content)] if length else [])) + content)
            return
        first, last = int(found[1]), min(int(found[2] or len(content) - 1), len(content) - 1)
        place = b"Content-Range: bytes %d-%d/%d" % (first, last, len(content))
        begin = head("video/mp4", b"\r\n", b"Content-Length: %d" % (last + 1 - first), place)
        write(begin.replace(b"200 OK", b"206 Partial Content") + content[first : last + 1])

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    address = f"http://{served(answer).address}/film.mp4"
    source = open_source(address)
    assert source.description == address
    frames = list(source.frames())
    assert len(frames) == 12
    for frame in frames:
        assert alike(frame.image, AS_SEEN[4](corners()))
    assert len(notices) == (0 if parts else 1)
    looped = open_source(address, CaptureOptions(loop=True))
    assert len(list(itertools.islice(looped.frames(), 30))) == 30
    del source, looped
    gc.collect()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_film_of_unknown_length_ends_when_it_only_begins_again(
    tmp_path: Path, served: Callable[..., Server], notices: list[str]
) -> None:
    content = film(tmp_path / "film.mpg", [np.roll(corners(), n, axis=1) for n in range(12)], "mpg1", 25.0).read_bytes()
    server = served(lambda _, write: write(head("video/mpeg") + content))
    source = open_source(f"http://{server.address}/live")
    assert isinstance(source, LiveCapture)
    source._pauses = (0.01,)
    assert 6 <= len(list(source.frames())) <= 12
    assert "has ended" in notices[-1]


def test_user_and_password(served: Callable[..., Server]) -> None:
    wanted = b"Authorization: Basic " + base64.b64encode(b"me:p@ss")

    def answer(request: bytes, write: Write) -> None:
        if wanted in request:
            write(head(MIXED) + b"".join(b"--frame\r\n" + part(picture) + b"\r\n" for picture in PICTURES))
        else:
            write(b'HTTP/1.0 401 No\r\nWWW-Authenticate: Basic realm="cam"\r\nContent-Length: 0\r\n\r\n')

    server = served(answer)
    frames = open_source(f"http://me:p%40ss@{server.address}/live").frames()
    assert alike(next(frames).image, corners())
    with pytest.raises(SourceError, match=r"HTTP 401.*; are user and password right\?") as caught:
        open_source(f"http://me:wr0ng@{server.address}/live")
    assert "wr0ng" not in str(caught.value)
    with pytest.raises(SourceError, match=r"HTTP 401.*; it wants user and password before the host: http://USER:"):
        open_source(f"http://{server.address}/live")
    gc.collect()  # a connection left open would be a warning, and so an error


def test_digest_of_newer_cameras_and_an_address_that_sends_elsewhere(served: Callable[..., Server]) -> None:
    """Both challenges of RFC 7616, 3.9.1, the newer one first; the stream is at another address of the same server."""

    def answer(request: bytes, write: Write) -> None:
        wanted = b'username="me"' in request and b'algorithm="SHA-256"' in request
        if wanted and b"/live " in request.partition(b"\r\n")[0]:
            write(b"HTTP/1.0 302 Found\r\nLocation: /other/stream\r\nContent-Length: 0\r\n\r\n")
        elif wanted:
            fields = dict(re.findall(rb'(\w+)="?([^",\r]+)', request.partition(b"Digest ")[2]))
            secret = hashlib.sha256(b"me:cam:p@ss/w").hexdigest()
            asked = hashlib.sha256(b"GET:/other/stream").hexdigest()
            data = b":".join(fields[key] for key in (b"nonce", b"nc", b"cnonce", b"qop")).decode()
            right = hashlib.sha256(f"{secret}:{data}:{asked}".encode()).hexdigest().encode() == fields[b"response"]
            write(head("image/jpeg") + PICTURES[0] if right else b"HTTP/1.0 403 No\r\n\r\n")
        else:
            challenge = b'WWW-Authenticate: Digest realm="cam", nonce="abc", qop="auth", algorithm=%s\r\n'
            asks = challenge % b"SHA-256" + challenge % b"MD5" + b'WWW-Authenticate: Basic realm="cam"\r\n'
            write(b"HTTP/1.0 401 No\r\n" + asks + b"Content-Length: 0\r\n\r\n")

    server = served(answer)
    assert alike(next(open_source(f"http://me:p@ss/w@{server.address}/live").frames()).image, corners())
    assert not any(b"Basic" in request or b"MD5" in request for request in server.requests)


def test_digest(served: Callable[..., Server]) -> None:
    def answer(request: bytes, write: Write) -> None:
        if b"Authorization: Digest" in request and b'username="me"' in request and b"p@ss" not in request:
            write(head("image/jpeg") + PICTURES[0])
        else:
            ask = b'WWW-Authenticate: Digest realm="cam", nonce="abc", qop="auth"\r\n'
            write(b"HTTP/1.0 401 No\r\n" + ask + b"Content-Length: 0\r\n\r\n")

    server = served(answer)
    assert alike(next(open_source(f"http://me:p%40ss@{server.address}/snap.jpg").frames()).image, corners())
    assert not any(b"Basic" in request for request in server.requests)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "HTTP 404 Not Found"),
        (head("text/html") + b"<!DOCTYPE html><html></html>", "a web page"),
        (head("image/jpeg", b"\r\n", b"Content-Length: 3") + b"\xff\xd8\xff", "cannot be decoded"),
        (head("image/jpeg") + b"", "cannot be opened"),
        (b"what", "cannot be opened"),
    ],
)
def test_what_is_no_camera_is_named(answer: bytes, reason: str, served: Callable[..., Server]) -> None:
    server = served(lambda _, write: write(answer))
    with pytest.raises(SourceError, match=reason) as caught:
        open_source(f"http://{server.address}/x")
    assert "\n" not in str(caught.value)
