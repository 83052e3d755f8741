"""Pictures as people bring them: HEIC, animations, several pages, raw files, any name, folders of everything."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.edge.made_files import AS_SEEN, Image, alike, coded_picture, corners, film, heif, jpeg, png
from tests.edge.made_files import tiff as make_tiff

from fer_edge.capture import animation
from fer_edge.capture.animation import frames_in
from fer_edge.capture.files import VideoFile
from fer_edge.capture.folders import matching
from fer_edge.capture.frames import CaptureOptions
from fer_edge.capture.heif import heif_header
from fer_edge.capture.open import open_source
from fer_edge.capture.orientation import turn
from fer_edge.capture.pictures import read_image, read_pictures
from fer_edge.capture.sniff import Kind, sniff, sniff_file
from fer_edge.errors import MissingDependencyError, SourceError
from fer_edge.image_bytes import why_refused

TILE = (64, 64)


def a_heic(**changes: Any) -> bytes:
    """Two by two tiles that show 100x90, with coded pictures that no decoder would take."""
    settings = b"\0\0\0\x1fhvcC" + bytes(23)
    wanted: dict[str, Any] = {"tile": TILE, "grid": (2, 2), "size": (100, 90), **changes}
    return heif([bytes(50)] * 4, settings, **wanted)


@pytest.fixture
def no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("pillow_heif", "pi_heif"):
        monkeypatch.setitem(sys.modules, package, None)


@pytest.mark.usefixtures("no_reader")
@pytest.mark.parametrize("name", ["IMG_1.HEIC", "IMG_1.jpg", "IMG_1", "IMG_1.mp4"])
def test_heic_is_refused_in_one_line_that_says_what_to_install(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(a_heic())
    with pytest.raises(MissingDependencyError, match="pip install pillow-heif") as caught:
        open_source(tmp_path / name)
    assert "\n" not in str(caught.value)
    with pytest.raises(MissingDependencyError, match=r"none of the 2 images.*pip install pillow-heif"):
        (tmp_path / "other.heic").write_bytes(a_heic(turns=1))
        list(open_source(tmp_path).frames())


@pytest.mark.usefixtures("no_reader")
def test_a_folder_goes_on_without_its_heic_files(tmp_path: Path, notices: list[str]) -> None:
    for number in range(12):
        (tmp_path / f"{number:02}.heic").write_bytes(a_heic())
    (tmp_path / "last.jpg").write_bytes(jpeg(corners(), 6))
    [frame] = open_source(tmp_path).frames()
    assert alike(frame.image, AS_SEEN[6](corners()))
    assert len(notices) == 9
    assert "00.heic" in notices[0]
    assert "4 more" in notices[-1]


def test_what_a_heic_header_says() -> None:
    assert heif_header(a_heic()) == type(heif_header(b""))(100, 90, 1)
    assert heif_header(a_heic(turns=3)).orientation == 6  # as an iPhone held upright writes it
    assert heif_header(a_heic(turns=1, mirror=1)).orientation == 7
    for cut in range(0, 600, 7):
        heif_header(a_heic()[:cut])  # no exception, whatever is missing
    assert heif_header(b"").width == 0


@pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is None, reason="pillow-heif is not installed")
@pytest.mark.parametrize(
    ("grid", "size", "turns", "mirror"),
    [
        (None, None, 0, None),
        (None, None, 3, None),
        ((2, 2), (128, 128), 0, None),
        ((3, 2), (150, 100), 1, None),
        ((3, 2), (150, 100), 2, 0),
        ((2, 3), (90, 130), 3, 1),
    ],
)
def test_heic_is_whole_and_upright(
    tmp_path: Path, grid: tuple[int, int] | None, size: tuple[int, int] | None, turns: int, mirror: int | None
) -> None:
    import pillow_heif

    width, height = size or TILE
    columns, rows = grid or (1, 1)
    picture = np.zeros((rows * 64, columns * 64, 3), np.uint8)
    picture[:height, :width] = corners(width, height)
    coded, settings = [], b""
    for row in range(rows):
        for column in range(columns):
            part = np.ascontiguousarray(picture[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64])
            single = tmp_path / "single.heic"
            pillow_heif.encode("BGR", TILE, part.tobytes(), single, quality=90)
            data, settings = coded_picture(single.read_bytes(), b"hvcC")
            coded.append(data)
    content = heif(coded, settings, tile=TILE, grid=grid, size=size, turns=turns, mirror=mirror)
    (tmp_path / "photo.heic").write_bytes(content)
    found = read_image(tmp_path / "photo.heic")
    assert alike(found, turn(corners(width, height), heif_header(content).orientation))
    (tmp_path / "photo.heic").write_bytes(content[:-20])
    with pytest.raises(SourceError, match=r"photo\.heic"):
        read_image(tmp_path / "photo.heic")


@pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is None, reason="pillow-heif is not installed")
def test_heic_of_several_pictures_grey_ones_and_those_with_transparency(tmp_path: Path) -> None:
    import pillow_heif

    heic = pillow_heif.HeifFile()
    for picture in moving(3):
        heic.add_frombytes("BGR", (64, 48), picture.tobytes())
    heic.save(tmp_path / "burst.heic", quality=90)
    frames = list(open_source(tmp_path / "burst.heic").frames())
    assert len(frames) == 3
    for frame, wanted in zip(frames, moving(3), strict=True):
        assert alike(frame.image, wanted)
    gray = cv2.cvtColor(corners(), cv2.COLOR_BGR2GRAY)
    pillow_heif.encode("L", (64, 48), gray.tobytes(), tmp_path / "gray.heic", quality=90)
    assert alike(read_image(tmp_path / "gray.heic"), cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR))
    clear = cv2.cvtColor(corners(), cv2.COLOR_BGR2BGRA)
    pillow_heif.encode("BGRA", (64, 48), clear.tobytes(), tmp_path / "clear.heic", quality=90)
    assert alike(read_image(tmp_path / "clear.heic"), corners())


def moving(n_frames: int = 4) -> list[Image]:
    return [np.roll(corners(), 10 * number, axis=1) for number in range(n_frames)]


def animated(suffix: str, pictures: list[Image], ms: int) -> bytes:
    if not hasattr(cv2, "Animation"):
        pytest.skip("OpenCV before 4.11 writes no animations")
    sequence = cv2.Animation()
    sequence.frames = pictures
    sequence.durations = np.full(len(pictures), ms, np.int32)  # type: ignore[assignment]
    done, encoded = cv2.imencodeanimation(suffix, sequence)
    assert done
    return encoded.tobytes()


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".png", ".avif"])
def test_animations_give_all_frames_in_time(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not cv2.haveImageWriter(f"x{suffix}"):
        pytest.skip(f"this OpenCV writes no {suffix}")
    content = animated(suffix, moving(), 200)
    assert frames_in(content) == (2 if suffix == ".avif" else 4)
    path = tmp_path / "animation"  # by content
    path.write_bytes(content)
    monkeypatch.setattr(animation, "BATCH_BYTES", 2 * 64 * 48 * 4)  # several batches
    source = open_source(path)
    frames = list(source.frames())
    assert source.continuous
    assert len(frames) == 4
    for frame, wanted in zip(frames, moving(), strict=True):
        assert alike(frame.image, wanted, 40.0)
    np.testing.assert_allclose([frame.time_s for frame in frames], [0.0, 0.2, 0.4, 0.6], atol=0.03)
    (tmp_path / "still.jpg").write_bytes(jpeg(corners(), 1))
    in_folder = list(open_source(tmp_path).frames())
    assert [frame.path.name for frame in in_folder if frame.path] == ["animation"] * 4 + ["still.jpg"]
    looped = open_source(path, CaptureOptions(loop=True)).frames()
    for number in range(10):
        assert alike(next(looped).image, moving()[number % 4], 40.0)


@pytest.mark.parametrize("suffix", [".webp", ".avif"])
def test_older_opencv_refuses_animations(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not cv2.haveImageWriter(f"x{suffix}"):
        pytest.skip(f"this OpenCV writes no {suffix}")
    (tmp_path / "a").write_bytes(animated(suffix, moving(), 200))
    monkeypatch.delattr(cv2, "imdecodeanimation")
    with pytest.raises(SourceError, match=r"4\.11 or newer does"):
        open_source(tmp_path / "a")


def test_truncated_animations_end_without_a_traceback(tmp_path: Path) -> None:
    for suffix in (".webp", ".gif", ".png"):
        content = animated(suffix, moving(), 100)
        for length in (20, 60, len(content) // 2, len(content) - 5):
            (tmp_path / "cut").write_bytes(content[:length])
            try:
                n_frames = len(list(open_source(tmp_path / "cut").frames()))
            except SourceError:
                continue
            assert 1 <= n_frames <= 4


def test_a_gif_of_one_frame_is_a_picture(tmp_path: Path) -> None:
    (tmp_path / "one.gif").write_bytes(animated(".gif", moving(1), 100))
    source = open_source(tmp_path / "one.gif")
    assert not source.continuous
    [frame] = source.frames()
    assert alike(frame.image, corners(), 40.0)


def test_names_that_ffmpeg_would_take_for_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "film.mp4", moving(4)).rename("2026-11-29T12:30:05.mp4")
    Path("12:30.gif").write_bytes(animated(".gif", moving(4), 100))
    for name in ("2026-11-29T12:30:05.mp4", "12:30.gif"):
        assert len(list(open_source(name).frames())) == 4


@pytest.mark.parametrize("big", [False, True])
def test_tiff_of_several_pages(tmp_path: Path, big: bool) -> None:
    path = tmp_path / "scan.tif"
    path.write_bytes(make_tiff(moving(3), big=big))
    frames = list(open_source(path).frames())
    assert len(frames) == 3
    for frame, wanted in zip(frames, moving(3), strict=True):
        np.testing.assert_array_equal(frame.image, wanted)


def test_a_thumbnail_in_front_of_a_tiff_is_not_the_picture(tmp_path: Path) -> None:
    content = bytearray(make_tiff([corners(16, 12), corners()]))
    at = content.index((254).to_bytes(2, "little") + b"\4\0\1\0\0\0")
    content[at + 8] = 1
    (tmp_path / "photo.tif").write_bytes(content)
    [frame] = open_source(tmp_path / "photo.tif").frames()
    np.testing.assert_array_equal(frame.image, corners())


def test_claims_of_too_many_pixels_are_refused(tmp_path: Path) -> None:
    huge = bytearray(make_tiff([corners()] * 2))
    at = huge.index((256).to_bytes(2, "little") + b"\4\0\1\0\0\0")
    huge[at + 8 : at + 12] = (1 << 30).to_bytes(4, "little")
    canvas = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\2\0\0\0" + b"\xff\xff\x7f" * 2
    for content in (bytes(huge), canvas, a_heic(size=(1 << 15, 1 << 15)), b"GIF89a" + b"\xff" * 40):
        (tmp_path / "huge").write_bytes(content)
        with pytest.raises(SourceError, match=r"million pixels|too many|too large") as caught:
            list(open_source(tmp_path / "huge").frames())
        assert "\n" not in str(caught.value)


def test_a_phone_of_200_megapixels_is_no_such_claim() -> None:
    large = bytearray(jpeg(corners(), None))
    at = large.index(b"\xff\xc0") + 5
    large[at : at + 4] = (12240).to_bytes(2, "big") + (16320).to_bytes(2, "big")
    assert why_refused(bytes(large)) is None
    large[at : at + 2] = (1 << 15).to_bytes(2, "big")
    assert why_refused(bytes(large)) == "534 million pixels, more than 268"


def test_raw_files_are_refused_not_their_thumbnail_shown(tmp_path: Path) -> None:
    thumbnail_in_front = bytearray(make_tiff([corners()], subfile_type=1))
    at = thumbnail_in_front.index(b"\x12\x01\x03\0")  # the orientation becomes SubIFDs
    thumbnail_in_front[at : at + 2] = (330).to_bytes(2, "little")
    for name, content in (
        ("a.tif", bytes(thumbnail_in_front)),
        ("b.nef", make_tiff([corners()])),
        ("c.DNG", make_tiff([corners()])),
        ("d.arw", make_tiff([corners()])),
    ):
        (tmp_path / name).write_bytes(content)
        if sniff_file(tmp_path / name).kind is Kind.PICTURE:
            with pytest.raises(SourceError, match="raw file"):
                open_source(tmp_path / name)
        else:
            assert "raw" in sniff_file(tmp_path / name).format
            with pytest.raises(SourceError, match="not read here"):
                open_source(tmp_path / name)


@pytest.mark.parametrize(
    ("head", "kind", "name"),
    [
        (b"\xff\xd8\xff\xe1", Kind.PICTURE, "JPEG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Kind.PICTURE, "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", Kind.PICTURE, "HEIC"),
        (b"\0\0\0\x18ftyphevc\0\0\0\0msf1hevc", Kind.VIDEO, "HEIC sequence"),
        (b"\0\0\0\x1cftypavif\0\0\0\0mif1miafavif", Kind.PICTURE, "AVIF"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", Kind.VIDEO, "MP4 or MOV"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", Kind.OTHER, "camera raw (CR3)"),
        (b"RIFF\0\0\0\0AVI LIST", Kind.VIDEO, "AVI"),
        (b"\x1a\x45\xdf\xa3", Kind.VIDEO, "Matroska or WebM"),
        ((b"\x47" + bytes(187)) * 4, Kind.VIDEO, "MPEG transport stream"),
        ((bytes(4) + b"\x47" + bytes(187)) * 4, Kind.VIDEO, "MPEG transport stream"),
        (b"\0\0\0\x01\x67\x64", Kind.VIDEO, "H.264 or HEVC"),
        (b"\0\0\0\x01\x40\x01", Kind.VIDEO, "H.264 or HEVC"),
        (b"P6\n10 10\n", Kind.PICTURE, "Netpbm"),
        (b"FUJIFILMCCD-RAW 0201", Kind.OTHER, "camera raw (RAF)"),
        (b"IIRO\x08\0\0\0", Kind.OTHER, "camera raw (ORF)"),
        (b"IIU\0\x08\0\0\0", Kind.OTHER, "camera raw (RW2)"),
        (b"II*\0\x10\0\0\0CR\2\0", Kind.OTHER, "camera raw (CR2)"),
        (b"8BPS\0\1", Kind.OTHER, "Photoshop"),
        (b"PK\3\4", Kind.OTHER, "zip"),
        (b"\xff\x0a", Kind.OTHER, "JPEG XL"),
        (b"<!DOCTYPE html>", Kind.UNKNOWN, "HTML"),
        (b"BMW is a car, no picture", Kind.UNKNOWN, "text"),
        (b"", Kind.UNKNOWN, "empty"),
    ],
)
def test_kinds_by_their_first_bytes(head: bytes, kind: Kind, name: str) -> None:
    found = sniff(head)
    assert (found.kind, found.format) == (kind, name)


@pytest.mark.parametrize("as_pattern", [False, True])
def test_folders_take_pictures_by_content_and_name_the_rest(
    tmp_path: Path, as_pattern: bool, notices: list[str]
) -> None:
    for name in ("a.jfif", "b", "c.JPE", "d.photo"):
        (tmp_path / name).write_bytes(jpeg(corners(), 1))
    (tmp_path / "e.data").write_bytes(png(corners(), 1))
    film(tmp_path / "f.mov", [corners()])
    (tmp_path / "g.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / "h").write_bytes(b"")
    (tmp_path / ".hidden").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    frames = list(open_source(str(tmp_path / "*") if as_pattern else tmp_path).frames())
    assert [frame.path.name for frame in frames if frame.path] == ["a.jfif", "b", "c.JPE", "d.photo", "e.data"]
    [line] = notices
    for part in ("f.mov (a video", "g.pdf (PDF)", "h (empty)"):
        assert part in line


def test_a_folder_of_folders_says_so(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.jpg").write_bytes(jpeg(corners(), 1))
    with pytest.raises(SourceError, match="it holds 1 folder"):
        open_source(tmp_path)


@pytest.mark.parametrize("folder", ["[examples]", "a[1-3]", "what?", "st*r"])
def test_a_folder_that_looks_like_a_pattern_is_a_folder(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / "a2").mkdir()
    for name in (f"{folder}/one.jpg", f"{folder}/two [2].jpg", "a2/other.jpg"):
        (tmp_path / name).write_bytes(jpeg(corners(), 1))
    assert [path.name for path in matching(str(tmp_path / folder / "*.jpg"))] == ["one.jpg", "two [2].jpg"]
    assert [path.name for path in matching(str(tmp_path / folder / "[n-p]*.jpg"))] == ["one.jpg"]
    assert len(matching(str(tmp_path / "*" / "*.jpg"))) == 3
    assert len(list(open_source(str(tmp_path / folder / "*.jpg")).frames())) == 2
    [frame] = open_source(str(tmp_path / folder / "two [2].jpg")).frames()
    assert frame.image.shape == (48, 64, 3)


def test_relative_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "[x]").mkdir()
    (tmp_path / "[x]" / "one.jpg").write_bytes(jpeg(corners(), 1))
    monkeypatch.chdir(tmp_path)
    assert matching("[x]/*.jpg") == [Path("[x]/one.jpg")]
    assert matching("**/*.jpg") == [Path("[x]/one.jpg")]
    assert matching("*.jpg") == []


def test_pages_and_frames_of_what_is_neither(tmp_path: Path) -> None:
    (tmp_path / "plain.png").write_bytes(png(corners(), 1))
    assert len(list(read_pictures(tmp_path / "plain.png"))) == 1
    assert frames_in(b"GIF89a") == frames_in(b"\x89PNG") == frames_in(b"") == 1


def test_loop_over_what_cannot_be_searched(tmp_path: Path) -> None:
    pictures = moving(3)
    (tmp_path / "row.mjpeg").write_bytes(b"".join(jpeg(picture, None) for picture in pictures))
    film(tmp_path / "film.mpg", pictures * 4, "mpg1", 25.0)
    for name, n_frames in (("row.mjpeg", 3), ("film.mpg", 12)):
        once = len(list(VideoFile(tmp_path / name).frames()))
        assert once == n_frames
        frames = VideoFile(tmp_path / name, loop=True).frames()
        seen = [next(frames) for _ in range(2 * once + 1)]
        assert alike(seen[once].image, seen[0].image)
        assert alike(seen[2 * once].image, seen[0].image)
        times = [frame.time_s for frame in seen]
        assert times == sorted(set(times))


@pytest.mark.parametrize("name", ["row.jpg", "row", "row.mjpg"])
def test_motion_jpeg_under_the_name_of_a_picture_is_told(tmp_path: Path, notices: list[str], name: str) -> None:
    single = jpeg(corners(), None)
    (tmp_path / name).write_bytes(single * 3)
    assert len(list(open_source(tmp_path / name).frames())) == (3 if name == "row.mjpg" else 1)
    assert ["row.mjpeg" in line for line in notices] == ([] if name == "row.mjpg" else [True])
    phone = single[:2] + b"\xff\xe2\0\x06MPF\0" + single[2:]  # with its previews behind
    for number, content in enumerate((single, phone + single * 2, single + single)):
        (tmp_path / f"{number}.jpg").write_bytes(content)
        assert alike(read_image(tmp_path / f"{number}.jpg"), corners())
    assert len(notices) == (name != "row.mjpg")
