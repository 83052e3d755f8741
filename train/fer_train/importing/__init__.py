"""`fer-data import`: unpack what was downloaded into a folder that every tool reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_train.importing.class_names import NUMBERINGS
    from fer_train.importing.importer import ImportReport, import_dataset

__all__ = [
    "NUMBERINGS",
    "ImportReport",
    "import_dataset",
]

_HOMES: Final[dict[str, str]] = {
    "NUMBERINGS": "fer_train.importing.class_names",
    "ImportReport": "fer_train.importing.importer",
    "import_dataset": "fer_train.importing.importer",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
