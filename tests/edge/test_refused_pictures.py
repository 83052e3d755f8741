"""Pictures that are not read here are refused for what they are, alone as in a folder; and so are films cut short."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.edge.made_files import corners, film, jpeg, tiff

from fer_edge.capture.open import open_source
from fer_edge.capture.pictures import decode, read_image
from fer_edge.errors import SourceError

ICO = b"\0\0\1\0\2\0" + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, 40, 38) * 2
TGA = b"\0\0\2" + bytes(9) + struct.pack("<HHBB", 2, 2, 24, 0) + bytes(12)
OLD = {
    "a.ico": (ICO, "ICO"),
    "a.cur": (b"\0\0\2" + ICO[3:], "CUR"),
    "a.tga": (TGA, "TGA"),
    "a.TGA": (TGA, "TGA"),
    "tga": (TGA + bytes(8) + b"TRUEVISION-XFILE.\0", "TGA"),
    "a.pcx": (b"\x0a\5\1\x08" + bytes(124), "PCX"),
    "a.dds": (b"DDS \x7c\0\0\0" + bytes(120), "DDS"),
    "a.sgi": (b"\x01\xda\1\1\0\3" + bytes(506), "SGI"),
    "a.qoi": (b"qoif" + bytes(30), "QOI"),
    "a.dpx": (b"XPDS" + bytes(30), "DPX"),
    "a.fits": (b"SIMPLE  =                    T", "FITS"),
    "a.xwd": (b"\0\0\0\x6f\0\0\0\7\0\0\0\2" + bytes(99), "XWD"),
    "a.xbm": (b"#define a_width 8\n#define a_height 1\n", "XBM"),
    "a.xpm": (b"/* XPM */\nstatic char *x[] = {", "XPM"),
    "a.phm": (b"PH\n2 2\n-1.0\n" + bytes(24), "PHM"),
    "a.wbmp": (b"\0\0\x08\1\xaa", "WBMP"),
    "a.exr": (b"\x76\x2f\x31\1\2\0\0\0" + bytes(30), "OpenEXR"),
    "a.jls": (b"\xff\xd8\xff\xf7\0\x0b" + bytes(30), "JPEG-LS"),
}


@pytest.mark.parametrize("name", OLD)
def test_one_rule_for_a_file_alone_and_in_a_folder(tmp_path: Path, name: str, notices: list[str]) -> None:
    content, what = OLD[name]
    path = tmp_path / name
    path.write_bytes(content)
    (tmp_path / "b.jpg").write_bytes(jpeg(corners(), 1))
    for read in (open_source, read_image):
        with pytest.raises(SourceError, match=f"is {what}, which is not read here; save it as JPEG") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    assert len(list(open_source(tmp_path).frames())) == 1
    [line] = notices
    assert f"{name} ({what})" in line


def float_tiff(bits: int) -> bytes:
    return cv2.imencode(".tiff", corners().astype(f"f{bits // 8}") / 255)[1].tobytes()


def with_tag(content: bytes, tag: int, value: int) -> bytes:
    """The first SHORT of a tag of a TIFF file that :func:`tiff` made, changed."""
    at = content.index(struct.pack("<HH", tag, 3)) + (12 if content[2:3] == b"+" else 8)
    return content[:at] + struct.pack("<H", value) + content[at + 2 :]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (float_tiff(32), "a TIFF of 32-bit floats"),
        (float_tiff(64), "a TIFF of 64-bit floats"),
        (cv2.imencode(".tiff", corners().astype(np.int32) << 23)[1].tobytes(), "a TIFF of 32-bit signed samples"),
        (cv2.imencode(".tiff", corners().astype(np.int16) * 100)[1].tobytes(), "a TIFF of 16-bit signed samples"),
        (cv2.imencode(".tiff", (corners() // 2).astype(np.int8))[1].tobytes(), "a TIFF of 8-bit signed samples"),
        (with_tag(tiff([corners()]), 259, 50000), "a TIFF compressed by ZSTD"),
        (with_tag(tiff([corners()] * 2), 259, 50000), "a TIFF compressed by ZSTD"),
        (with_tag(tiff([corners()], big=True), 259, 34925), "a TIFF compressed by LZMA"),
        (with_tag(tiff([corners()]), 259, 50002), "a TIFF compressed by JPEG XL"),
        (with_tag(tiff([corners()]), 259, 34712), "a TIFF compressed by JPEG 2000"),
        (with_tag(tiff([corners()]), 259, 12345), "a TIFF compressed by method 12345"),
    ],
)
def test_tiff_that_is_whole_is_not_called_damaged(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(SourceError, match=f"{words}, .*; save it with .* or as PNG") as caught:
        open_source(tmp_path / "a.tif")
    assert "\n" not in str(caught.value)
    assert "damaged" not in str(caught.value)


def test_tiff_that_is_cut_short_is_damaged() -> None:
    with pytest.raises(SourceError, match="a damaged TIFF"):
        decode(cv2.imencode(".tiff", corners())[1].tobytes()[:-100], "a.tif")


def test_floats_that_opencv_shows_as_it_shows_hdr_are_read() -> None:
    picture = corners().astype(np.float32) / 255
    for compression in (cv2.IMWRITE_TIFF_COMPRESSION_SGILOG, cv2.IMWRITE_TIFF_COMPRESSION_SGILOG24):
        content = cv2.imencode(".tiff", picture, [cv2.IMWRITE_TIFF_COMPRESSION, compression])[1].tobytes()
        assert np.abs(decode(content, "a.tif").astype(int) - corners()).mean() < 20.0


def test_truncated_films(tmp_path: Path) -> None:
    """What the page says of them: the frames that are there; none of an MP4 file without its table of contents."""
    for name, codec in (("a.avi", "MJPG"), ("a.mkv", "mp4v"), ("a.ts", "mpg2")):
        made = film(tmp_path / name, [np.roll(corners(), 5 * number, axis=1) for number in range(40)], codec, 25.0)
        made.write_bytes(made.read_bytes()[: made.stat().st_size // 2])
        assert 5 < len(list(open_source(made).frames())) < 40, name
    for name in ("a.mp4", "a.mov"):
        made = film(tmp_path / name, [corners()] * 40)
        content = made.read_bytes()
        assert content.index(b"mdat") < content.index(b"moov")
        made.write_bytes(content[: content.index(b"moov") - 4])
        with pytest.raises(SourceError, match="cannot be read as a video; damaged"):
            open_source(made)
