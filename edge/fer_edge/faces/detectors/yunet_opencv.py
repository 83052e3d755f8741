"""YuNet computed by OpenCV: the referee for both of LiteRT's forms, and for comparison."""

from __future__ import annotations

import functools

from fer_edge.faces.detector import DetectorSpec
from fer_edge.faces.detectors.yunet import open_yunet

DETECTOR = DetectorSpec(
    name="yunet-opencv",
    open=functools.partial(open_yunet, engine="opencv"),
    title="YuNet on OpenCV",
    takes_file=True,
    rank=30,
)
