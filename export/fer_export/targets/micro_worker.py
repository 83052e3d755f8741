"""TensorFlow Lite Micro in a process of its own: ``python -m fer_export.targets.micro_worker MODEL INPUTS OUTPUTS``.

It reports why it cannot run a network only on standard error, and the process that asks reads it there; a network that
brings it down takes nothing else with it. Writes the outputs, and prints the arena's size.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

__all__ = ["GRANULARITY", "main", "smallest_arena"]

GRANULARITY: Final[int] = 16
"""Bytes: the arena's alignment, and the step in which its size is searched."""
_TIMES_FILE: Final[int] = 10
"""The package's own default is an arena of ten times the file."""


def smallest_arena(path: Path) -> int:
    """The smallest arena with which TFLM takes a network, by bisection.

    Args:
        path: the TFLite file.

    Returns:
        Bytes, a multiple of :data:`GRANULARITY`.

    Raises:
        RuntimeError: TFLM does not take it with ten times the file's size.
    """
    low, high = 0, _TIMES_FILE * path.stat().st_size // GRANULARITY + 1
    _open(path, high * GRANULARITY)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            _open(path, middle * GRANULARITY)
        except RuntimeError:
            low = middle
        else:
            high = middle
    return high * GRANULARITY


def _open(path: Path, arena: int) -> Any:
    from tflite_micro import runtime

    return runtime.Interpreter.from_file(str(path), arena_size=arena)


def main(arguments: list[str]) -> int:
    """Run a network on the tensors of a file.

    Args:
        arguments: paths of the TFLite file, of the ``.npy`` with inputs ``(n, S, S, 3)``, of that for the outputs.

    Returns:
        The exit code.
    """
    model, inputs, outputs = map(Path, arguments)
    arena = smallest_arena(model)
    interpreter = _open(model, arena)
    answers = []
    for tensor in np.load(inputs, allow_pickle=False):
        interpreter.set_input(tensor[None], 0)  # before each invoke, which overwrites it
        interpreter.invoke()
        answers.append(interpreter.get_output(0).copy())
    np.save(outputs, np.concatenate(answers))
    print(json.dumps({"arena_bytes": arena}))  # noqa: T201 - the answer to the process that asks
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
