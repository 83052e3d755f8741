"""The cameras that Linux knows."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CameraInfo", "is_v4l2", "list_cameras"]


@dataclass(frozen=True)
class CameraInfo:
    """A camera as ``--list-cameras`` shows it."""

    number: int
    """N of ``/dev/videoN``."""
    name: str
    """As the driver gives it."""


_QUERY_CAPABILITIES = 0x80685600  # VIDIOC_QUERYCAP of linux/videodev2.h: _IOR('V', 0, struct v4l2_capability)
_CAPABILITIES_SIZE = 104
_DEVICE_CAPS_OFFSET = 88
_CAN_CAPTURE = 0x00000001 | 0x00001000  # V4L2_CAP_VIDEO_CAPTURE, V4L2_CAP_VIDEO_CAPTURE_MPLANE


def is_v4l2(name: str) -> bool:
    """Whether a source is a V4L2 camera.

    Args:
        name: a source as the user names it.

    Returns:
        True for a number, ``/dev/videoN``, the lasting names below ``/dev/v4l/``, and links to any of these.
    """
    if (name.isascii() and name.isdigit()) or name.startswith(("/dev/video", "/dev/v4l/")):
        return True
    return os.path.islink(name) and os.path.realpath(name).startswith("/dev/video")  # noqa: PTH114


def list_cameras(system: Path = Path("/sys/class/video4linux"), devices: Path = Path("/dev")) -> list[CameraInfo]:
    """The V4L2 cameras of this machine. Nodes that deliver no pictures (metadata, outputs) are left out.

    Empty on other systems than Linux: there is no way to ask without opening the cameras.

    Args:
        system: where the kernel lists them.
        devices: where their nodes are.

    Returns:
        The cameras by number.
    """
    cameras = []
    for folder in system.glob("video*") if system.is_dir() else ():
        number = folder.name.removeprefix("video")
        if number.isdigit() and _captures(devices / folder.name):
            name_file = folder / "name"
            name = name_file.read_text(encoding="utf-8", errors="replace").strip() if name_file.is_file() else "camera"
            cameras.append(CameraInfo(int(number), name))
    return sorted(cameras, key=lambda camera: camera.number)


def _captures(device: Path) -> bool:
    """Whether a V4L2 node delivers pictures; a node that may not be opened counts as one, to be shown."""
    import fcntl  # not on Windows

    answer = bytearray(_CAPABILITIES_SIZE)
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except PermissionError:
        return True
    except OSError:
        return False
    try:
        fcntl.ioctl(descriptor, _QUERY_CAPABILITIES, answer)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return bool(int.from_bytes(answer[_DEVICE_CAPS_OFFSET : _DEVICE_CAPS_OFFSET + 4], sys.byteorder) & _CAN_CAPTURE)
