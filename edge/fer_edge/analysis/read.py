"""The tables of ``fer-analyze`` and ``fer-camera --csv`` as pandas frames."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge.analysis.inputs import MARK
from fer_edge.analysis.one_file import FACES_PARQUET
from fer_edge.analysis.store import TABLES
from fer_edge.analysis.summary import FILE_COLUMNS, TRACK_COLUMNS
from fer_edge.analysis.table import FILE_TYPES
from fer_edge.errors import DataError, MissingDependencyError, UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_table"]

_COLUMNS = {"faces": FILE_TYPES, "tracks": TRACK_COLUMNS, "files": FILE_COLUMNS}
_PANDAS = {"string": "str", "int64": "Int64", "float64": "float64"}


def read_table(path: str | os.PathLike[str], table: str = "faces") -> pd.DataFrame:
    """A table as a pandas frame, with the same columns and types from Parquet and CSV.

    ``faces`` has one row per face and frame (:data:`fer_edge.rows.COLUMNS`), ``tracks`` one per face that was followed,
    ``files`` one per file, broken ones included.

    Args:
        path: the folder that ``fer-analyze --out`` names, the folder of one file in it, or a ``.parquet`` or ``.csv``
            file, also one of ``fer-camera --csv``.
        table: ``faces``, ``tracks`` or ``files``.

    Returns:
        A frame; times are in seconds, boxes in pixels. Uncertain emotions are missing values.

    Raises:
        UsageError: an unknown table, or a path that is not there.
        DataError: the file does not hold that table.
        MissingDependencyError: pandas or pyarrow is not installed.
    """
    if table not in TABLES:
        raise UsageError(f"no table {table!r}; there are {', '.join(TABLES)}")
    try:
        import pandas as pd
        import pyarrow  # noqa: F401 - what pandas reads Parquet with
    except ImportError as error:
        raise MissingDependencyError.for_extra("pandas", "table") from error

    file = _file(Path(path), table)
    types = _COLUMNS[table]
    try:
        if file.suffix.lower() == ".csv":
            frame = pd.read_csv(file, dtype={name: _PANDAS[kind] for name, kind in types.items()}, na_values=[""],
                                keep_default_na=False)  # fmt: skip
        else:
            frame = pd.read_parquet(file)
    except (OSError, ValueError, KeyError) as error:  # of pyarrow and pandas, too
        raise DataError(f"{file} cannot be read as a table: {error}") from error
    if list(frame.columns) != list(types):
        raise DataError(
            f"{file} does not hold the table {table}: expected the columns {', '.join(list(types)[:4])} ..."
        )
    return frame.astype({name: _kind(frame[name], kind) for name, kind in types.items()})


def _kind(column: pd.Series, kind: str) -> str:
    """Integers that are all there as numpy has them; with gaps (of broken files) as pandas' own."""
    if kind == "int64":
        return "Int64" if column.isna().any() else "int64"
    return _PANDAS[kind]


def _file(path: Path, table: str) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise UsageError(f"there is no {path}; expected a folder of fer-analyze, or a .parquet or .csv file")
    file = path / f"{table}.parquet"
    if file.is_file():
        return file
    if (path / MARK).is_file():
        raise UsageError(f"{path} holds no {file.name} yet: the run has not ended; start it again")
    raise UsageError(f"{path} holds no {file.name}; expected a folder of fer-analyze, with {FACES_PARQUET}")
