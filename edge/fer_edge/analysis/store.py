"""The folder of results: what is in it already, and what is put into it, a file's results all together or not at all.

::

    results/
        fer-analyze.json     what the tables below were made of
        faces.parquet .csv   every row of every file
        tracks.parquet .csv  one row per face that was followed
        files.parquet .csv   one row per file, broken ones with the reason
        index.html           overview
        files/NAME-NUMBER/   of one file: faces.parquet, faces.csv, timeline.png, done.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from fer_edge.analysis.inputs import MARK
from fer_edge.analysis.one_file import DONE
from fer_edge.errors import UsageError
from fer_edge.files import sha256_of, why_read_only, write_together

__all__ = ["TABLES", "Store"]

TABLES: Final[tuple[str, ...]] = ("faces", "tracks", "files")
_TOP_NAMES: Final = (*(f"{name}.{kind}" for name in TABLES for kind in ("parquet", "csv")), "index.html", "files")


class Store:
    """A folder of results; made where it does not exist.

    Args:
        folder: the folder.

    Raises:
        UsageError: it cannot be written, or holds something else under the names that are written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            (folder / "files").mkdir(parents=True, exist_ok=True) if not folder.exists() else None
        except OSError as error:
            raise UsageError(f"--out {folder} cannot be made: {error.filename}: {error.strerror}") from error
        if not folder.is_dir():
            raise UsageError(f"--out {folder} is a file; expected a folder for the results")
        if (reason := why_read_only(folder)) is not None:
            raise UsageError(f"--out {folder} cannot be written: {reason}")
        if not (folder / MARK).exists():
            taken = [name for name in _TOP_NAMES if (folder / name).exists() and not _is_empty(folder / name)]
            if taken:
                raise UsageError(
                    f"--out {folder} holds {taken[0]}, which is not of an earlier run; give the results another folder"
                )
        (folder / "files").mkdir(exist_ok=True)
        if not (folder / MARK).exists():
            write_together(folder, [(MARK, b"{}\n")])

    def done(self, name: str, recipe: str) -> dict[str, Any] | None:
        """What was written last for a file, if all of it is there, unchanged.

        Args:
            name: of the file's folder of results.
            recipe: fingerprint of the recipe that it must have been made by.

        Returns:
            The content of its ``done.json``; None where the file is due.
        """
        folder = self.folder / "files" / name
        try:
            done = json.loads((folder / DONE).read_bytes())
            if done["recipe"] != recipe:
                return None
            is_whole = all(sha256_of(folder / file) == sha256 for file, sha256 in done["artifacts"].items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return done if is_whole and isinstance(done, dict) else None

    def put(self, name: str, artifacts: dict[str, bytes]) -> None:
        """Write the results of one file; they count once all are there.

        Args:
            name: of the file's folder of results.
            artifacts: ``{file name: content}``, ``done.json`` as the last one.
        """
        folder = self.folder / "files" / name
        self.forget(name)
        write_together(folder, list(artifacts.items()))
        for other in folder.iterdir():  # a picture that is not asked for any more
            if other.name not in artifacts and other.is_file():
                other.unlink()

    def forget(self, name: str) -> None:
        """From now on the file counts as due.

        Args:
            name: of its folder of results.
        """
        (self.folder / "files" / name / DONE).unlink(missing_ok=True)

    def state(self) -> dict[str, Any]:
        """What the tables of the whole run were made of.

        Returns:
            The content of the mark; empty before the first run has ended.
        """
        try:
            state = json.loads((self.folder / MARK).read_bytes())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Write down what the tables of the whole run were made of, after them.

        Args:
            state: for :meth:`state`.
        """
        write_together(self.folder, [(MARK, (json.dumps(state, indent=1) + "\n").encode())])


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
