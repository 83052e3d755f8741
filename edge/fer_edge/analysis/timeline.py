"""A picture of one file: what each face showed over time, or, of a still, how likely each emotion is.

Each face is a band. In a video time goes to the right, and the band's height is divided among the emotions by their
averaged probabilities; it is white where the face was not seen. In a still the band's width is divided. Bands are drawn
as pixels, not as shapes, and there is one set of axes: a picture costs little beside the analysis of a short clip.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.analysis.summary import Seen, frame_seconds
from fer_edge.arrays import Image
from fer_edge.errors import MissingDependencyError
from fer_edge.labels import EMOTIONS

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["COLOURS", "SHOWN_TRACKS", "require_matplotlib", "timeline_png"]

SHOWN_TRACKS: Final[int] = 6
"""Faces that a picture shows: those seen longest, in the order of their numbers."""
COLOURS: Final[dict[str, str]] = {
    "angry": "#d1413a", "disgust": "#5a9e4b", "fear": "#8e59b0", "happy": "#f2b632", "neutral": "#b9c0cb",
    "sad": "#3f7fc4", "surprise": "#2bb3ae",
}  # fmt: skip
"""Of the emotions, in pictures and pages."""
_STEPS: Final[int] = 800
"""Points along the time axis; more would not be seen at this width."""
_BAND: Final[int] = 70
_GAP: Final[int] = 14
"""Heights of a band and of what is between two, in points of the raster."""
_INCHES: Final[float] = 9.0
_DPI: Final[int] = 100
_INK: Final[str] = "#1b2330"


def require_matplotlib() -> None:
    """Fail before the work, not after it.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    import importlib.util

    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError.for_extra("matplotlib", "table")


def timeline_png(faces: pa.Table, seen: Seen) -> bytes:
    """Draw the picture.

    Args:
        faces: the rows of the file.
        seen: what was read of it.

    Returns:
        A PNG file, 900 pixels wide; the same bytes for the same rows.
    """
    shown = _longest(faces)
    figure, axes = _figure(max(1, len(shown)))
    if shown:
        is_video = seen.kind == "video"
        bands, end = _bands_of_video(faces, shown, seen) if is_video else (_bands_of_still(faces, shown), 1.0)
        _draw(axes, bands, shown, end)
        axes.set_xlabel("seconds" if is_video else "probability", fontsize=8, color=_INK)
        _legend(figure)
    else:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no face found", ha="center", va="center", color=_INK, transform=axes.transAxes)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None})
    return file.getvalue()


def _figure(rows: int) -> tuple[Any, Any]:
    from fer_edge.dependencies import set_folders

    set_folders()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = 0.9 + 0.84 * rows
    figure = Figure(figsize=(_INCHES, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.08, 0.46 / height, 0.905, 1 - 0.84 / height))
    return figure, axes


def _longest(faces: pa.Table) -> list[int]:
    """Numbers of the faces to show."""
    ids, counts = np.unique(faces["track_id"].to_numpy(), return_counts=True)
    order = np.lexsort((ids, -counts))[:SHOWN_TRACKS]
    return sorted(int(number) for number in ids[order])


def _probabilities(faces: pa.Table, rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    return np.stack([faces[name].to_numpy()[rows] for name in EMOTIONS], axis=1)


def _palette() -> Image:
    """RGB of the emotions, then white."""
    codes = [*COLOURS.values(), "#ffffff"]
    return np.array([[int(code[at : at + 2], 16) for at in (1, 3, 5)] for code in codes], dtype=np.uint8)


def _bands_of_video(faces: pa.Table, shown: list[int], seen: Seen) -> tuple[list[Image], float]:
    """A band for each face, and where the time axis ends in seconds."""
    ids, frames = faces["track_id"].to_numpy(), faces["frame"].to_numpy()
    begins, lasting = seen.times_s, frame_seconds(seen)
    end_s = float(begins[-1] + (lasting[-1] if np.isfinite(lasting[-1]) else 0.0)) or 1.0
    n_steps = min(_STEPS, len(begins))
    step = np.minimum((begins * (n_steps / end_s)).astype(np.int64), n_steps - 1)
    is_empty = np.bincount(step, minlength=n_steps) == 0  # no frame begins here: the one before goes on
    levels = (np.arange(_BAND)[::-1, None] + 0.5) / _BAND
    bands = []
    for number in shown:
        rows = ids == number
        at, values = step[frames[rows]], _probabilities(faces, rows)
        counts = np.bincount(at, minlength=n_steps)
        sums = np.stack([np.bincount(at, weights=values[:, n], minlength=n_steps) for n in range(len(EMOTIONS))])
        tops = np.cumsum(sums / np.maximum(counts, 1), axis=0)
        for n in np.flatnonzero(is_empty[1:]) + 1:
            tops[:, n] = tops[:, n - 1]
        # Sums of rounded numbers may end just below 1; where the face is not seen they are 0.
        tops[-1] = np.where(tops[-1] > 0.5, 1.0, 0.0)
        bands.append(_palette()[(levels[:, :, None] >= tops.T[None]).sum(axis=2)])
    return bands, end_s


def _bands_of_still(faces: pa.Table, shown: list[int]) -> list[Image]:
    ids = faces["track_id"].to_numpy()
    levels = (np.arange(_STEPS) + 0.5) / _STEPS
    bands = []
    for number in shown:
        tops = np.cumsum(_probabilities(faces, ids == number)[0])
        tops[-1] = 1.0
        line = _palette()[(levels[:, None] >= tops).sum(axis=1)]
        bands.append(np.broadcast_to(line, (_BAND, _STEPS, 3)))
    return bands


def _draw(axes: Any, bands: list[Image], shown: list[int], end: float) -> None:
    between = np.full((_GAP, bands[0].shape[1], 3), 255, dtype=np.uint8)
    raster = np.concatenate([part for band in bands for part in (between, band)][1:])
    axes.imshow(raster, aspect="auto", interpolation="nearest", extent=(0.0, end, float(len(raster)), 0.0))
    axes.set_yticks([_BAND / 2 + n * (_BAND + _GAP) for n in range(len(bands))], [f"face {n}" for n in shown])
    axes.tick_params(labelsize=8, colors=_INK)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _legend(figure: Any) -> None:
    at = 0.08
    for name, colour in COLOURS.items():
        figure.text(at, 0.995, "\u25a0", color=colour, fontsize=12, va="top")
        figure.text(at + 0.018, 0.985, name, color=_INK, fontsize=8, va="top")
        at += 0.105
