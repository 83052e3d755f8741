"""The decoder's configuration in an MP4 file to which OpenCV copied MPEG-4 packets: it leaves it out.

Boxes after ISO/IEC 14496-12, the ``esds`` box and its descriptors after ISO/IEC 14496-1 (section 7.2.6) and -14.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

_WAY: Final = (b"trak", b"mdia", b"minf", b"stbl")
_ENTRY_OFFSET: Final[int] = 16  # header of stsd, version, number of entries
_ESDS_OFFSET: Final[int] = 86  # header and fields of a video entry
_DECODER: Final[int] = 0x04
_SPECIFIC: Final[int] = 0x05
_FIXED: Final[int] = 13  # bytes of a DecoderConfigDescriptor before what is specific to the codec


def add_decoder_config(path: Path, config: bytes) -> bool:
    """Put ``config`` into the first track's ``esds`` box, in place; False for a file that is not as expected.

    The ``moov`` box must be the last one, as FFmpeg writes it: then nothing that it points at moves.
    """
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        at = 0
        while at + 16 <= size:
            file.seek(at)
            length, kind, long_length = struct.unpack(">I4sQ", file.read(16))
            length = long_length if length == 1 else length
            if kind == b"moov":
                break
            at += max(length, 8)
        else:
            return False
        if at + length != size:
            return False
        file.seek(at)
        moov = bytearray(file.read())
        if not _patch(moov, config):
            return False
        file.seek(at)
        file.write(moov)
    return True


def _patch(moov: bytearray, config: bytes) -> bool:
    parents = [0]
    for name in (*_WAY, b"stsd"):
        at = _child(moov, parents[-1], name)
        if at is None:
            return False
        parents.append(at)
    entry = parents[-1] + _ENTRY_OFFSET
    esds = entry + _ESDS_OFFSET
    if bytes(moov[entry + 4 : entry + 8]) != b"mp4v" or bytes(moov[esds + 4 : esds + 8]) != b"esds":
        return False
    stream = esds + 12  # the ES descriptor: tag, length in four bytes, identity (2), flags (1), then the decoder's
    decoder = stream + 5 + 3
    if moov[decoder] != _DECODER or _length(moov, decoder) != _FIXED:
        return False
    addition = bytes([_SPECIFIC]) + _packed(len(config)) + config
    end = decoder + 5 + _FIXED
    moov[stream + 1 : stream + 5] = _packed(_length(moov, stream) + len(addition))
    moov[decoder + 1 : decoder + 5] = _packed(_FIXED + len(addition))
    moov[end:end] = addition
    for box in (*parents, entry, esds):
        (length,) = struct.unpack_from(">I", moov, box)
        struct.pack_into(">I", moov, box, length + len(addition))
    return True


def _child(content: bytearray, parent: int, name: bytes) -> int | None:
    """Where the first box ``name`` inside the box at ``parent`` begins."""
    (length,) = struct.unpack_from(">I", content, parent)
    at, end = parent + 8, parent + length
    while at + 8 <= end:
        length, kind = struct.unpack_from(">I4s", content, at)
        if kind == name:
            return at
        at += max(length, 8)
    return None


def _packed(length: int) -> bytes:
    """A descriptor's length in four bytes of seven bits, as FFmpeg writes all of them."""
    return bytes((length >> shift & 0x7F) | (0x80 if shift else 0) for shift in (21, 14, 7, 0))


def _length(content: bytearray, descriptor: int) -> int:
    value = 0
    for byte in content[descriptor + 1 : descriptor + 5]:
        value = value << 7 | (byte & 0x7F)
    return value
