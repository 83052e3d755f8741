"""Motion JPEG in many dialects, single pictures and films behind HTTP addresses, really served on loopback."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.edge.http_server import MIXED, PICTURES, Server, Write, head, part
from tests.edge.made_files import AS_SEEN, alike, corners, jpeg, png

from fer_edge.capture.frames import CaptureOptions
from fer_edge.capture.mjpeg import JpegSplitter
from fer_edge.capture.open import open_source
from fer_edge.capture.streams import LiveCapture
from fer_edge.errors import SourceError

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
    asked_at: list[float] = []

    def answer(_request: bytes, write: Write) -> None:
        asked_at.append(time.monotonic())
        picture = PICTURES[next(numbers) % 6]
        length = [b"Content-Length: %d" % len(picture)] if told_length else []
        write(head("image/jpeg", b"\r\n", *length) + picture)

    source = open_source(f"http://{served(answer).address}{path}", CaptureOptions(fps=20.0))
    assert (source.live, source.fps) == (True, 20.0)
    frames = list(itertools.islice(source.frames(), 5))
    source.stop()
    for number, frame in enumerate(frames):
        assert alike(frame.image, np.roll(corners(), 8 * number, axis=1))
    # Not oftener than asked, however slow the machine: the second question is a period after the first picture was
    # taken, at the earliest.
    assert asked_at[4] - asked_at[0] > 4 / 20.0 - 0.01
    assert notices == []


def test_after_a_late_answer_no_two_questions_come_at_once(served: Callable[..., Server]) -> None:
    asked_at: list[float] = []

    def answer(_request: bytes, write: Write) -> None:
        asked_at.append(time.monotonic())
        if len(asked_at) == 2:
            time.sleep(0.12)
        write(head("image/jpeg") + PICTURES[0])

    source = open_source(f"http://{served(answer).address}/late", CaptureOptions(fps=20.0))
    list(itertools.islice(source.frames(), 5))
    source.stop()
    assert asked_at[4] - asked_at[1] > 0.12 + 2 / 20.0 - 0.01


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
