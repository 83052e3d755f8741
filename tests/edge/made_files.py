"""Files that the tests make: pictures with orientation marks, films with display matrices, HEIF with tiles."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.capture.iso_boxes import boxes, find, reader

Image = npt.NDArray[np.uint8]

AS_SEEN: dict[int, Callable[[Image], Any]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}
"""EXIF orientation -> the picture as it is to be seen, in numpy's words (CIPA DC-008, figure of tag 0x0112)."""

MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}
"""EXIF orientation -> a, b, c, d of a film's display matrix; 6 is what an iPhone held upright writes."""


def corners(width: int = 64, height: int = 48) -> Image:
    """``(height, width, 3)``, each quarter in a colour of its own, so that no two of the eight orientations agree."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = (0, 0, 220)
    picture[: height // 2, width // 2 :] = (0, 220, 0)
    picture[height // 2 :, : width // 2] = (220, 0, 0)
    picture[height // 2 :, width // 2 :] = (230, 230, 230)
    return picture


def alike(found: Any, wanted: Any, most: float = 25.0) -> bool:
    """Whether two pictures show the same but for what compression did to them."""
    return found.shape == wanted.shape and float(np.abs(found.astype(int) - wanted.astype(int)).mean()) < most


def exif(orientation: int, order: str = "<") -> bytes:
    """A TIFF block that says nothing but the orientation."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def jpeg(picture: Image, orientation: int | None, order: str = "<") -> bytes:
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    if orientation is None:
        return encoded
    block = b"Exif\0\0" + exif(orientation, order)
    return encoded[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + encoded[2:]


def png(picture: Image, orientation: int) -> bytes:
    return _png_with(picture, b"eXIf", exif(orientation, ">"))


def png_with_jpeg_header(picture: Image, orientation: int) -> bytes:
    """EXIF copied from a JPEG file, with what stands before it there."""
    return _png_with(picture, b"eXIf", b"Exif\0\0" + exif(orientation))


def png_of_imagemagick(picture: Image, orientation: int) -> bytes:
    block = b"Exif\0\0" + exif(orientation)
    profile = b"\nexif\n%8d\n" % len(block) + block[:36].hex().encode() + b"\n" + block[36:].hex().encode() + b"\n"
    return _png_with(picture, b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile))


def _png_with(picture: Image, kind: bytes, data: bytes) -> bytes:
    encoded = cv2.imencode(".png", picture)[1].tobytes()
    return encoded[:33] + _chunk(kind, data) + encoded[33:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def webp(picture: Image, orientation: int) -> bytes:
    height, width = picture.shape[:2]
    stream = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, 95])[1].tobytes()[12:]
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = _riff(b"VP8X", b"\x08\0\0\0" + size) + stream + _riff(b"EXIF", exif(orientation))
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _riff(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def tiff(pages: list[Image], orientation: int = 1, subfile_type: int = 0, *, big: bool = False) -> bytes:
    """An uncompressed TIFF file of one page or several; ``big`` makes a BigTIFF."""
    content = bytearray(b"II+\0\x08\0\0\0" + bytes(8) if big else b"II*\0\0\0\0\0")
    link = 8 if big else 4
    count, entry, place = ("<Q", "<HHQQ", "<Q") if big else ("<H", "<HHII", "<I")
    for page in pages:
        height, width = page.shape[:2]
        data_at = len(content)
        content += page[:, :, ::-1].tobytes()
        bits_at = len(content)
        content += struct.pack("<3H", 8, 8, 8)
        entries = [
            (254, 4, 1, subfile_type),
            (256, 4, 1, width),
            (257, 4, 1, height),
            (258, 3, 3, 8 | 8 << 16 | 8 << 32 if big else bits_at),
            (259, 3, 1, 1),
            (262, 3, 1, 2),
            (273, 4, 1, data_at),
            (274, 3, 1, orientation),
            (277, 3, 1, 3),
            (278, 4, 1, height),
            (279, 4, 1, page.size),
        ]
        content += b"\0" * (len(content) % 2)
        size = struct.calcsize(place)
        content[link : link + size] = struct.pack(place, len(content))
        content += struct.pack(count, len(entries)) + b"".join(struct.pack(entry, *values) for values in entries)
        link = len(content)
        content += bytes(size)
    return bytes(content)


def film(path: Path, pictures: list[Image], codec: str = "mp4v", fps: float = 10.0) -> Path:
    """Encode a video; the container follows from the name."""
    height, width = pictures[0].shape[:2]
    fourcc = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, fps, (width, height))
    assert writer.isOpened(), path
    for picture in pictures:
        writer.write(picture)
    writer.release()
    return path


