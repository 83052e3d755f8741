"""One file from its bytes to its tables and its picture, in whichever process or machine."""

from __future__ import annotations

import json
import logging
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from fer_edge.analysis.recipe import Recipe, Tools
from fer_edge.errors import FerError
from fer_edge.files import sha256_of
from fer_edge.logs import LOG

__all__ = ["DONE", "FACES_CSV", "FACES_PARQUET", "TIMELINE", "Job", "Outcome", "carry_out"]

FACES_PARQUET: Final[str] = "faces.parquet"
FACES_CSV: Final[str] = "faces.csv"
TIMELINE: Final[str] = "timeline.png"
DONE: Final[str] = "done.json"
"""Written last: a file is done where this one is, and fits."""
_PROGRESS_S: Final[float] = 0.5


@dataclass(frozen=True)
class Job:
    """One file to be looked at."""

    number: int
    """Its place among the inputs."""
    file: str
    """Its name in the tables."""
    location: str
    """Where it is read: an absolute path, or an address that fsspec knows."""
    size: int
    """In bytes, as far as it is known."""
    folder: str
    """Name of its folder of results."""
    known_sha256: str | None = None
    """Of the content whose results are there already, whole and by the same recipe."""


@dataclass
class Outcome:
    """What became of a job."""

    number: int
    """Of the job."""
    sha256: str = ""
    """Of the content."""
    is_known: bool = False
    """Whether the content is that of :attr:`Job.known_sha256`, so that nothing was done."""
    error: str = ""
    """Why there are no results; empty where there are."""
    artifacts: dict[str, bytes] = field(default_factory=dict)
    """``{file name: content}``, what tells that all are there as the last one."""
    notices: list[tuple[int, str]] = field(default_factory=list)
    """Level and text of what was logged."""


def carry_out(
    job: Job, recipe: Recipe, open_tools: Callable[[], Tools], on_progress: Callable[[float], None] | None = None
) -> Outcome:
    """Do a job; what is wrong with the file is part of the outcome.

    Args:
        job: the file.
        recipe: how it is looked at.
        open_tools: gives network and detector, when they are needed.
        on_progress: takes the share of the file that is done, now and then.

    Returns:
        What became of it.

    Raises:
        FerError: there is no network or no detector.
    """
    from fer_edge.analysis.remote import local_copy

    outcome = Outcome(job.number)
    place = job.location
    with _kept_notices(outcome.notices):
        try:
            with local_copy(job.location) as path:
                place = str(path)
                outcome.sha256 = sha256_of(path)
                if outcome.sha256 == job.known_sha256:
                    outcome.is_known = True
                    return outcome
                tools = _opened(open_tools)
                outcome.artifacts = _artifacts(job, path, outcome.sha256, recipe, tools, on_progress)
        except _NoToolsError as error:
            assert error.__cause__ is not None
            raise error.__cause__ from None
        except FerError as error:
            outcome.error = str(error)
        except OSError as error:
            outcome.error = f"{job.file} cannot be read: {error.strerror or error}"
        except Exception as error:  # one strange file among thousands must not end the run
            outcome.error = f"{job.file}: {type(error).__name__}: {error}"
    # Where the file lies on this machine is nothing to a table that is the same wherever it was made.
    outcome.error = outcome.error.replace(place, job.file).replace(job.location, job.file)
    outcome.notices = [(level, text.replace(place, job.file)) for level, text in outcome.notices]
    return outcome


class _NoToolsError(Exception):
    """No network or no detector: no fault of the file."""


def _opened(open_tools: Callable[[], Tools]) -> Tools:
    try:
        return open_tools()
    except Exception as error:
        raise _NoToolsError from error


def _artifacts(
    job: Job, path: Path, sha256: str, recipe: Recipe, tools: Tools, on_progress: Callable[[float], None] | None
) -> dict[str, bytes]:
    import hashlib

    from fer_edge.analysis.summary import summarize
    from fer_edge.analysis.table import parquet_bytes

    rows, seen = _look_at(job, path, recipe, tools, on_progress)
    faces = rows.arrow()
    artifacts = {FACES_PARQUET: parquet_bytes(faces), FACES_CSV: rows.csv()}
    if recipe.pictures:
        from fer_edge.analysis.timeline import timeline_png

        artifacts[TIMELINE] = timeline_png(faces, seen)
    summary, tracks = summarize(job.file, faces, seen)
    done = {
        "file": job.file,
        "sha256": sha256,
        "recipe": recipe.fingerprint(),
        "artifacts": {name: hashlib.sha256(content).hexdigest() for name, content in artifacts.items()},
        "summary": {**summary, "sha256": sha256, "results": f"files/{job.folder}"},
        "tracks": tracks,
    }
    artifacts[DONE] = (json.dumps(done, indent=1) + "\n").encode()
    return artifacts


def _look_at(job: Job, path: Path, recipe: Recipe, tools: Tools, on_progress: Callable[[float], None] | None) -> Any:
    from fer_edge.analysis.summary import Seen
    from fer_edge.analysis.table import FaceTable
    from fer_edge.capture.frames import CaptureOptions
    from fer_edge.capture.open import open_source
    from fer_edge.faces.tiles import for_photos
    from fer_edge.pipeline import FacePipeline
    from fer_edge.rows import face_rows

    source = open_source(path, CaptureOptions(orientation=recipe.orientation))
    is_video = source.continuous
    detector = tools.detector if is_video or recipe.detect_width is not None else for_photos(tools.detector)
    pipeline = FacePipeline(
        source,
        tools.classifier,
        detector,
        search=recipe.search,
        detect_every=recipe.detect_every,
        margin=recipe.margin,
        smoothing_s=recipe.smoothing_s,
        hysteresis=recipe.hysteresis,
        min_confidence=recipe.min_confidence,
        max_frames=recipe.max_frames,
    )
    total = getattr(source, "n_frames", None)
    rows, times = FaceTable(), array("d")
    width = height = 0
    due = time.monotonic() + _PROGRESS_S
    for result in pipeline:
        rows.add(face_rows(job.file, result))
        times.append(result.time_s)
        height, width = result.image.shape[:2]
        if on_progress is not None and total and (now := time.monotonic()) >= due:
            on_progress(min(1.0, len(times) / total))
            due = now + _PROGRESS_S
    seen = Seen("video" if is_video else "image", width, height, np.array(times), source.fps if is_video else None)
    return rows, seen


class _Kept(logging.Handler):
    def __init__(self, notices: list[tuple[int, str]]) -> None:
        super().__init__()
        self._notices = notices

    def emit(self, record: logging.LogRecord) -> None:
        self._notices.append((record.levelno, record.getMessage()))


@contextmanager
def _kept_notices(notices: list[tuple[int, str]]) -> Iterator[None]:
    """Within it, what the toolkit logs is kept for the process that shows it."""
    handler = _Kept(notices)
    LOG.addHandler(handler)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
