"""Records found in a package, one module each (or one module for a family): a new backend, output, detector or export
target is one new file.

The modules that hold them are imported for ``--help`` already, so they import neither numpy nor OpenCV nor what they
are for; all that comes late, inside the function that opens the thing.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Protocol, TypeVar

from fer_edge.errors import FerError

__all__ = ["Record", "find_records"]


class Record(Protocol):
    """What every record has."""

    @property
    def name(self) -> str:
        """The name that users write."""
        ...

    @property
    def rank(self) -> int:
        """Place among the others; lower comes first."""
        ...


R = TypeVar("R", bound=Record)


def find_records(package: str, attribute: str, kind: type[R]) -> dict[str, R]:
    """The records of all modules in a package; modules whose names begin with ``_`` are skipped.

    Args:
        package: full name of the package, for example ``fer_edge.inference.backends``.
        attribute: name of the record in each module, for example ``BACKEND``; a module for a family of things holds a
            tuple of records.
        kind: class of the records.

    Returns:
        ``{record.name: record}``, by rank, then by name.

    Raises:
        FerError: a module cannot be imported or holds no record, or two have one name.
    """
    records: dict[str, R] = {}
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        if module.name.rpartition(".")[2].startswith("_"):
            continue
        try:
            record = getattr(importlib.import_module(module.name), attribute, None)
        except Exception as error:  # whatever a file that somebody else wrote may raise
            raise FerError(f"{module.name} cannot be imported: {type(error).__name__}: {error}") from error
        family = record if isinstance(record, tuple) and record else (record,)
        for member in family:
            if not isinstance(member, kind):
                raise FerError(f"{module.name}: expected {attribute} = {kind.__name__}(...), got {member!r}")
            if member.name in records:
                raise FerError(f"{module.name}: the name {member.name!r} is taken already; choose another")
            records[member.name] = member
    return dict(sorted(records.items(), key=lambda item: (item[1].rank, item[0])))
