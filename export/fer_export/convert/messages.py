"""What converters of other people say, in one line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fer_edge.errors import FerError, ModelError

__all__ = ["conversion_of", "one_line"]

_WITHOUT_COUNTERPART: Final[re.Pattern[str]] = re.compile(r"^\s*(?:Flex|Custom|TF Select) ops: *(.+)$", re.MULTILINE)
"""Where TensorFlow's converter names the operations that TFLite lacks, among pages of MLIR."""


def one_line(error: Exception) -> str:
    """The text of another library's exception, in one line.

    Args:
        error: the exception.

    Returns:
        The operations that TFLite lacks, where it is about these; else the first line of its text, or its name; at most
        200 characters.
    """
    text = str(error).strip()
    if (lacking := _WITHOUT_COUNTERPART.search(text)) is not None:
        return f"TFLite has no operator for {lacking[1].strip()[:180]}"
    return (text.splitlines() or [type(error).__name__])[0][:200]


@contextlib.contextmanager
def conversion_of(path: Path | None, what: str) -> Iterator[None]:
    """Within it, whatever a converter raises over a model from elsewhere becomes one line.

    Args:
        path: the model; None for one of ours, where any exception is a bug and stays what it is.
        what: what is made, such as ``TFLite``.

    Yields:
        Nothing.

    Raises:
        ModelError: the conversion failed.
    """
    try:
        yield
    except FerError:
        raise
    except Exception as error:  # ConverterError, ValueError, RuntimeError, KeyError ...
        if path is None:
            raise
        raise ModelError(
            f"{path} cannot be converted to {what}: {one_line(error)}; replace that layer by one that "
            "docs/what-it-reads.md lists, and save the model again"
        ) from error
