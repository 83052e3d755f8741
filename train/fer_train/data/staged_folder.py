"""A folder that appears whole or not at all, and whose making can be taken up again after a kill."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from fer_edge.errors import DataError
from fer_edge.files import write_text

__all__ = ["MANIFEST", "check_destination", "staged_folder", "write_new"]

MANIFEST: Final[str] = "manifest.json"
_JOURNAL: Final[str] = ".journal.json"


def check_destination(destination: Path, force: bool) -> None:
    """Make sure that ``destination`` may be made.

    Even with ``force`` only a folder that one of our commands made (it holds our manifest) is replaced.

    Args:
        destination: the folder that is to be made.
        force: replace a folder that one of our commands made.

    Raises:
        DataError: it holds something that must not be replaced.
    """
    if not destination.exists():
        return
    if not destination.is_dir():
        raise DataError(f"{destination} is a file; give a folder with --to")
    if not any(destination.iterdir()) or (force and (destination / MANIFEST).is_file()):
        return
    hint = f"--force replaces only folders with a {MANIFEST} of ours" if force else "or --force to replace it"
    raise DataError(f"{destination} is not empty; give another folder with --to ({hint})")


@contextlib.contextmanager
def staged_folder(destination: Path, job: dict[str, Any], *, force: bool = False) -> Iterator[Path]:
    """Yield a hidden folder beside ``destination``; on success it is renamed to ``destination``.

    After an expected error it is removed. After a kill it stays, and the next call with an equal ``job`` is given the
    same folder with what is already in it; another ``job`` starts with an empty one.

    Args:
        destination: the folder that is to appear.
        job: what is done, as JSON values.
        force: replace a folder that one of our commands made.

    Yields:
        The hidden folder.

    Raises:
        DataError: ``destination`` holds something that must not be replaced.
    """
    check_destination(destination, force)
    destination = destination.resolve()
    destination.parent.mkdir(parents=True, exist_ok=True)
    staging = destination.with_name(f".{destination.name}.partial")
    journal = staging / _JOURNAL
    if staging.exists() and _read_job(journal) != job:
        shutil.rmtree(staging)
    staging.mkdir(exist_ok=True)
    for half_written in staging.glob(".*.tmp*"):  # by the call that was killed
        half_written.unlink()
    write_text(journal, json.dumps(job))
    try:
        yield staging
    except KeyboardInterrupt:
        raise  # what was done so far is kept for the next call
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    journal.unlink()
    replaced = None
    if destination.exists():
        replaced = destination.with_name(f".{destination.name}.replaced.{os.getpid()}")
        destination.rename(replaced)
    staging.rename(destination)
    if replaced is not None:
        shutil.rmtree(replaced, ignore_errors=True)


def _read_job(journal: Path) -> Any:
    try:
        return json.loads(journal.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def write_new(path: Path, content: bytes) -> None:
    """Write a file so that a kill never leaves half of it under its name; what is already there and equal stays.

    Unlike :func:`fer_edge.files.write_bytes` it does not wait for the disk, which for 30,000 files would take minutes;
    after a power cut the comparison with the source finds and replaces what was lost.

    Args:
        path: the file.
        content: all bytes of the file.
    """
    try:
        if path.stat().st_size == len(content) and path.read_bytes() == content:
            return
    except OSError:
        pass
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
