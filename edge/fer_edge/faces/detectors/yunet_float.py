"""YuNet computed by LiteRT in float: the referee for the INT8 form, and for comparison."""

from __future__ import annotations

import functools

from fer_edge.faces.detector import DetectorSpec
from fer_edge.faces.detectors.yunet import open_yunet

DETECTOR = DetectorSpec(
    name="yunet-float",
    open=functools.partial(open_yunet, engine="litert-float"),
    title="YuNet in float",
    takes_file=True,
    rank=25,
)
