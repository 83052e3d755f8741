"""Files, films and snapshots behind HTTP addresses, and who is let in, really served on loopback."""

from __future__ import annotations

import base64
import gc
import hashlib
import itertools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.edge.http_server import MIXED, PICTURES, Server, Write, head, part
from tests.edge.made_files import AS_SEEN, alike, corners, film, set_matrix

from fer_edge.capture.files import VideoFile
from fer_edge.capture.frames import CaptureOptions
from fer_edge.capture.open import open_source
from fer_edge.capture.streams import LiveCapture
from fer_edge.errors import SourceError


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
    notices.clear()
    looped = open_source(source.description, CaptureOptions(loop=True))
    assert isinstance(looped, LiveCapture)
    looped._pauses = (0.01,)
    assert len(list(itertools.islice(looped.frames(), 50))) == 50
    assert len(notices) == 1  # until it is known to be a film that begins again


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
