"""Upright whatever a file says and however a camera hangs: the eight orientations, in every kind of source."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.edge.made_files import (
    AS_SEEN,
    POSES,
    Image,
    alike,
    coded_picture,
    corners,
    film,
    fragmented,
    heif,
    jpeg,
    png,
    png_of_imagemagick,
    png_with_jpeg_header,
    set_matrix,
    with_pose,
)
from tests.edge.made_files import tiff as make_tiff
from tests.edge.made_files import webp as make_webp

from fer_edge.capture.frames import CaptureOptions
from fer_edge.capture.open import open_source
from fer_edge.capture.orientation import asked_orientation, combine, matrix_orientation, turn, video_orientation
from fer_edge.capture.pictures import read_image
from fer_edge.capture.streams import LiveCapture

ALL = range(1, 9)
TURNED: dict[str, Callable[[Image, int], bytes]] = {
    "photo.jpg": jpeg,
    "photo.jfif": jpeg,
    "photo.jpe": jpeg,
    "no suffix": jpeg,
    "wrong.txt": lambda picture, orientation: jpeg(picture, orientation, ">"),
    "photo.png": png,
    "header of JPEG.png": png_with_jpeg_header,
    "ImageMagick.png": png_of_imagemagick,
    "photo.webp": make_webp,
    "photo.tif": lambda picture, orientation: make_tiff([picture], orientation),
}


@pytest.mark.parametrize("orientation", ALL)
def test_turning_is_what_exif_means(orientation: int) -> None:
    stored = np.random.default_rng(1).integers(0, 255, (4, 6, 3), np.uint8)
    turned = turn(stored, orientation)
    np.testing.assert_array_equal(turned, AS_SEEN[orientation](stored))
    assert turned.flags.c_contiguous


def test_one_after_the_other() -> None:
    stored = np.random.default_rng(1).integers(0, 255, (4, 6, 3), np.uint8)
    for first, then in itertools.product(ALL, ALL):
        np.testing.assert_array_equal(turn(turn(stored, first), then), turn(stored, combine(first, then)))


@pytest.mark.parametrize("orientation", ALL)
@pytest.mark.parametrize("name", TURNED)
def test_pictures_by_their_content(tmp_path: Path, name: str, orientation: int) -> None:
    stored = corners()
    (tmp_path / name).write_bytes(TURNED[name](stored, orientation))
    [frame] = open_source(tmp_path / name).frames()
    assert alike(frame.image, AS_SEEN[orientation](stored))


@pytest.mark.parametrize("block", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + bytes(40)])
def test_exif_that_makes_no_sense_turns_nothing(tmp_path: Path, block: bytes) -> None:
    content = jpeg(corners(), None)
    marked = content[:2] + b"\xff\xe1" + (8 + len(block)).to_bytes(2, "big") + b"Exif\0\0" + block + content[2:]
    (tmp_path / "odd.jpg").write_bytes(marked)
    assert alike(read_image(tmp_path / "odd.jpg"), corners())
    (tmp_path / "nine.jpg").write_bytes(jpeg(corners(), 9))
    assert alike(read_image(tmp_path / "nine.jpg"), corners())


@pytest.mark.parametrize("orientation", ALL)
@pytest.mark.parametrize("quarter_then_mirror", [False, True])
def test_avif(tmp_path: Path, orientation: int, quarter_then_mirror: bool) -> None:
    if not cv2.haveImageWriter("x.avif"):
        pytest.skip("this OpenCV is built without AVIF")
    stored = corners()
    data, settings = coded_picture(cv2.imencode(".avif", stored)[1].tobytes(), b"av1C")
    turns, mirror = heif_turns(orientation, top_and_bottom=quarter_then_mirror)
    content = heif([data], settings, brand=b"avif", tile=(64, 48), turns=turns, mirror=mirror)
    (tmp_path / "photo").write_bytes(content)
    assert alike(read_image(tmp_path / "photo"), AS_SEEN[orientation](stored))


def heif_turns(orientation: int, *, top_and_bottom: bool) -> tuple[int, int | None]:
    """``irot`` in quarters counter-clockwise, then ``imir``, that show a picture stored so upright; both ways."""
    plain = {1: (0, None), 8: (1, None), 3: (2, None), 6: (3, None)}
    if orientation in plain:
        return plain[orientation]
    if top_and_bottom:
        return {4: (0, 0), 5: (1, 0), 2: (2, 0), 7: (3, 0)}[orientation]
    return {2: (0, 1), 7: (1, 1), 4: (2, 1), 5: (3, 1)}[orientation]


@pytest.mark.parametrize("orientation", ALL)
@pytest.mark.parametrize("name", ["film.mp4", "film.mov"])
def test_films_by_their_matrix(tmp_path: Path, name: str, orientation: int) -> None:
    path = film(tmp_path / name, [corners()] * 3)
    set_matrix(path, orientation)
    frames = list(open_source(path).frames())
    assert len(frames) == 3
    for frame in frames:
        assert alike(frame.image, AS_SEEN[orientation](corners()))


@pytest.mark.parametrize("orientation", ALL)
def test_fragmented_films(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "fragments.mp4"
    path.write_bytes(fragmented(film(tmp_path / "film.mp4", [corners()] * 3).read_bytes()))
    set_matrix(path, orientation)
    frames = list(open_source(path).frames())
    assert len(frames) == 3
    for frame in frames:
        assert alike(frame.image, AS_SEEN[orientation](corners()))


@pytest.mark.parametrize("orientation", ALL)
def test_matroska_by_its_projection(tmp_path: Path, orientation: int) -> None:
    """OpenCV turns a mirrored one upside down."""
    path = film(tmp_path / "film.mkv", [corners()] * 3)
    (tmp_path / "aslant.mkv").write_bytes(with_pose(path.read_bytes(), 0, 30.0))
    assert video_orientation(tmp_path / "aslant.mkv") is None
    path.write_bytes(with_pose(path.read_bytes(), *POSES[orientation]))
    frames = list(open_source(path).frames())
    assert len(frames) == 3
    for frame in frames:
        assert alike(frame.image, AS_SEEN[orientation](corners()))
    for end in range(0, 400, 7):  # cut off anywhere
        (tmp_path / "cut").write_bytes(path.read_bytes()[:end])
        assert video_orientation(tmp_path / "cut") in (None, *ALL)


@pytest.mark.parametrize("orientation", [2, 5, 6])
def test_heic_sequences(tmp_path: Path, orientation: int) -> None:
    """Their track holds pictures by its own word."""
    path = film(tmp_path / "film.mp4", [corners()] * 3)
    set_matrix(path, orientation)
    path.write_bytes(path.read_bytes().replace(b"vide", b"pict", 1))
    [frame, *_] = open_source(path).frames()
    assert alike(frame.image, AS_SEEN[orientation](corners()))


@pytest.mark.parametrize("name", ["film.mkv", "film.avi", "film.webm"])
def test_containers_without_a_matrix(tmp_path: Path, name: str) -> None:
    path = film(tmp_path / name, [corners()] * 3, {"film.webm": "VP80", "film.avi": "MJPG"}.get(name, "mp4v"))
    assert video_orientation(path) is None
    [first, *_] = open_source(path).frames()
    assert alike(first.image, corners())


def test_matrices_that_scale_and_those_of_the_film(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", [corners()])
    set_matrix(path, 7, scale=1.5)
    assert video_orientation(path) == 7
    set_matrix(path, 6)
    set_matrix(path, 2, box=b"mvhd")
    assert video_orientation(path) == combine(6, 2)
    content = bytearray(path.read_bytes())
    content[content.index(b"tkhd") + 45] = 1  # no quarter turn any more: OpenCV may decide
    path.write_bytes(content.replace(b"moov", b"moox"))
    assert video_orientation(path) is None


def test_a_damaged_film_has_no_matrix() -> None:
    for content in (b"", b"\0\0\0\x08ftyp", b"\0\0\0\x08moov" * 5, b"\0\0\0\x10moov\0\0\0\0trak"):
        assert matrix_orientation(lambda at, n, c=content: c[at : at + n], len(content)) is None  # type: ignore[misc]


ASKED = [(0, False, 1), (90, False, 6), (180, False, 3), (270, False, 8), (0, True, 2), (90, True, 5), (270, True, 7)]


@pytest.mark.parametrize(("rotate", "flip", "orientation"), ASKED)
def test_what_is_asked_for_on_the_command_line(
    tmp_path: Path, rotate: int, flip: bool, orientation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = asked_orientation(rotate, flip)
    assert wanted == orientation
    options = CaptureOptions(orientation=wanted)
    seen = AS_SEEN[orientation](corners())
    (tmp_path / "one.png").write_bytes(png(corners(), 1))
    (tmp_path / "two.jpg").write_bytes(
        jpeg(seen, {6: 8, 8: 6}.get(orientation, orientation))
    )  # turned twice: as it was
    for frame in open_source(tmp_path, options).frames():
        assert alike(
            frame.image, seen if frame.path and frame.path.name == "one.png" else AS_SEEN[orientation](corners())
        )
    path = film(tmp_path / "film.mp4", [corners()] * 2)
    set_matrix(path, 2)
    for frame in open_source(path, options).frames():  # the file's own matrix first
        assert alike(frame.image, AS_SEEN[orientation](corners()[:, ::-1]))

    class Camera:
        def isOpened(self) -> bool:  # noqa: N802
            return True

        def read(self) -> tuple[bool, Image]:
            return True, corners()

        def get(self, prop: int, /) -> float:
            return 0.0

        def release(self) -> None:
            pass

    live = LiveCapture("camera", Camera, Camera(), orientation=wanted)
    assert alike(next(live.frames()).image, seen)