def set_matrix(path: Path, orientation: int, scale: float = 1.0, box: bytes = b"tkhd") -> None:
    """Write a display matrix into the header of the (only) track, or with ``b"mvhd"`` of the film."""
    content = bytearray(path.read_bytes())
    assert content.count(box) == 1
    at = content.index(box) + 4
    at += (40 if box == b"tkhd" else 36) + (12 if content[at] == 1 else 0)
    a, b, c, d = (round(value * scale * 65536) for value in MATRICES[orientation])
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", len(body) + 8) + kind + body


def full_box(kind: bytes, *content: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *content)


def _links(kinds: list[bytes], kind: bytes, last_size: int, turned: list[int]) -> bytes:
    """Which properties each picture has; those of the last one are the whole's."""
    links = b""
    for number in range(1, len(kinds) + 1):
        wanted = [1, 2] if kinds[number - 1] == kind else [last_size]
        wanted += turned if number == len(kinds) else []
        marked = bytes(value | (0x80 if value != 2 else 0) for value in wanted)
        links += struct.pack(">HB", number, len(wanted)) + marked
    return links


def _meta(
    first: int, datas: list[bytes], kinds: list[bytes], infos: bytes, references: bytes, properties: bytes, links: bytes
) -> bytes:
    """The box ``meta``, where the first coded picture lies at byte ``first``."""
    places, at = b"", first
    for number, data in enumerate(datas, start=1):
        places += struct.pack(">HHHII", number, 0, 1, at, len(data))
        at += len(data)
    return full_box(
        b"meta",
        full_box(b"hdlr", bytes(4) + b"pict" + bytes(13)),
        full_box(b"pitm", struct.pack(">H", len(kinds))),
        full_box(b"iloc", b"\x44\x00", struct.pack(">H", len(datas)), places),
        full_box(b"iinf", struct.pack(">H", len(kinds)), infos),
        references,
        box(b"iprp", properties, full_box(b"ipma", struct.pack(">I", len(kinds)), links)),
    )


def heif(
    coded: list[bytes],
    configuration: bytes,
    *,
    brand: bytes = b"heic",
    tile: tuple[int, int],
    grid: tuple[int, int] | None = None,
    size: tuple[int, int] | None = None,
    turns: int = 0,
    mirror: int | None = None,
) -> bytes:
    """A HEIC or AVIF file of coded pictures: one, or a grid of ``(columns, rows)`` shown at ``size``.

    Args:
        coded: the coded pictures, row by row.
        configuration: the box ``hvcC`` or ``av1C`` of all of them.
        brand: ``b"heic"`` or ``b"avif"``.
        tile: width and height of each.
        grid: tiles across and down.
        size: width and height of the whole.
        turns: quarter turns counter-clockwise (``irot``).
        mirror: 0 exchanges top and bottom, 1 left and right (``imir``).
    """
    kind = b"hvc1" if brand == b"heic" else b"av01"
    kinds = [kind] * len(coded) + ([b"grid"] if grid else [])
    primary = len(kinds)
    datas = list(coded)
    properties = [configuration, full_box(b"ispe", struct.pack(">II", *tile))]
    if grid:
        assert size
        datas.append(struct.pack(">BBBBHH", 0, 0, grid[1] - 1, grid[0] - 1, *size))
        properties.append(full_box(b"ispe", struct.pack(">II", *size)))
    last_size = len(properties)
    turned = []
    if turns:
        properties.append(box(b"irot", bytes([turns])))
        turned.append(len(properties))
    if mirror is not None:
        properties.append(box(b"imir", bytes([mirror])))
        turned.append(len(properties))
    links = _links(kinds, kind, last_size, turned)
    infos = b"".join(
        full_box(b"infe", struct.pack(">HH", number, 0), name, b"\0", version=2, flags=int(number != primary))
        for number, name in enumerate(kinds, start=1)
    )
    references = b""
    if grid:
        tiles = struct.pack(f">{len(coded)}H", *range(1, len(coded) + 1))
        references = full_box(b"iref", box(b"dimg", struct.pack(">HH", primary, len(coded)) + tiles))

    def meta(first: int) -> bytes:
        return _meta(first, datas, kinds, infos, references, box(b"ipco", *properties), links)

    head = box(b"ftyp", brand, bytes(4), b"mif1", brand)
    return head + meta(len(head) + len(meta(0)) + 8) + box(b"mdat", *datas)


