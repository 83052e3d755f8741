"""The page that shows a whole run: totals, files, timelines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from fer_edge.analysis.one_file import FACES_CSV, TIMELINE
from fer_edge.analysis.summary import emotion_columns
from fer_edge.app.progress_line import duration_text
from fer_edge.command import counted
from fer_edge.html import render

__all__ = ["overview_page"]

_SHOWN_FILES: Final[int] = 500
_SHOWN_TIMELINES: Final[int] = 60
_SHOWN_BROKEN: Final[int] = 20
_NOTHING: Final[str] = "–"


def overview_page(files: Sequence[dict[str, Any]]) -> str:
    """The page.

    Args:
        files: the records of the table of files, in order.

    Returns:
        HTML; pictures and tables are linked by relative addresses.

    Raises:
        MissingDependencyError: Jinja2 is not installed.
    """
    broken = [record for record in files if record.get("error")]
    fine = [record for record in files if not record.get("error")]
    pictured = [record for record in fine if record["faces"] and record["has_picture"]]
    faces, tracks = _total(fine, "faces"), _total(fine, "tracks")
    video_s, seen_s = _total(fine, "seconds"), _total(fine, "seconds_with_faces")
    cards = [(len(files), "files"), (tracks, "faces followed"), (faces, "rows, one per face and frame")]
    if video_s:
        cards += [(duration_text(video_s), "of video"), (duration_text(seen_s), "with a face in sight")]
    return str(
        render(
            "fer_edge.analysis",
            "overview.html",
            title="fer-analyze",
            n_files=counted(len(files), "file"),
            lead=_lead(fine, broken),
            cards=cards,
            broken=[record["error"] for record in broken[:_SHOWN_BROKEN]],
            n_broken=counted(len(broken), "file"),
            more_broken=max(0, len(broken) - _SHOWN_BROKEN),
            shares=_shares(fine, faces),
            rows=[_row(record) for record in fine[:_SHOWN_FILES]],
            files_note=f"The first {_SHOWN_FILES} of {len(fine)}." if len(fine) > _SHOWN_FILES else "",
            timelines=[_timeline(record) for record in pictured[:_SHOWN_TIMELINES]],
            timelines_note=(
                f"The first {_SHOWN_TIMELINES} of {len(pictured)}; the others are in the folder files/."
                if len(pictured) > _SHOWN_TIMELINES
                else ""
            ),
        )
    )


def _lead(fine: Sequence[dict[str, Any]], broken: Sequence[dict[str, Any]]) -> str:
    videos = sum(record["kind"] == "video" for record in fine)
    parts = [counted(videos, "video"), counted(len(fine) - videos, "image")]
    if broken:
        parts.append(f"{len(broken)} that could not be read")
    return ", ".join(part for part in parts if not part.startswith("0 "))


def _total(files: Sequence[dict[str, Any]], column: str) -> Any:
    return sum(record[column] or 0 for record in files)


def _shares(files: Sequence[dict[str, Any]], faces: int) -> list[tuple[str, float, str]]:
    if not faces:
        return []
    shares = []
    for column in emotion_columns("share"):
        share = sum((record[column] or 0.0) * record["faces"] for record in files) / faces
        shares.append((column.removeprefix("share_"), share, f"{share:.1%}"))
    return shares


def _row(record: dict[str, Any]) -> list[str]:
    emotion, seconds = record["emotion"], record["seconds"]
    with_faces = record["frames_with_faces"] / record["frames"] if record["frames"] else 0.0
    return [
        record["file"],
        record["kind"],
        _NOTHING if seconds is None else duration_text(seconds),
        str(record["tracks"]),
        f"{with_faces:.0%}",
        emotion or _NOTHING,
        _NOTHING if emotion is None else f"{record[f'share_{emotion}']:.0%}",
        str(record["switches"]),
    ]


def _timeline(record: dict[str, Any]) -> tuple[str, str, str]:
    folder = quote(record["results"])
    return record["file"], f"{folder}/{TIMELINE}", f"{folder}/{FACES_CSV}"
