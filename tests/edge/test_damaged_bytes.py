"""Our own parsers of bytes from anywhere: damaged input gives an answer or an error of ours, and soon.

What libraries decode (OpenCV, FFmpeg, runtimes) is fuzzed in child processes, see ``tests/reliability/test_fuzz.py``;
these are pure Python, so no process is needed and thousands of inputs take a second.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from tests.edge.made_files import box, corners, film, full_box, heif, jpeg, png, set_matrix, tiff, webp
from tests.reliability.fuzz_mutate import mutate, mutate_gently

from fer_edge.capture.animation import frames_in
from fer_edge.capture.heif import heif_header
from fer_edge.capture.iso_boxes import reader
from fer_edge.capture.mjpeg import JpegSplitter
from fer_edge.capture.netpbm import decode_netpbm
from fer_edge.capture.orientation import matrix_orientation, picture_orientation
from fer_edge.capture.sniff import HEAD_BYTES, sniff
from fer_edge.capture.tiff import is_raw_photo, tiff_pages, tiff_pixels, why_not_decoded, why_not_shown
from fer_edge.errors import FerError
from fer_edge.faces.yunet_weights import read_yunet
from fer_edge.image_bytes import MAX_IMAGE_PIXELS, declared_pixels, why_refused
from fer_edge.loading.onnx_structure import check_onnx
from fer_edge.loading.tflite_structure import check_tflite
from fer_edge.outputs.mp4_header import add_decoder_config

SECONDS = 1.0
"""Of the processor, for one input; the slowest valid one takes a hundredth of that."""
WRONG = (None, *range(1, 9))

Parse = Callable[[bytes], object]


def of_films(content: bytes) -> None:
    assert matrix_orientation(reader(content), len(content)) in WRONG
    sniff(content[:HEAD_BYTES])


def of_heif(content: bytes) -> None:
    header = heif_header(content)
    assert min(header.width, header.height) >= 0
    assert header.orientation in WRONG[1:]
    assert 1 <= frames_in(content) <= 2


def of_pictures(content: bytes) -> None:
    assert picture_orientation(content) in WRONG[1:]
    assert 1 <= frames_in(content) <= len(content) + 1
    assert (declared_pixels(content) <= MAX_IMAGE_PIXELS) or why_refused(content)
    sniff(content[:HEAD_BYTES])


def of_tiff(content: bytes) -> None:
    assert len(tiff_pages(content)) <= len(content)
    assert tiff_pixels(content) >= 0
    is_raw_photo(content)
    assert all(reason is None or "TIFF" in reason for reason in (why_not_shown(content), why_not_decoded(content)))
    picture_orientation(content)


def of_netpbm(content: bytes) -> None:
    assert decode_netpbm(content, "a").dtype == "uint8"


def of_streams(content: bytes) -> None:
    splitter = JpegSplitter()
    n_bytes = 0
    for at in range(0, len(content), 700):
        splitter.feed(content[at : at + 700])
        while (picture := splitter.next()) is not None:
            assert picture[:2] in (b"", b"\xff\xd8")
            n_bytes += len(picture)
    assert n_bytes <= len(content)


def seeds(kind: str, folder: Path) -> list[bytes]:
    picture = corners(32, 24)
    if kind == "films":
        made = film(folder / "a.mp4", [picture] * 3)
        set_matrix(made, 6)
        content = made.read_bytes()
        return [content[: content.index(b"mdat")] + content[content.index(b"moov") - 4 :], content]
    if kind == "heif":
        tiles = [b"x" * 40] * 4
        grid = heif(tiles, box(b"hvcC", b"y" * 20), tile=(32, 24), grid=(2, 2), size=(64, 48), turns=1, mirror=0)
        return [grid, heif(tiles[:1], box(b"hvcC", b"y" * 20), tile=(32, 24)), full_box(b"meta", bytes(9))]
    if kind == "pictures":
        gif = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0) + bytes(6) + b"\x21\xf9\x04\0\0\0\0\0"
        gif += (b"\x2c" + struct.pack("<HHHHB", 0, 0, 4, 4, 0) + b"\x02\x02\x4c\x01\0") * 2 + b";"
        bmp = cv2.imencode(".bmp", picture)[1].tobytes()
        return [jpeg(picture, 6), jpeg(picture, 5, ">"), png(picture, 8), webp(picture, 3), gif, bmp]
    if kind == "tiff":
        return [tiff([picture]), tiff([picture, picture], 6, 1)]
    if kind == "netpbm":
        head = b"P7\nWIDTH 32\nHEIGHT 24\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n"
        text = b"P3\n32 24\n255\n" + b" ".join(b"%d" % value for value in picture.tobytes())
        bits = b"P4\n# a word\n32 24\n" + bytes(4 * 24)
        encoded = [cv2.imencode(suffix, picture)[1].tobytes() for suffix in (".ppm", ".pfm")]
        return [head + picture.tobytes(), text, bits, b"P1" + bits[2:-96] + b"0 1" * 384, *encoded]
    part = b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"
    content = jpeg(picture, 1)
    return [part % (len(content), content) * 3, content * 3, (content + b"\r\n--b\r\n\r\n") * 2]


def bombard(parse: Parse, content: list[bytes], name: str, count: int) -> None:
    """Feed ``count`` mutations, the same ones every time; a finding names its number."""
    for each in content:
        parse(each)
    for number in range(count):
        rng = random.Random(f"{name}/{number}")
        damaged = mutate(rng, content) if number % 2 else mutate_gently(rng, content)
        began = time.process_time()
        try:
            parse(damaged)
        except FerError as error:
            assert "\n" not in str(error), f"input {number}"
        except Exception as error:
            raise AssertionError(f"input {number}: {type(error).__name__}: {error}") from error
        assert time.process_time() - began < SECONDS, f"input {number}"


@pytest.mark.parametrize(
    ("kind", "parse"),
    [
        ("films", of_films),
        ("heif", of_heif),
        ("pictures", of_pictures),
        ("tiff", of_tiff),
        ("netpbm", of_netpbm),
        ("streams", of_streams),
    ],
)
def test_damaged_bytes(kind: str, parse: Parse, tmp_path: Path) -> None:
    bombard(parse, seeds(kind, tmp_path), kind, 3000)


def test_damaged_models() -> None:
    """Their beginnings, where tables and shapes are; the constants behind would take most of the mutations."""
    models = Path(__file__).parents[2] / "models"
    tflite = (models / "fer_int8.tflite").read_bytes()
    bombard(check_tflite, [tflite], "tflite", 30)
    bombard(lambda content: check_tflite(content + tflite[4096:]), [tflite[:4096]], "tflite head", 30)
    onnx = models / "fer_int8.onnx"
    if onnx.is_file():
        bombard(check_onnx, [onnx.read_bytes()], "onnx", 10)


def test_damaged_yunet(yunet_model: Path) -> None:
    bombard(read_yunet, [yunet_model.read_bytes()], "yunet", 60)


def test_damaged_recordings(tmp_path: Path) -> None:
    """What OpenCV has just written, of which a full disk may leave anything."""
    path = tmp_path / "a.mp4"
    content = film(path, [corners(32, 24)] * 3).read_bytes()

    def patch(damaged: bytes) -> None:
        path.write_bytes(damaged)
        add_decoder_config(path, b"\0\0\x01\xb0\x01")

    bombard(patch, [content], "recordings", 300)


LARGE = 24 << 20


def hostile(kind: str) -> bytes:
    """A large file of parts as small as they can be."""
    if kind == "heif":
        links = full_box(b"ipma", struct.pack(">I", 1 << 31), b"\0\2\xff" * (LARGE // 3))
        shared = box(b"ipco", full_box(b"ispe", struct.pack(">II", 32, 24)))
        meta = full_box(b"meta", full_box(b"pitm", b"\0\1"), box(b"iprp", shared, links))
        return box(b"ftyp", b"heic", bytes(4), b"mif1") + meta
    return {
        "jpeg": b"\xff\xd8" + b"\xff" * LARGE,
        "png": b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0tEXt\0\0\0\0" * (LARGE // 12),
        "webp": b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\2" + bytes(9) + b"ANMF\0\0\0\0" * (LARGE // 8),
        "gif": b"GIF89a" + bytes(7) + b"\x21\xf9" + b"\1\0" * (LARGE // 4) + b"\1\1" * (LARGE // 4),
    }[kind]


@pytest.mark.parametrize("kind", ["heif", "jpeg", "png", "webp", "gif"])
def test_files_of_millions_of_tiny_parts_are_left_soon(kind: str) -> None:
    content = hostile(kind)
    began = time.process_time()
    (of_heif if kind == "heif" else of_pictures)(content)
    assert time.process_time() - began < 2 * SECONDS


@pytest.mark.parametrize("filling", [b"", b"\xff\xff\xff", b"\xff\xd0", b"\xff\x01\xff"])
def test_filling_bytes_hide_no_size(filling: bytes) -> None:
    """ITU-T T.81, B.1.1.2: 0xFF bytes may precede any marker; who stops at them sees no size and so no limit."""
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, 60_000, 60_000, 1) + bytes(3)
    assert declared_pixels(b"\xff\xd8" + filling + frame) == 60_000**2
    assert why_refused(b"\xff\xd8" + filling + frame)
