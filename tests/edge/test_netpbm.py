"""Netpbm in all its kinds: colours, brightness, text, floats, and one line where it is none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from tests.edge.made_files import Image, corners

from fer_edge.capture.open import open_source
from fer_edge.capture.pictures import decode
from fer_edge.errors import SourceError

WIDTH, HEIGHT = 14, 6
COLOR = corners(WIDTH, HEIGHT)
GREY = np.asarray(cv2.cvtColor(COLOR, cv2.COLOR_BGR2GRAY), np.uint8)
ALPHA = np.full((HEIGHT, WIDTH), 77, np.uint8)
BITS = (GREY > 100).astype(np.uint8)
RED_FIRST = COLOR[:, :, ::-1]


def size(*more: object) -> bytes:
    return " ".join(map(str, (WIDTH, HEIGHT, *more))).encode() + b"\n"


def numbers(samples: npt.NDArray[Any]) -> bytes:
    return b"\n".join(b" ".join(b"%d" % value for value in row.ravel()) for row in samples)


def pam(depth: int, tuple_type: str | None, data: bytes, white: int = 255) -> bytes:
    last = "" if tuple_type is None else f"TUPLTYPE {tuple_type}\n"
    head = f"P7\n# made\nWIDTH {WIDTH}\nHEIGHT {HEIGHT}\nDEPTH {depth}\nMAXVAL {white}\n{last}ENDHDR\n"
    return head.encode() + data


def wide(samples: Image) -> bytes:
    return (samples.astype(np.uint16) * 257).astype(">u2").tobytes()


def floats(samples: Image, order: str) -> bytes:
    return (samples[::-1] / np.float32(255)).astype(f"{order}f4").tobytes()


def grey(samples: Image) -> Image:
    return np.repeat(samples[:, :, None], 3, axis=2)


RGBA, GREY_ALPHA = np.dstack([RED_FIRST, ALPHA]), np.dstack([GREY, ALPHA])
KINDS: dict[str, tuple[bytes, Image]] = {
    "text P1": (b"P1\n" + size() + numbers(1 - BITS), grey(BITS * 255)),
    "text P1 without blanks": (b"P1\n" + size() + numbers(1 - BITS).replace(b" ", b""), grey(BITS * 255)),
    "text P2": (b"P2\n# a word\n" + size(255) + numbers(GREY), grey(GREY)),
    "text P3": (b"P3\n" + size(255) + numbers(RED_FIRST), COLOR),
    "text P3 with a last line end": (b"P3 " + size(255) + numbers(RED_FIRST) + b"\n", COLOR),
    "text P3, 16 bits": (b"P3\n" + size(65535) + numbers(RED_FIRST.astype(np.uint16) * 257), COLOR),
    "P4": (b"P4\n" + size() + np.packbits(1 - BITS, axis=1).tobytes(), grey(BITS * 255)),
    "P5": (b"P5\n" + size(255) + GREY.tobytes(), grey(GREY)),
    "P5 up to 15": (b"P5\n" + size(15) + (BITS * 15).tobytes(), grey(BITS * 255)),
    "P6": (b"P6#a word\n" + size(255) + RED_FIRST.tobytes(), COLOR),
    "P6 of Windows": (b"P6\r\n" + size(255)[:-1] + b"\r\n" + RED_FIRST.tobytes(), COLOR),
    "P6, 16 bits": (b"P6\n" + size(65535) + wide(RED_FIRST), COLOR),
    "P6 up to 510": (b"P6\n" + size(510) + (RED_FIRST.astype(np.uint16) * 2).astype(">u2").tobytes(), COLOR),
    "PAM, no type": (pam(1, None, GREY.tobytes()), grey(GREY)),
    "PAM BLACKANDWHITE": (pam(1, "BLACKANDWHITE", BITS.tobytes(), 1), grey(BITS * 255)),
    "PAM GRAYSCALE": (pam(1, "GRAYSCALE", GREY.tobytes()), grey(GREY)),
    "PAM GRAYSCALE_ALPHA": (pam(2, "GRAYSCALE_ALPHA", GREY_ALPHA.tobytes()), grey(GREY)),
    "PAM RGB": (pam(3, "RGB", RED_FIRST.tobytes()), COLOR),
    "PAM RGB, 16 bits": (pam(3, "RGB", wide(RED_FIRST), 65535), COLOR),
    "PAM RGB_ALPHA": (pam(4, "RGB_ALPHA", RGBA.tobytes()), COLOR),
    "PAM RGB_ALPHA, 16 bits": (pam(4, "RGB_ALPHA", wide(RGBA), 65535), COLOR),
    "PF": (b"PF\n" + size() + b"-1.0\n" + floats(RED_FIRST, "<"), COLOR),
    "PF, highest byte first": (b"PF\n" + size() + b"1\n" + floats(RED_FIRST, ">"), COLOR),
    "PF in units of 0.5": (b"PF\n" + size() + b"-5e-1\n" + floats(RED_FIRST // 2, "<"), RED_FIRST[:, :, ::-1] // 2 * 2),
    "Pf": (b"Pf\n" + size() + b"-1.000000\n" + floats(GREY, "<"), grey(GREY)),
    "Pf, highest byte first": (b"Pf\n" + size() + b"1.0\n" + floats(GREY, ">"), grey(GREY)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_shows_its_picture(tmp_path: Path, kind: str) -> None:
    content, wanted = KINDS[kind]
    (tmp_path / "picture").write_bytes(content)
    [frame] = open_source(tmp_path / "picture").frames()
    np.testing.assert_array_equal(frame.image, wanted)
    assert frame.image.flags.c_contiguous


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_it_is_one_line(kind: str) -> None:
    content = KINDS[kind][0]
    # Of a text without its last digit nobody can know.
    for n_bytes in (2, 5, 12, len(content) // 2, len(content) - (9 if kind.startswith("text P3") else 4)):
        with pytest.raises(SourceError, match=r"a damaged Netpbm|another kind of file") as caught:
            decode(content[:n_bytes], "part")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("unit", [1.0, 255.0])
def test_what_opencv_writes_as_pfm_is_shown_as_its_hdr(unit: float, notices: list[str]) -> None:
    picture = (COLOR / 255.0 * unit).astype(np.float32)
    picture[0, 0] = (np.nan, -1.0, np.inf)
    found = decode(cv2.imencode(".pfm", picture)[1].tobytes(), "f.pfm")
    assert found[0, 0].tolist() == [0, 0, 255]
    if unit == 1.0:
        np.testing.assert_array_equal(found[1:], COLOR[1:])
        hdr = decode(cv2.imencode(".hdr", picture[1:])[1].tobytes(), "f.hdr")
        assert np.abs(hdr.astype(int) - found[1:]).max() <= 2
        assert not notices
    else:
        [line] = notices
        assert "f.pfm" in line
        assert "expected floats of 0 to 1" in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (cv2.imencode(".pam", COLOR)[1].tobytes(), "without TUPLTYPE.*blue first.*PNG"),
        (pam(4, None, RGBA.tobytes()), "4 channels without TUPLTYPE"),
        (pam(4, "CMYK", RGBA.tobytes()), r"TUPLTYPE CMYK; expected .*RGB \(3\)"),
        (pam(2, "RGB", GREY_ALPHA.tobytes()), "2 channels with TUPLTYPE RGB"),
        (pam(5, None, bytes(WIDTH * HEIGHT * 5)), "5 channels with TUPLTYPE missing"),
        (b"P6\n99999 99999\n255\n", "9999 million pixels, more than 268"),
        (b"P2\n16000 16000\n255\n0 0", "samples end before"),
        (b"P6\n0 9\n255\n", "header is incomplete"),
        (b"P6\n9 9\n70000\n" + bytes(999), "header is incomplete"),
        (b"PF\n9 9\n.\n" + bytes(999), "header is incomplete"),
        (b"PF\n9 9\n0\n" + bytes(999), "header is incomplete"),
        (b"P7\nWIDTH x\nENDHDR\n" + bytes(999), "header is incomplete"),
        (b"P1 is a paper size", "header is incomplete"),
    ],
)
def test_what_cannot_be_shown_rightly_is_one_line(content: bytes, words: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        decode(content, "picture")
    assert "\n" not in str(caught.value)
