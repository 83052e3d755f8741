"""Frames from cameras, streams, videos and images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_edge.capture.files import ImageFiles, VideoFile
    from fer_edge.capture.frames import CaptureOptions, Frame, Source
    from fer_edge.capture.inputs import Job, is_camera, is_image, plan, unlike
    from fer_edge.capture.open import open_source
    from fer_edge.capture.orientation import asked_orientation
    from fer_edge.capture.pictures import read_image
    from fer_edge.capture.sniff import IMAGE_SUFFIXES
    from fer_edge.capture.v4l2 import list_cameras

__all__ = [
    "IMAGE_SUFFIXES",
    "CaptureOptions",
    "Frame",
    "ImageFiles",
    "Job",
    "Source",
    "VideoFile",
    "asked_orientation",
    "is_camera",
    "is_image",
    "list_cameras",
    "open_source",
    "plan",
    "read_image",
    "unlike",
]

_HOMES: Final[dict[str, str]] = {
    "CaptureOptions": "fer_edge.capture.frames",
    "Frame": "fer_edge.capture.frames",
    "Source": "fer_edge.capture.frames",
    "ImageFiles": "fer_edge.capture.files",
    "VideoFile": "fer_edge.capture.files",
    "Job": "fer_edge.capture.inputs",
    "is_camera": "fer_edge.capture.inputs",
    "is_image": "fer_edge.capture.inputs",
    "plan": "fer_edge.capture.inputs",
    "unlike": "fer_edge.capture.inputs",
    "open_source": "fer_edge.capture.open",
    "asked_orientation": "fer_edge.capture.orientation",
    "read_image": "fer_edge.capture.pictures",
    "IMAGE_SUFFIXES": "fer_edge.capture.sniff",
    "list_cameras": "fer_edge.capture.v4l2",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
