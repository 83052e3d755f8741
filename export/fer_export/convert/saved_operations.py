"""A SavedModel is a program: which of its operations are refused before TensorFlow loads it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from fer_edge.errors import MissingDependencyError, ModelError

__all__ = ["refuse_answering_operations", "refuse_saved_operations"]

_REFUSED: Final[re.Pattern[str]] = re.compile(
    r"PyFunc|^(Read|Write|Matching|Delete)Files?$|^ImmutableConst$|Reader(V2)?$|Summary|Dataset|^Rpc|Remote|Send$|Recv$"
    r"|^Print(V2)?$|^Debug|TableFromTextFile|^Save(Slices)?$"
)
"""Operations that run Python, or touch files or the network. ``Print`` writes to any file, too."""
_IN_A_NETWORK: Final[re.Pattern[str]] = re.compile(r"^SaveV2$|^RestoreV2$|^MergeV2Checkpoints$")
"""Saving and restoring variables is how loading works, but no network does it while it answers."""


def refuse_saved_operations(folder: Path) -> None:
    """Look for operations in ``saved_model.pb`` that reach out of the graph.

    Args:
        folder: the SavedModel.

    Raises:
        ModelError: there is one, or the file cannot be read.
        MissingDependencyError: tensorflow is not installed.
    """
    try:
        from google.protobuf.message import DecodeError
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
    except ImportError as error:
        raise MissingDependencyError.for_extra("tensorflow", "export") from error
    saved: Any = SavedModel()
    try:
        saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    except (OSError, DecodeError) as error:
        raise ModelError(f"{folder} is not a SavedModel that can be read: {error}") from error
    for part in saved.meta_graphs:
        _refuse(folder, part.graph_def, _REFUSED)


def refuse_answering_operations(folder: Path, graph: Any) -> None:
    """Refuse an operation that saves or restores in the graph that answers, and in all functions that it may call.

    Args:
        folder: the SavedModel, for the message.
        graph: a ``GraphDef``.

    Raises:
        ModelError: there is one.
    """
    _refuse(folder, graph, _IN_A_NETWORK)


def _refuse(folder: Path, graph: Any, refused: re.Pattern[str]) -> None:
    for node in (*graph.node, *(node for function in graph.library.function for node in function.node_def)):
        if refused.search(node.op):
            raise ModelError(
                f"{folder} holds the operation {node.op} ({node.name}), which is not arithmetic on tensors, and is "
                "not loaded"
            )
