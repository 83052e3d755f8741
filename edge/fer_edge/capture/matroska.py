"""Which way up a Matroska or WebM file says its film is: ``ProjectionPoseRoll`` and ``ProjectionPoseYaw``.

FFmpeg writes them where an MP4 file has a display matrix. Of a mirrored one (yaw 180) OpenCV makes a mere rotation.
Elements by RFC 9559 (5.1.4.1.28.41), their coding by RFC 8794.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from fer_edge.capture.iso_boxes import ReadAt

_SEGMENT: Final = 0x18538067
_CLUSTER: Final = 0x1F43B675
_TRACKS: Final = 0x1654AE6B
_TRACK: Final = 0xAE
_VIDEO: Final = 0xE0
_PROJECTION: Final = 0x7670
_YAW, _PITCH, _ROLL = 0x7673, 0x7674, 0x7675
_MAX_ELEMENTS: Final[int] = 512
"""On one level; a damaged file may claim millions of empty ones."""


def projection_pose(read_at: ReadAt, size: int) -> tuple[float, float, float] | None:
    """Yaw, pitch and roll of the first video track in degrees; None where it has none.

    Args:
        read_at: reads ``(offset, length)`` of the file, both in bytes.
        size: of the file, in bytes.
    """
    track = _first(read_at, [(0, size)], _SEGMENT, _TRACKS, _TRACK, _VIDEO)
    projection = _first(read_at, [track], _PROJECTION) if track else None
    if projection is None:
        return None
    pose = dict.fromkeys((_YAW, _PITCH, _ROLL), 0.0)
    for kind, start, end in _elements(read_at, *projection):
        if kind in pose:
            coded = read_at(start, end - start)
            pose[kind] = struct.unpack({4: ">f", 8: ">d"}[len(coded)], coded)[0] if len(coded) in (4, 8) else 0.0
    return pose[_YAW], pose[_PITCH], pose[_ROLL]


def _first(read_at: ReadAt, places: list[tuple[int, int]], *path: int) -> tuple[int, int] | None:
    """Where the content of the first element with this path lies; a track without video is skipped."""
    for kind in path:
        places = [
            (start, end) for place in places for element, start, end in _elements(read_at, *place) if element == kind
        ]
    return places[0] if places else None


def _elements(read_at: ReadAt, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of the content of each element, up to the pictures or the first that makes no sense."""
    at = start
    for _ in range(_MAX_ELEMENTS):
        head = read_at(at, 12)
        id_bytes = _length(head[:1])
        size_bytes = _length(head[id_bytes : id_bytes + 1]) if id_bytes else 0
        if not id_bytes or not size_bytes or id_bytes > 4 or at + id_bytes + size_bytes > end:
            return
        kind = int.from_bytes(head[:id_bytes], "big")
        size = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big") & ((1 << 7 * size_bytes) - 1)
        if kind == _CLUSTER:
            return
        at += id_bytes + size_bytes
        unknown = size == (1 << 7 * size_bytes) - 1  # of a recording that was not finished
        yield kind, at, end if unknown else min(at + size, end)
        if unknown:
            return
        at += size


def _length(first: bytes) -> int:
    """How many bytes a number takes that begins with this one; 0 where there is none."""
    return 9 - first[0].bit_length() if first and first[0] else 0
