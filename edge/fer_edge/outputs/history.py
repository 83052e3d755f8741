"""What was seen in the last day, by camera and minute, in an SQLite file. Names and numbers only, no picture."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from fer_edge.errors import FerError, UsageError
from fer_edge.outputs.draw import UNCERTAIN
from fer_edge.outputs.jsonl import make_folder
from fer_edge.results import Result

__all__ = ["FLUSH_S", "KEPT_S", "History", "read_history"]

KEPT_S: Final[int] = 86_400
"""Older minutes are deleted, in seconds."""
FLUSH_S: Final[float] = 10.0
"""So much may be lost when power fails; more often would wear out a memory card."""
_LONGEST_S: Final[float] = 1.0
"""A face counts for the time since the last frame, at most this long: a camera may have been away."""
_APPLICATION: Final[int] = 0x46455231
"""``PRAGMA application_id``: "FER1" in ASCII."""
_TABLE: Final[str] = """
CREATE TABLE IF NOT EXISTS seen (
    camera TEXT NOT NULL, minute INTEGER NOT NULL, emotion TEXT NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (camera, minute, emotion)) WITHOUT ROWID
"""


class History:
    """Adds up, for each camera, minute (of Unix time) and emotion, for how many seconds faces showed it.

    Args:
        path: the file; one of an earlier run is continued.
        clock: seconds since 1970.

    Raises:
        UsageError: the file holds something else, or cannot be written.
    """

    name = "history"
    lossless = True
    lets_go = True

    def __init__(self, path: str | os.PathLike[str], clock: Callable[[], float] = time.time) -> None:
        self.path = Path(path)
        self._clock = clock
        self._last: dict[str, float] = {}
        self._waiting: defaultdict[tuple[str, int, str], float] = defaultdict(float)
        self._due = time.monotonic() + FLUSH_S
        make_folder(self.path)
        if not self.path.exists():
            os.close(
                os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600)
            )  # when who showed what is nobody else's matter
        try:
            self._database = sqlite3.connect(self.path, timeout=5.0, check_same_thread=False)
            (application,) = self._database.execute("PRAGMA application_id").fetchone()
            if application != _APPLICATION and self._database.execute("SELECT 1 FROM sqlite_master").fetchone():
                raise UsageError(f"--history {path} is the database of another program; give another name")
            self._database.execute(f"PRAGMA application_id = {_APPLICATION}")
            self._database.execute("PRAGMA journal_mode = WAL")  # the page reads while we write
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(_TABLE)
            self._database.commit()
        except sqlite3.Error as error:
            raise UsageError(f"--history {path} cannot be used: {error}; expected a name for an SQLite file") from error

    def write(self, result: Result) -> None:
        """Count a result.

        Args:
            result: the next one of its camera.

        Raises:
            FerError: the disk is full.
        """
        now = self._clock()
        camera = result.camera or ""
        step_s = min(result.time_s - self._last.get(camera, result.time_s), _LONGEST_S)
        self._last[camera] = result.time_s
        for face in result.faces:
            self._waiting[camera, int(now // 60), face.emotion or UNCERTAIN] += max(step_s, 0.0)
        if time.monotonic() >= self._due:
            self._flush()

    def _flush(self) -> None:
        self._due = time.monotonic() + FLUSH_S
        rows = [(*key, seconds) for key, seconds in self._waiting.items()]
        try:
            with self._database:
                self._database.executemany(
                    "INSERT INTO seen VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (camera, minute, emotion) DO UPDATE SET seconds = seconds + excluded.seconds",
                    rows,
                )
                self._database.execute("DELETE FROM seen WHERE minute < ?", ((self._clock() - KEPT_S) // 60,))
        except sqlite3.Error as error:
            raise FerError(f"{self.path}: {error}") from error
        self._waiting.clear()

    def close(self) -> None:
        """Write what waits."""
        try:
            self._flush()
        finally:
            self._database.close()


def read_history(path: str | os.PathLike[str], camera: str, now_s: float, step_s: int = 600) -> list[dict[str, Any]]:
    """What one camera saw in the last day.

    Args:
        path: the file.
        camera: its name; empty for the only one.
        now_s: the present, in seconds since 1970.
        step_s: length of a step, in seconds, a multiple of 60.

    Returns:
        ``{"ago_s": how long ago the step began, "seconds": {emotion: seconds}}`` of each step with a face, the oldest
        first.

    Raises:
        FerError: the file cannot be read.
    """
    steps: dict[int, dict[str, float]] = {}
    minutes = step_s // 60
    try:
        database = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
        try:
            rows = database.execute(
                "SELECT minute, emotion, seconds FROM seen WHERE camera = ? AND minute >= ? ORDER BY minute",
                (camera, (now_s - KEPT_S) // 60),
            )
            for minute, emotion, seconds in rows:
                step = steps.setdefault(minute - minute % minutes, {})
                step[emotion] = step.get(emotion, 0.0) + seconds
        finally:
            database.close()
    except sqlite3.Error as error:
        raise FerError(f"{path}: {error}") from error
    return [
        {"ago_s": round(now_s - 60 * minute), "seconds": {name: round(s, 1) for name, s in step.items()}}
        for minute, step in steps.items()
    ]
