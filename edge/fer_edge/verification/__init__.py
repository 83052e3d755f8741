"""Golden vectors: prove that a device computes what the exporter computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_edge.verification.detector import DetectorGolden, read_detector_golden, verify_detector
    from fer_edge.verification.golden import GOLDEN_FORMAT, GOLDEN_NAME, Golden, find_golden, read_golden
    from fer_edge.verification.replay import VerifyReport, verify, verify_classifier
    from fer_edge.verification.stage import StageResult

__all__ = [
    "GOLDEN_FORMAT",
    "GOLDEN_NAME",
    "DetectorGolden",
    "Golden",
    "StageResult",
    "VerifyReport",
    "find_golden",
    "read_detector_golden",
    "read_golden",
    "verify",
    "verify_classifier",
    "verify_detector",
]

_HOMES: Final[dict[str, str]] = {
    "GOLDEN_FORMAT": "fer_edge.verification.golden",
    "GOLDEN_NAME": "fer_edge.verification.golden",
    "Golden": "fer_edge.verification.golden",
    "find_golden": "fer_edge.verification.golden",
    "read_golden": "fer_edge.verification.golden",
    "DetectorGolden": "fer_edge.verification.detector",
    "read_detector_golden": "fer_edge.verification.detector",
    "verify_detector": "fer_edge.verification.detector",
    "StageResult": "fer_edge.verification.stage",
    "VerifyReport": "fer_edge.verification.replay",
    "verify": "fer_edge.verification.replay",
    "verify_classifier": "fer_edge.verification.replay",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
