"""Which runtime opens which file? ``python export/which_runtime.py OUT`` prints the table of export/README.md.

Runs the four files that fer-export writes into OUT on the runtimes that are installed, feeds the golden vectors, and
compares with what was recorded. OpenCV's network module is no backend of the toolkit; it is here because people try it.
It runs in a process of its own, since some of its versions end the process at a file that they do not understand.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.command import CommandParser, run_command
from fer_edge.errors import FerError
from fer_edge.verification.golden import GOLDEN_NAME, Golden, read_golden
from fer_edge.verification.replay import verify
from fer_edge.versions import package_versions

PROG: Final[str] = "which_runtime.py"
FILES: Final[tuple[str, ...]] = ("fer_int8.tflite", "fer_float.tflite", "fer_int8.onnx", "fer_float.onnx")
RIGHT, CLOSE, WRONG = "right", "close", "**wrong**"
REFUSED, DIED, OTHER = "no", "**ends the process**", "-"
RIGHT_WITHIN: Final[float] = 1e-4
"""Of probabilities, for a float file; an INT8 file must give the recorded values."""
CLOSE_WITHIN: Final[float] = 0.005
"""Of the probabilities of an INT8 file on average: what the toolkit allows ONNX Runtime, too."""


def main() -> int:
    """Run, compare, print."""
    return run_command(PROG, lambda: body(sys.argv[1:]))


def body(arguments: Sequence[str]) -> int:
    """What ``main`` does, errors not yet caught."""
    parser = CommandParser(prog=PROG, description="Run the exported files on every runtime that is installed.")
    parser.add_argument("folder", type=Path, help="where fer-export put them")
    sys.stdout.write("\n".join(table(parser.parse_args(arguments).folder)) + "\n")
    return 0


def table(folder: Path) -> list[str]:
    """The lines of a table in Markdown, one for each runtime."""
    versions = package_versions(("ai-edge-litert", "onnxruntime"))
    rows = {
        f"ai-edge-litert {versions.get('ai-edge-litert')}": by_backend(folder, "litert", ".tflite"),
        f"onnxruntime {versions.get('onnxruntime')}": by_backend(folder, "onnx", ".onnx"),
        f"OpenCV {opencv_version()}": by_opencv(folder),
    }
    lines = [["runtime", *(f"`{name}`" for name in FILES)], ["---"] * (len(FILES) + 1)]
    lines += [[runtime, *verdicts.values()] for runtime, verdicts in rows.items()]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def opencv_version() -> str:
    """Of the installed OpenCV, two numbers."""
    import cv2

    return ".".join(str(cv2.__version__).split(".")[:2])


def by_backend(folder: Path, backend: str, suffix: str) -> dict[str, str]:
    """Verdicts of a backend of the toolkit, by golden vectors."""
    verdicts = {}
    for name in FILES:
        if not name.endswith(suffix):
            verdicts[name] = OTHER
            continue
        try:
            verdicts[name] = RIGHT if verify(folder / name, backend=backend).passed else WRONG
        except FerError:
            verdicts[name] = REFUSED
    return verdicts


def by_opencv(folder: Path) -> dict[str, str]:
    """Verdicts of OpenCV's network module."""
    command = [sys.executable, __file__, "--opencv", str(folder)]
    environment = os.environ | {"OPENCV_LOG_LEVEL": "SILENT", "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    verdicts = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    return {name: verdicts.get(name, DIED) for name in FILES}


def run_opencv(folder: Path) -> None:
    """Print a line of JSON for each file; runs in a process of its own."""
    golden = read_golden(folder / GOLDEN_NAME)
    for name in FILES:
        sys.stdout.write(json.dumps([name, opencv_verdict(folder / name, golden)]) + "\n")
        sys.stdout.flush()


def opencv_verdict(path: Path, golden: Golden) -> str:
    """What OpenCV makes of one file."""
    import cv2

    is_int8, is_onnx = "int8" in path.name, path.suffix == ".onnx"
    tensors: npt.NDArray[Any] = golden.tensors
    if not is_int8:
        tensors = golden.tensors.astype(np.float32) * np.float32(golden.info["input_scale"])
    if not is_onnx:  # OpenCV turns a TFLite network to channels first
        tensors = np.ascontiguousarray(tensors.transpose(0, 3, 1, 2))
    try:
        net = (cv2.dnn.readNetFromONNX if is_onnx else cv2.dnn.readNetFromTFLite)(str(path))
        outputs = []
        for tensor in tensors:
            net.setInput(tensor[None])
            outputs.append(np.asarray(net.forward()).reshape(-1))
    except cv2.error:
        return REFUSED
    return verdict(np.stack(outputs), golden, is_int8=is_int8)


def verdict(outputs: npt.NDArray[Any], golden: Golden, *, is_int8: bool) -> str:
    """Whether ``(n, 7)`` outputs are the recorded ones."""
    if not is_int8:
        return RIGHT if np.abs(outputs - golden.float_outputs).max() <= RIGHT_WITHIN else WRONG
    difference = np.abs(outputs.astype(np.float64) - golden.outputs) * float(golden.info["output_scale"])
    if not difference.any():
        return RIGHT
    return CLOSE if difference.mean() <= CLOSE_WITHIN else WRONG


if __name__ == "__main__":
    if sys.argv[1:2] == ["--opencv"]:
        run_opencv(Path(sys.argv[2]))
    else:
        sys.exit(main())