def coded_picture(content: bytes, configuration: bytes) -> tuple[bytes, bytes]:
    """The coded picture of a HEIC or AVIF file that holds a single one, and its box ``hvcC`` or ``av1C``."""
    at = content.index(configuration) - 4
    settings = content[at : at + int.from_bytes(content[at : at + 4], "big")]
    data_at = content.index(b"mdat") + 4
    return content[data_at : data_at - 8 + int.from_bytes(content[data_at - 8 : data_at - 4], "big")], settings


def fragmented(content: bytes) -> bytes:
    """The same film as fragments (ISO/IEC 14496-12, 8.8): empty tables in its header, one ``moof`` with all."""
    read = reader(content)
    tables = find(read, 0, len(content), b"moov", b"trak", b"mdia", b"minf", b"stbl")
    assert tables
    sizes = find(read, tables.start, tables.end, b"stsz")
    assert sizes
    common, count = struct.unpack(">II", read(sizes.start + 4, 8))
    lengths = [common] * count if common else struct.unpack(f">{count}I", read(sizes.start + 12, 4 * count))
    media = find(read, 0, len(content), b"moov", b"trak", b"mdia", b"mdhd")
    assert media
    duration = struct.unpack(">I", read(media.start + 16, 4))[0] // count

    def without_tables(start: int, end: int) -> bytes:
        out = b""
        for part in boxes(read, start, end):
            inner = read(part.start, part.end - part.start)
            if part.kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
                inner = without_tables(part.start, part.end)
            elif part.kind == b"stsz":
                inner = bytes(12)
            elif part.kind in (b"stts", b"stsc", b"stco"):
                inner = bytes(8)
            elif part.kind in (b"stss", b"ctts", b"edts"):
                continue
            out += box(part.kind, inner)
            if part.kind == b"trak":
                out += box(b"mvex", full_box(b"trex", struct.pack(">5I", 1, 1, duration, 0, 0)))
        return out

    film_header = find(read, 0, len(content), b"moov")
    data = find(read, 0, len(content), b"mdat")
    assert film_header
    assert data
    samples = b"".join(struct.pack(">II", duration, length) for length in lengths)

    def fragment(offset: int) -> bytes:
        run = full_box(b"trun", struct.pack(">Ii", count, offset), samples, flags=0x000301)
        track = box(b"traf", full_box(b"tfhd", struct.pack(">I", 1), flags=0x020000), run)
        return box(b"moof", full_box(b"mfhd", struct.pack(">I", 1)), track)

    head = box(b"ftyp", b"isom", bytes(4), b"isom") + box(b"moov", without_tables(film_header.start, film_header.end))
    return head + fragment(len(fragment(0)) + 8) + box(b"mdat", read(data.start, data.end - data.start))


POSES = {1: (0, 0), 2: (180, 0), 3: (0, 180), 4: (180, -180), 5: (180, 90), 6: (0, -90), 7: (180, -90), 8: (0, 90)}
"""EXIF orientation -> yaw and roll as FFmpeg 7 writes them into Matroska for a display matrix."""


def with_pose(content: bytes, yaw: float, roll: float) -> bytes:
    """A Matroska film with a projection in the description of its video (RFC 9559, 5.1.4.1.28.41)."""
    path = [b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\xe0"]  # Segment, Tracks, TrackEntry, Video
    moved = [b"\x11\x4d\x9b\x74", b"\x1c\x53\xbb\x6b", b"\xec"]  # tables of places, which change, and padding

    def element(name: bytes, body: bytes) -> bytes:
        return name + struct.pack(">Q", len(body) | 1 << 56) + body

    def number(values: bytes, at: int, *, marked: bool) -> tuple[int, int]:
        width = 9 - values[at].bit_length()
        value = int.from_bytes(values[at : at + width], "big")
        return (value if marked else value & ((1 << 7 * width) - 1)), width

    def rebuilt(inside: bytes, depth: int) -> bytes:
        out, at = b"", 0
        while at < len(inside):
            _, wide = number(inside, at, marked=True)
            size, width = number(inside, at + wide, marked=False)
            name, start = inside[at : at + wide], at + wide + width
            body = inside[start : start + size]
            if depth < len(path) and name == path[depth]:
                body = rebuilt(body, depth + 1)
                if depth == len(path) - 1:
                    angles = element(b"\x76\x73", struct.pack(">f", yaw)) + element(
                        b"\x76\x75", struct.pack(">f", roll)
                    )
                    body += element(b"\x76\x70", element(b"\x76\x71", b"\0") + angles)
            if name not in moved:
                out += element(name, body)
            at = start + size
        return out

    return rebuilt(content, 0)
