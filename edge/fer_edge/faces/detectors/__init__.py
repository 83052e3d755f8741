"""The face detectors: one module each, with its ``DETECTOR`` record.

A new one is one new file here, for example ``toy.py``::

    from fer_edge.faces.detection import DetectedFace
    from fer_edge.faces.detector import DetectorSpec


    class ToyDetector:
        name = "toy"

        def detect(self, image, small=None):
            return [DetectedFace((0, 0, image.shape[1], image.shape[0]), 1.0)]


    DETECTOR = DetectorSpec(name="toy", open=lambda model=None, *, width=320: ToyDetector())

On ``talking_head.mp4`` (115 frames, one face) YuNet at width 320 finds exactly 115 faces; Haar finds false ones too and
is several times slower. So ``auto`` means YuNet wherever its 230 KB file is at hand or can be fetched once, and Haar,
with a notice, where it is not.
"""

from __future__ import annotations

import functools
import os

from fer_edge.defaults import DEFAULT_DETECT_WIDTH
from fer_edge.errors import FerError, MissingDependencyError, UsageError
from fer_edge.faces.detection import FaceDetector
from fer_edge.faces.detector import DetectorSpec
from fer_edge.logs import LOG
from fer_edge.registry import find_records

__all__ = ["AUTO", "detector_names", "detectors", "open_detector"]

AUTO = "auto"


@functools.cache
def detectors() -> dict[str, DetectorSpec]:
    """All detectors by name, those that ``auto`` prefers first; loads none of them.

    Returns:
        ``{name: specification}``.

    Raises:
        FerError: a module of this package holds no specification, or two have one name.
    """
    return find_records(__name__, "DETECTOR", DetectorSpec)


def detector_names() -> tuple[str, ...]:
    """What ``--detector`` takes: ``auto`` and the names of all detectors.

    Returns:
        The names, ``auto`` first.
    """
    return (AUTO, *detectors())


def open_detector(
    name: str = AUTO,
    model: str | os.PathLike[str] | None = None,
    *,
    width: int = DEFAULT_DETECT_WIDTH,
) -> FaceDetector:
    """Open the face detector ``name``: one of :func:`detectors`, or ``auto`` (YuNet where possible, else Haar).

    Args:
        name: the detector.
        model: its file, where it has one; without it YuNet's is looked for in the user's cache folder, and fetched
            once if it is not there.
        width: see :data:`fer_edge.faces.detection.DEFAULT_DETECT_WIDTH`, in pixels.

    Returns:
        The detector.

    Raises:
        UsageError: an unknown name, or a file for a detector that has none.
        ModelError: a bad file.
        MissingDependencyError: YuNet was asked for and cannot be fetched, or OpenCV lacks Haar.
    """
    if name == AUTO:
        return _open_first(model, width)
    spec = detectors().get(name)
    if spec is None:
        from fer_edge.command import did_you_mean  # late: with argparse and difflib behind it

        names = detector_names()
        hint = did_you_mean(name, names)
        raise UsageError(f"unknown detector {name!r}{hint}{' Known' if hint else '; known'}: {', '.join(names)}")
    if model is not None and not spec.takes_file:
        owners = " and ".join(other.title or other.name for other in detectors().values() if other.takes_file)
        raise UsageError(f"--detector-model belongs to {owners}; leave it out with --detector {name}")
    return spec.open(model, width=width)


def _open_first(model: str | os.PathLike[str] | None, width: int) -> FaceDetector:
    automatic = [spec for spec in detectors().values() if spec.automatic]
    if model is not None:
        return next(spec for spec in automatic if spec.takes_file).open(model, width=width)
    first: FerError | None = None
    for spec in automatic:
        try:
            detector = spec.open(None, width=width)
        except FerError as error:
            if first is not None and not isinstance(error, MissingDependencyError):
                raise
            first = first or error  # what the preferred one lacks is what the user must know
            continue
        if first is not None:
            drawback = f", {spec.drawback}" if spec.drawback else ""
            LOG.warning(f"faces are found by {spec.title or spec.name}{drawback}: {first}")
        return detector
    raise first or MissingDependencyError("there is no face detector")
