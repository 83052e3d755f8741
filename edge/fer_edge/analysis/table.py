"""Rows of faces as columns of Arrow, and as Parquet and CSV files: the same bytes for the same rows."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from fer_edge.errors import MissingDependencyError
from fer_edge.rows import COLUMNS, Row, csv_header, write_csv_rows

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "FILE_TYPES", "FaceTable", "csv_bytes", "parquet_bytes", "parquet_writer", "require_pyarrow", "schema_of",
]  # fmt: skip

_KEPT_ROWS: Final[int] = 4096
"""Rows that wait as Python objects, which take ten times the memory of columns."""
_INTEGERS: Final = frozenset({"frame", "track_id", "x", "y", "w", "h"})
_TEXTS: Final = frozenset({"file", "emotion"})
FILE_TYPES: Final[dict[str, str]] = {
    name: "string" if name in _TEXTS else "int64" if name in _INTEGERS else "float64" for name in COLUMNS
}
"""``{column of the table of faces: type}``, by the names that Arrow and pandas share."""


def require_pyarrow() -> None:
    """Fail before the work, not after it.

    Raises:
        MissingDependencyError: pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError.for_extra("pyarrow", "table") from error


def schema_of(types: Mapping[str, str]) -> pa.Schema:
    """The Arrow schema of a table.

    Args:
        types: ``{column: "string", "int64" or "float64"}``.

    Returns:
        The schema; every column may be null.
    """
    import pyarrow as pa

    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in types.items()])


class FaceTable:
    """Collects the rows of one file: as columns, and as CSV text."""

    def __init__(self) -> None:
        self._schema = schema_of(FILE_TYPES)
        self._rows: list[Row] = []
        self._batches: list[pa.RecordBatch] = []
        self._csv = io.BytesIO()
        self._text = io.TextIOWrapper(self._csv, encoding="utf-8", newline="")  # a StringIO takes four bytes a letter
        self._text.write(csv_header())

    def add(self, rows: Sequence[Row]) -> None:
        """Take the rows of the next frame.

        Args:
            rows: in the order of :data:`fer_edge.rows.COLUMNS`.
        """
        self._rows.extend(rows)
        if len(self._rows) >= _KEPT_ROWS:
            self._settle()

    def _settle(self) -> None:
        import pyarrow as pa

        if not self._rows:
            return
        columns = zip(*self._rows, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        write_csv_rows(self._text, self._rows)
        self._rows = []

    def arrow(self) -> pa.Table:
        """All rows so far.

        Returns:
            The table, in the order in which rows were added.
        """
        import pyarrow as pa

        self._settle()
        return pa.Table.from_batches(self._batches, schema=self._schema)

    def csv(self) -> bytes:
        """All rows so far, with the header.

        Returns:
            UTF-8.
        """
        self._settle()
        self._text.flush()
        return self._csv.getvalue()


def parquet_writer(destination: Any, schema: pa.Schema) -> Any:
    """A writer of which the bytes depend on the rows and pyarrow's version alone.

    Args:
        destination: a path or an open binary file.
        schema: of the table.

    Returns:
        A :class:`pyarrow.parquet.ParquetWriter`.
    """
    from pyarrow import parquet

    return parquet.ParquetWriter(destination, schema, compression="zstd", store_schema=False)


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a Parquet file.

    Args:
        table: of any schema.

    Returns:
        The content of the file.
    """
    file = io.BytesIO()
    with parquet_writer(file, table.schema) as writer:
        writer.write_table(table, row_group_size=1 << 16)
    return file.getvalue()


def csv_bytes(records: Sequence[Mapping[str, Any]], types: Mapping[str, str], *, header: bool) -> bytes:
    """Records as comma-separated values.

    Args:
        records: ``{column: value}`` each; what a record lacks is empty.
        types: the columns, in their order.
        header: whether their names come first.

    Returns:
        UTF-8.
    """
    text = io.StringIO(newline="")
    if header:
        write_csv_rows(text, [tuple(types)])
    write_csv_rows(text, [tuple(map(record.get, types)) for record in records])
    return text.getvalue().encode("utf-8")
