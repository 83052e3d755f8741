"""The tables of a whole run, made of those of its files: a pass over the disk, with few rows in memory at a time."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fer_edge.analysis.one_file import DONE, FACES_CSV, FACES_PARQUET, TIMELINE, Job
from fer_edge.analysis.store import TABLES, Store
from fer_edge.analysis.summary import FILE_COLUMNS, TRACK_COLUMNS
from fer_edge.analysis.table import FILE_TYPES, csv_bytes, parquet_writer, schema_of
from fer_edge.files import atomic_path, sha256_of

__all__ = ["Part", "combine"]

_GROUP_ROWS: Final[int] = 1 << 16
"""Rows of a group in a Parquet file: one per file would make thousands of small ones."""


@dataclass(frozen=True)
class Part:
    """One file of a run that has ended."""

    job: Job
    """The file."""
    error: str = ""
    """Why it has no results; empty where it has."""


def combine(store: Store, parts: Sequence[Part]) -> bool:
    """Write the tables of the whole run and the overview, unless they are those of the same files already.

    Args:
        store: the folder of results.
        parts: the files in the order of the inputs.

    Returns:
        Whether anything was written.
    """
    made_of = _made_of(store, parts)
    state = store.state()
    if state.get("made_of") == made_of and _are_whole(store.folder, state.get("artifacts")):
        return False
    with ExitStack() as stack:
        open_files = {}
        for name in (f"{table}.{kind}" for table in TABLES for kind in ("parquet", "csv")):
            open_files[name] = stack.enter_context(atomic_path(store.folder / name))
        page = stack.enter_context(atomic_path(store.folder / "index.html"))
        _faces(store, parts, open_files["faces.parquet"], open_files["faces.csv"])
        files = _records(store, parts, open_files)
        from fer_edge.analysis.overview import overview_page

        page.write_text(overview_page(files), encoding="utf-8")
    names = [*open_files, "index.html"]
    store.set_state({"made_of": made_of, "artifacts": {name: sha256_of(store.folder / name) for name in names}})
    return True


def _made_of(store: Store, parts: Sequence[Part]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        done = "" if part.error else sha256_of(store.folder / "files" / part.job.folder / DONE)
        digest.update(json.dumps([part.job.file, part.error, done]).encode())
    return digest.hexdigest()


def _are_whole(folder: Path, artifacts: Any) -> bool:
    if not isinstance(artifacts, dict) or not artifacts:
        return False
    return all((folder / name).is_file() and sha256_of(folder / name) == value for name, value in artifacts.items())


def _faces(store: Store, parts: Sequence[Part], parquet: Path, csv: Path) -> None:
    import pyarrow as pa
    from pyarrow.parquet import read_table

    schema = schema_of(FILE_TYPES)
    header = ""
    with parquet_writer(parquet, schema) as writer, csv.open("wb") as text:
        waiting, n_rows = [schema.empty_table()], 0
        for part in parts:
            if part.error:
                continue
            folder = store.folder / "files" / part.job.folder
            # A folder's name such as a=b would be taken for a column.
            table = read_table(folder / FACES_PARQUET, partitioning=None)
            waiting.append(table)
            n_rows += len(table)
            if n_rows >= _GROUP_ROWS:
                writer.write_table(pa.concat_tables(waiting), row_group_size=_GROUP_ROWS)
                waiting, n_rows = [], 0
            with (folder / FACES_CSV).open("rb") as own:
                first = own.readline()
                text.write(b"" if header else first)
                header = header or first.decode()
                shutil.copyfileobj(own, text)
        if waiting:
            writer.write_table(pa.concat_tables(waiting))
        if not header:
            from fer_edge.rows import csv_header

            text.write(csv_header().encode())


def _records(store: Store, parts: Sequence[Part], open_files: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Write the tables of tracks and files; returns the records of the latter."""
    import pyarrow as pa

    files: list[dict[str, Any]] = []

    def tracks() -> Iterator[dict[str, Any]]:
        for part in parts:
            if part.error:
                files.append({"file": part.job.file, "error": part.error})
                continue
            done = json.loads((store.folder / "files" / part.job.folder / DONE).read_bytes())
            files.append({**done["summary"], "has_picture": TIMELINE in done["artifacts"]})
            yield from done["tracks"]

    def write(name: str, columns: Mapping[str, str], records: Iterator[dict[str, Any]]) -> None:
        schema = schema_of(columns)
        with (
            parquet_writer(open_files[f"{name}.parquet"], schema) as writer,
            open_files[f"{name}.csv"].open("wb") as csv,
        ):
            is_first = True
            for group in _groups(records):
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
                csv.write(csv_bytes(group, columns, header=is_first))
                is_first = False

    write("tracks", TRACK_COLUMNS, tracks())
    write("files", FILE_COLUMNS, iter(files))
    return files


def _groups(records: Iterator[dict[str, Any]], size: int = 8192) -> Iterator[list[dict[str, Any]]]:
    """Lists of ``size`` records; a single empty one where there are none."""
    group: list[dict[str, Any]] = []
    n_given = 0
    for record in records:
        group.append(record)
        if len(group) == size:
            yield group
            n_given, group = n_given + 1, []
    if group or not n_given:
        yield group
