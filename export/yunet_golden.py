"""Writes the face detector's golden vectors: ``python export/yunet_golden.py YUNET.onnx [--out FILE]``.

Draws scenes (no photograph may be needed on a device), runs YuNet's three engines on them, and stores the int8 maps and
all faces. To be run again when ``fer_edge/faces/yunet_int8.py`` or its ranges change.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fer_edge.command import CommandParser, run_command
from fer_edge.faces.yunet_engines import ENGINES, Int8Engine
from fer_edge.files import atomic_path
from fer_edge.labels import EMOTIONS
from fer_edge.verification.detector import DETECTOR_GOLDEN, DETECTOR_GOLDEN_FORMAT
from fer_edge.versions import package_versions
from fer_train.synthetic.faces import draw_scene

PROG: Final[str] = "yunet_golden.py"
SEED: Final[int] = 2023
SCORE: Final[float] = 0.5
SIZES: Final[tuple[tuple[int, int], ...]] = ((128, 96), (90, 110), (64, 64), (180, 70))
"""Width and height; multiples of 32 and others, which are padded."""
_KEPT_BITS: Final[int] = 0xF8
"""Drawn noise does not compress; the five upper bits of each colour show every fault just as well."""


def main() -> int:
    """Draw, run, write."""
    return run_command(PROG, lambda: body(sys.argv[1:]))


def body(arguments: Sequence[str]) -> int:
    """What ``main`` does, errors not yet caught."""
    parser = CommandParser(prog=PROG, description="Write the golden vectors of the face detector.")
    parser.add_argument("model", type=Path, help="face_detection_yunet_*.onnx of opencv_zoo")
    parser.add_argument("--out", type=Path, default=DETECTOR_GOLDEN, metavar="FILE", help="default: the toolkit's own")
    options = parser.parse_args(arguments)
    engines = {name: make(options.model, SCORE) for name, make in ENGINES.items()}
    arrays: dict[str, npt.NDArray[Any]] = {}
    views = draw_views()
    for number, view in enumerate(views):
        arrays[f"view_{number}"] = view
        for name, engine in engines.items():
            arrays[f"{name}_{number}"] = engine.find(view)
        int8 = engines[Int8Engine.name]
        assert isinstance(int8, Int8Engine)
        for stride, values in zip((8, 16, 32), int8.maps(view), strict=True):
            arrays[f"map{stride}_{number}"] = values
    info = {
        "format": DETECTOR_GOLDEN_FORMAT,
        "n_scenes": len(views),
        "score": SCORE,
        "engines": list(engines),
        "made_by": f"export/{PROG}, seed {SEED}",
        "versions": package_versions(("numpy", "opencv-python", "ai-edge-litert")),
    }
    with atomic_path(options.out) as path:
        np.savez_compressed(path, allow_pickle=False, info=np.array(json.dumps(info)), **arrays)
    sys.stdout.write(f"{options.out}: {len(views)} scenes, {options.out.stat().st_size} bytes\n")
    return 0


def draw_views() -> list[npt.NDArray[np.uint8]]:
    """The scenes; in the last one two faces."""
    views = []
    for number, (width, height) in enumerate(SIZES):
        parts = 2 if number == len(SIZES) - 1 else 1
        scenes = []
        for part in range(parts):
            rng = np.random.default_rng((SEED, number, part))
            scenes.append(draw_scene(EMOTIONS[number + part], rng, width // parts, height)[0])
        views.append(np.asarray(np.concatenate(scenes, axis=1), np.uint8) & np.uint8(_KEPT_BITS))
    return views


if __name__ == "__main__":
    sys.exit(main())
