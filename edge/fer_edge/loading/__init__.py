"""Find a model file, check it and open it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fer_edge.lazy import lazy_names

if TYPE_CHECKING:
    from fer_edge.loading.check import check_file
    from fer_edge.loading.model_files import DEFAULT_MODEL, PACKAGED_MODELS, RELEASED_MODELS, find_model, read_manifest
    from fer_edge.loading.open import open_classifier

__all__ = [
    "DEFAULT_MODEL",
    "PACKAGED_MODELS",
    "RELEASED_MODELS",
    "check_file",
    "find_model",
    "open_classifier",
    "read_manifest",
]

_HOMES: Final[dict[str, str]] = {
    "check_file": "fer_edge.loading.check",
    "DEFAULT_MODEL": "fer_edge.loading.model_files",
    "PACKAGED_MODELS": "fer_edge.loading.model_files",
    "RELEASED_MODELS": "fer_edge.loading.model_files",
    "find_model": "fer_edge.loading.model_files",
    "read_manifest": "fer_edge.loading.model_files",
    "open_classifier": "fer_edge.loading.open",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
