"""The table in ``docs/what-it-reads.md``, row by row: containers and codecs, written here by OpenCV or by ffmpeg."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.edge.made_files import alike, corners, film

from fer_edge.capture.open import open_source
from fer_edge.capture.pictures import read_image
from fer_edge.errors import SourceError

PAGE = Path(__file__).parents[2] / "docs" / "what-it-reads.md"
BY_OPENCV = {
    "MPEG-4 in .mp4": ("film.mp4", "mp4v"),
    "MPEG-4 in .mov": ("film.mov", "mp4v"),
    "MPEG-4 in .3gp": ("film.3gp", "mp4v"),
    "MPEG-4 in .mkv": ("film.mkv", "mp4v"),
    "Xvid in .avi": ("film.avi", "XVID"),
    "Motion JPEG in .avi": ("film.avi", "MJPG"),
    "FFV1 in .avi": ("film.avi", "FFV1"),
    "HuffYUV in .avi": ("film.avi", "HFYU"),
    "VP8 in .webm": ("film.webm", "VP80"),
    "VP9 in .webm": ("film.webm", "VP90"),
    "VP9 in .mkv": ("film.mkv", "VP90"),
    "MPEG-1 in .mpg": ("film.mpg", "mpg1"),
    "MPEG-2 in .mpg": ("film.mpg", "mpg2"),
    "MPEG-2 in .ts": ("film.ts", "mpg2"),
    "MPEG-2 in .mxf": ("film.mxf", "mpg2"),
    "Sorenson in .flv": ("film.flv", "FLV1"),
    "WMV 8 in .wmv": ("film.wmv", "WMV2"),
    "VP8 in .ivf": ("film.ivf", "VP80"),
    "Raw video in .y4m": ("film.y4m", "I420"),
}
BY_FFMPEG = {
    "H.264 in .mp4": ("film.mp4", "-c:v libx264"),
    "H.264 in .mov": ("film.mov", "-c:v libx264"),
    "H.264 in .mkv": ("film.mkv", "-c:v libx264"),
    "H.264 in .avi": ("film.avi", "-c:v libx264"),
    "H.264 in .ts": ("film.ts", "-c:v libx264"),
    "H.264 in .m2ts": ("film.m2ts", "-c:v libx264"),
    "H.264 in .flv": ("film.flv", "-c:v libx264"),
    "H.264 alone (.h264)": ("film.h264", "-c:v libx264 -f h264"),
    "HEVC in .mp4": ("film.mp4", "-c:v libx265 -tag:v hvc1"),
    "HEVC of 10 bits in .mp4": ("film.mp4", "-c:v libx265 -pix_fmt yuv420p10le"),
    "HEVC alone (.hevc)": ("film.hevc", "-c:v libx265 -f hevc"),
    "AV1 in .mp4": ("film.mp4", "-c:v libaom-av1 -cpu-used 8"),
    "Theora in .ogv": ("film.ogv", "-c:v libtheora"),
    "ProRes in .mov": ("film.mov", "-c:v prores_ks"),
}
PICTURES = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WebP": ".webp",
    "TIFF": ".tiff",
    "BMP": ".bmp",
    "Netpbm": ".ppm",
    "JPEG 2000": ".jp2",
    "Sun raster": ".ras",
    "Radiance HDR": ".hdr",
    "GIF": ".gif",
    "AVIF": ".avif",
}


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("row", BY_OPENCV)
def test_videos_that_opencv_writes(tmp_path: Path, row: str, named: bool) -> None:
    name, codec = BY_OPENCV[row]
    try:
        path = film(tmp_path / name, [corners()] * 6, codec, 25.0)
    except AssertionError:
        pytest.skip("this OpenCV does not write it")
    if not named:
        path = path.rename(tmp_path / "no suffix")
    frames = list(open_source(path).frames())
    assert len(frames) == 6
    assert alike(frames[0].image, corners(), 40.0)


@pytest.mark.parametrize("row", BY_FFMPEG)
def test_videos_that_ffmpeg_writes(tmp_path: Path, row: str) -> None:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        pytest.skip("ffmpeg is not installed")
    name, options = BY_FFMPEG[row]
    command = [ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=d=0.4:r=25:s=128x96", *options.split()]
    made = subprocess.run([*command, str(tmp_path / name)], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip("this ffmpeg cannot write it")
    try:
        frames = list(open_source(tmp_path / name).frames())
    except SourceError as error:
        assert row.startswith("AV1")  # the wheels of OpenCV 4.10 have no decoder for it
        assert "codec that this OpenCV lacks" in str(error)
        return
    assert len(frames) == 10
    assert frames[0].image.shape == (96, 128, 3)
    assert frames[0].image.std() > 60.0  # a test picture, no grey plane


@pytest.mark.parametrize("row", PICTURES)
def test_pictures_that_opencv_writes(tmp_path: Path, row: str) -> None:
    suffix = PICTURES[row]
    if not cv2.haveImageWriter(f"x{suffix}"):
        pytest.skip(f"this OpenCV writes no {suffix}")
    picture = corners().astype(np.float32) / 255 if suffix == ".hdr" else corners()
    (tmp_path / "picture").write_bytes(cv2.imencode(suffix, picture)[1].tobytes())
    assert alike(read_image(tmp_path / "picture"), corners(), 40.0)


def test_the_page_has_a_line_for_each_row() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| ([^|]+?) \|", page, re.MULTILINE))
    assert {*BY_OPENCV, *BY_FFMPEG, *PICTURES} <= rows
