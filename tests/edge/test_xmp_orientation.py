"""Pictures whose orientation stands in XMP alone: JPEG, PNG, WebP and TIFF, as an attribute and as an element."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from tests.edge.made_files import AS_SEEN, Image, _chunk, _riff, alike, corners, exif, jpeg
from tests.edge.made_files import tiff as make_tiff

from fer_edge.capture.open import open_source
from fer_edge.capture.orientation import picture_orientation

ALL = range(1, 9)
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
TIFF = "http://ns.adobe.com/tiff/1.0/"


def attribute(orientation: int, prefix: str = "tiff") -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF {RDF}><rdf:Description rdf:about="" xmlns:{prefix}="{TIFF}"\n'
        f'  {prefix}:Orientation="{orientation}"/>'
        "</rdf:RDF></x:xmpmeta>" + " " * 200 + '<?xpacket end="w"?>'
    ).encode()


def element(orientation: int) -> bytes:
    return (
        f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF {RDF}><rdf:Description rdf:about='' xmlns:tiff='{TIFF}'>"
        f"<tiff:Orientation> {orientation}\n</tiff:Orientation></rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def in_jpeg(picture: Image, packet: bytes, *, before: bytes = b"") -> bytes:
    encoded = jpeg(picture, None)
    block = b"http://ns.adobe.com/xap/1.0/\0" + packet
    return encoded[:2] + before + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + encoded[2:]


def in_png(picture: Image, packet: bytes) -> bytes:
    return _png(picture, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)


def in_packed_png(picture: Image, packet: bytes) -> bytes:
    return _png(picture, b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0XMP\0" + zlib.compress(packet))


def in_png_of_imagemagick(picture: Image, packet: bytes) -> bytes:
    profile = b"\nxmp\n%8d\n" % len(packet) + packet.hex().encode() + b"\n"
    return _png(picture, b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(profile))


def _png(picture: Image, kind: bytes, data: bytes) -> bytes:
    encoded = cv2.imencode(".png", picture)[1].tobytes()
    return encoded[:33] + _chunk(kind, data) + encoded[33:]


def in_webp(picture: Image, packet: bytes) -> bytes:
    height, width = picture.shape[:2]
    stream = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, 95])[1].tobytes()[12:]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = _riff(b"VP8X", b"\x04\0\0\0" + size) + stream + _riff(b"XMP ", packet)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def in_tiff(picture: Image, packet: bytes) -> bytes:
    """The entry of the orientation becomes one of XMP; 700 belongs behind all others."""
    content = bytearray(make_tiff([picture]))
    at = int.from_bytes(content[4:8], "little")
    count = int.from_bytes(content[at : at + 2], "little")
    entries = [bytes(content[at + 2 + 12 * i : at + 14 + 12 * i]) for i in range(count)]
    kept = [entry for entry in entries if entry[:2] != struct.pack("<H", 274)]
    kept.append(struct.pack("<HHII", 700, 1, len(packet), len(content)))
    content[at + 2 : at + 2 + 12 * count] = b"".join(kept)
    return bytes(content) + packet


HOLDERS: dict[str, Callable[[Image, bytes], bytes]] = {
    "photo.jpg": in_jpeg,
    "photo.png": in_png,
    "packed.png": in_packed_png,
    "ImageMagick.png": in_png_of_imagemagick,
    "photo.webp": in_webp,
    "photo.tif": in_tiff,
}


@pytest.mark.parametrize("orientation", ALL)
@pytest.mark.parametrize("name", HOLDERS)
def test_pictures_are_turned_by_xmp(tmp_path: Path, name: str, orientation: int) -> None:
    stored = corners()
    packet = attribute(orientation) if orientation % 2 else element(orientation)
    (tmp_path / name).write_bytes(HOLDERS[name](stored, packet))
    [frame] = open_source(tmp_path / name).frames()
    assert alike(frame.image, AS_SEEN[orientation](stored))


def test_exif_comes_first_where_it_holds_an_orientation() -> None:
    def app1(block: bytes) -> bytes:
        block = b"Exif\0\0" + block
        return b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block

    assert picture_orientation(in_jpeg(corners(), attribute(6), before=app1(exif(1)))) == 1
    assert picture_orientation(in_jpeg(corners(), attribute(6), before=app1(exif(3)))) == 3
    assert picture_orientation(in_jpeg(corners(), attribute(6), before=app1(exif(9)))) == 6
    assert picture_orientation(in_jpeg(corners(), attribute(6), before=app1(b"II*\0\x08\0\0\0\0\0"))) == 6
    assert picture_orientation(make_tiff([corners()], 6)) == 1, "OpenCV turns by TIFF's own tag"


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (attribute(8, "photoshop-tiff"), 8),
        (attribute(6).decode().encode("utf-16-le"), 6),
        (attribute(9), 1),
        (attribute(6).replace(b"Orientation", b"Compression"), 1),
        (attribute(6).replace(TIFF.encode(), b"http://example.org/"), 1),
        (b"", 1),
        (b"<x:xmpmeta", 1),
        (element(6).partition(b"</rdf:Desc")[0], 6),
    ],
)
def test_prefixes_encodings_and_what_makes_no_sense(packet: bytes, expected: int) -> None:
    assert picture_orientation(in_jpeg(corners(), packet)) == expected


def test_what_pillow_writes(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    stored = corners()
    picture = image.fromarray(stored[:, :, ::-1])
    picture.save(tmp_path / "p.webp", xmp=attribute(6), quality=95)
    picture.save(tmp_path / "p.tif", tiffinfo={700: attribute(6)})
    for name in ("p.webp", "p.tif"):
        [frame] = open_source(tmp_path / name).frames()
        assert alike(frame.image, AS_SEEN[6](stored)), name


@pytest.mark.parametrize("name", HOLDERS)
def test_damage_ends_in_some_orientation(name: str) -> None:
    content = HOLDERS[name](corners(), attribute(6))
    for end in range(0, len(content), max(1, len(content) // 200)):
        assert picture_orientation(content[:end]) in ALL
