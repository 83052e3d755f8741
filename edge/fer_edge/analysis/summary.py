"""What a file and each face in it showed altogether: shares and durations of the emotions, switches, seconds seen.

A frame lasts until the next one; the last of a video as long as the one before. A share is a part of the rows, that is
of the frames in which the face was seen. A switch is another emotion than the last one that the same face showed;
uncertain answers in between do not count. Stills have no seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.labels import EMOTIONS

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FILE_COLUMNS", "TRACK_COLUMNS", "Seen", "emotion_columns", "frame_seconds", "summarize"]

_UNCERTAIN: Final[str] = "uncertain"
_NAMES: Final = (*EMOTIONS, _UNCERTAIN)
_BY_EMOTION: Final[dict[str, str]] = {f"{kind}_{name}": "float64" for kind in ("share", "seconds") for name in _NAMES}
TRACK_COLUMNS: Final[dict[str, str]] = {
    "file": "string", "track_id": "int64", "first_s": "float64", "last_s": "float64", "frames": "int64",
    "seconds": "float64", "score": "float64", "emotion": "string", "switches": "int64", **_BY_EMOTION,
}  # fmt: skip
"""``{column of the table of tracks: type}``; ``emotion`` is the most frequent one, ``score`` the mean."""
FILE_COLUMNS: Final[dict[str, str]] = {
    "file": "string", "kind": "string", "width": "int64", "height": "int64", "frames": "int64", "seconds": "float64",
    "tracks": "int64", "faces": "int64", "frames_with_faces": "int64", "seconds_with_faces": "float64",
    "emotion": "string", "switches": "int64", **_BY_EMOTION, "sha256": "string", "results": "string",
    "error": "string",
}  # fmt: skip
"""``{column of the table of files: type}``. ``faces`` counts rows; ``seconds_angry`` and the like add up all faces."""


@dataclass(frozen=True)
class Seen:
    """What was read of a file, besides its faces."""

    kind: str
    """``video`` or ``image``."""
    width: int
    """Of the last frame, in pixels."""
    height: int
    """Of the last frame, in pixels."""
    times_s: npt.NDArray[np.float64]
    """Of every frame, with faces or without."""
    fps: float | None
    """As the file says it, if it does."""


def frame_seconds(seen: Seen) -> npt.NDArray[np.float64]:
    """How long each frame of a video is shown.

    Args:
        seen: what was read of it.

    Returns:
        Seconds, one number per frame; NaN for stills.
    """
    times = seen.times_s
    if seen.kind != "video":
        return np.full(len(times), np.nan)
    steps = np.clip(np.diff(times), 0.0, None)
    last = steps[-1] if len(steps) else 1.0 / seen.fps if seen.fps else np.nan
    return np.append(steps, last) if len(times) else steps


def summarize(file: str, faces: pa.Table, seen: Seen) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The summary of a file, and that of each face in it.

    Args:
        file: as in the table.
        faces: its rows.
        seen: what was read of it.

    Returns:
        ``(columns of the file, columns of each track by its number)``; what does not apply is None.
    """
    seconds = frame_seconds(seen)
    frames = faces["frame"].to_numpy()
    ids = faces["track_id"].to_numpy()
    answers = np.array([_NAMES.index(name or _UNCERTAIN) for name in faces["emotion"].to_pylist()], dtype=np.int64)
    rows_s = seconds[frames]
    is_timed = not np.isnan(seconds).any()
    order = np.argsort(ids, kind="stable")
    tracks = []
    for rows in np.split(order, np.flatnonzero(np.diff(ids[order])) + 1) if len(order) else []:
        times = faces["time_s"].take(rows).to_numpy()
        tracks.append(
            {
                "file": file,
                "track_id": int(ids[rows[0]]),
                "first_s": float(times[0]),
                "last_s": float(times[-1]),
                "frames": len(rows),
                "seconds": _rounded(rows_s[rows].sum()),
                "score": _rounded(faces["score"].take(rows).to_numpy().mean(), 3),
                "switches": _switches(answers[rows]),
                **_emotions(answers[rows], rows_s[rows], is_timed=is_timed),
            }
        )
    with_faces = np.unique(frames)
    summary = {
        "file": file,
        "kind": seen.kind,
        "width": seen.width,
        "height": seen.height,
        "frames": len(seen.times_s),
        "seconds": _rounded(seconds.sum()),
        "tracks": len(tracks),
        "faces": len(frames),
        "frames_with_faces": len(with_faces),
        "seconds_with_faces": _rounded(seconds[with_faces].sum()) if is_timed else None,
        "switches": sum(track["switches"] for track in tracks),
        **_emotions(answers, rows_s, is_timed=is_timed),
    }
    return summary, tracks


def _emotions(answers: npt.NDArray[np.int64], seconds: npt.NDArray[np.float64], *, is_timed: bool) -> dict[str, Any]:
    counts = np.bincount(answers, minlength=len(_NAMES))
    lasting = np.bincount(answers, weights=seconds, minlength=len(_NAMES))
    certain = counts[: len(EMOTIONS)]
    return {
        "emotion": EMOTIONS[int(certain.argmax())] if certain.any() else None,
        **{
            f"share_{name}": _rounded(count / len(answers)) if len(answers) else None
            for name, count in zip(_NAMES, counts, strict=True)
        },
        **{
            f"seconds_{name}": _rounded(value) if is_timed else None
            for name, value in zip(_NAMES, lasting, strict=True)
        },
    }


def _switches(answers: npt.NDArray[np.int64]) -> int:
    certain = answers[answers < len(EMOTIONS)]
    return int(np.count_nonzero(np.diff(certain)))


def _rounded(value: float, digits: int = 4) -> float | None:
    return None if np.isnan(value) else round(float(value), digits)


def emotion_columns(kind: str) -> Sequence[str]:
    """The columns ``share_angry`` to ``share_uncertain``, or those of seconds.

    Args:
        kind: ``share`` or ``seconds``.

    Returns:
        Eight names, in order.
    """
    return [f"{kind}_{name}" for name in _NAMES]
