"""Synthetic faces, drawn by rules, for tests and first steps without a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_train.synthetic.faces import (
        SYNTHETIC_SPLIT,
        draw_face,
        draw_scene,
        judging_split,
        numbered_face,
        synthetic_split,
    )
    from fer_train.synthetic.folder import write_synthetic

__all__ = [
    "SYNTHETIC_SPLIT",
    "draw_face",
    "draw_scene",
    "judging_split",
    "numbered_face",
    "synthetic_split",
    "write_synthetic",
]

_HOMES: Final[dict[str, str]] = {
    "SYNTHETIC_SPLIT": "fer_train.synthetic.faces",
    "draw_face": "fer_train.synthetic.faces",
    "draw_scene": "fer_train.synthetic.faces",
    "judging_split": "fer_train.synthetic.faces",
    "numbered_face": "fer_train.synthetic.faces",
    "synthetic_split": "fer_train.synthetic.faces",
    "write_synthetic": "fer_train.synthetic.folder",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
