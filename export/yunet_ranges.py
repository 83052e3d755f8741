"""Measures what YuNet's activations reach: ``python export/yunet_ranges.py YUNET.onnx PICTURES... --out FILE``.

Writes ``edge/fer_edge/faces/yunet_int8_ranges.json``, from which a device writes the detector's INT8 form. The
pictures (images and videos) are seen at many sizes, brighter and darker, on a canvas of 320x192, with synthetic scenes.
Faces of all sizes must be among them: ranges from large faces alone cut off the small ones of a classroom.

Of each view the greatest values count, and of these the quantile: a single odd view would cost all others resolution.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.arrays import Image
from fer_edge.command import CommandParser, run_command
from fer_edge.errors import InputError
from fer_edge.faces.detection import shrink
from fer_edge.faces.yunet_int8 import RANGES_FILE, weights_digest
from fer_edge.faces.yunet_tflite import INPUT_SIZE, write_yunet
from fer_edge.faces.yunet_weights import read_yunet
from fer_edge.files import write_text
from fer_edge.labels import EMOTIONS
from fer_train.synthetic.faces import draw_scene

PROG: Final[str] = "yunet_ranges.py"
QUANTILE: Final[float] = 0.99
VIEWS_OF_AN_IMAGE: Final[int] = 24
FRAMES_OF_A_VIDEO: Final[int] = 24
N_DRAWN: Final[int] = 48
SEED: Final[int] = 23


def main() -> int:
    """Measure, write, say."""
    return run_command(PROG, lambda: body(sys.argv[1:]))


def body(arguments: Sequence[str]) -> int:
    """What ``main`` does, errors not yet caught."""
    parser = CommandParser(prog=PROG, description="Measure what the activations of YuNet reach.")
    parser.add_argument("model", type=Path, help="face_detection_yunet_*.onnx of opencv_zoo")
    parser.add_argument("pictures", type=Path, nargs="+", help="images and videos with faces of all sizes")
    parser.add_argument("--quantile", type=float, default=QUANTILE, metavar="Q", help="of the views (0.99)")
    parser.add_argument("--out", type=Path, default=RANGES_FILE, metavar="FILE", help="default: the toolkit's own")
    options = parser.parse_args(arguments)
    weights = read_yunet(options.model.read_bytes())
    network = FloatNetwork(write_yunet(weights))
    views = list(all_views(options.pictures))
    reached = [network.reach(view) for view in views]
    top = {name: np.quantile([ranges[name] for ranges in reached], options.quantile, axis=0) for name in reached[0]}
    report = {
        "what": "what the activations of YuNet reach: each tensor after a ReLU and each sum (outputs), each channel of "
        "the pointwise convolutions (channels); for edge/fer_edge/faces/yunet_int8.py",
        "made_by": f"export/{PROG}: {len(views)} views of {', '.join(path.name for path in options.pictures)} and of "
        f"{N_DRAWN} synthetic scenes, quantile {options.quantile}, seed {SEED}",
        "weights_sha256": weights_digest(weights),
        "outputs": {name: rounded(top[name].max()) for name in top if not name.endswith(".point")},
        "channels": {
            name.removesuffix(".point"): [rounded(value) for value in top[name]]
            for name in top
            if name.endswith(".point")
        },
    }
    write_text(options.out, json.dumps(report, indent=1).replace("\n   ", " ").replace("\n  ]", " ]") + "\n")
    sys.stdout.write(f"{options.out}: {report['made_by']}\n")
    return 0


class FloatNetwork:
    """The float network with all its tensors kept."""

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self._network: Any = Interpreter(
            model_content=content,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        self._network.allocate_tensors()
        names = {detail["name"]: int(detail["index"]) for detail in self._network.get_tensor_details()}
        self._measured = {name: names[name] for name in names if measured(name)}

    def reach(self, view: Image) -> dict[str, npt.NDArray[np.float32]]:
        """By tensor, the greatest magnitude of each channel for ``(192, 320, 3)`` B, G, R."""
        self._network.set_tensor(0, view[None].astype(np.float32))
        self._network.invoke()
        return {
            name: np.abs(self._network.get_tensor(index)).max(axis=(0, 1, 2)) for name, index in self._measured.items()
        }


def measured(name: str) -> bool:
    """Whether the tensor of this name has a range of its own."""
    kind, _, part = name.partition(".")
    if kind.startswith("head"):
        return part == "point"  # the outputs' ranges are fixed
    return kind.startswith(("stem", "pair", "sum")) and part in ("", "point")


def rounded(value: float) -> float:
    """Upwards to four digits, and never 0."""
    return float(f"{max(float(value), 1e-6) * 1.0005:.4g}")


def all_views(paths: Sequence[Path]) -> Iterator[Image]:
    """``(192, 320, 3)``: every picture and synthetic scene at random sizes and places, brighter and darker."""
    rng = np.random.default_rng(SEED)
    for path in paths:
        pictures = read(path)
        for _ in range(VIEWS_OF_AN_IMAGE if len(pictures) == 1 else 1):
            for picture in pictures:
                yield placed(picture, rng)
    for number in range(N_DRAWN):
        scene, _ = draw_scene(EMOTIONS[number % len(EMOTIONS)], rng, 320, 192)
        yield placed(scene, rng)


def read(path: Path) -> list[Image]:
    """The image, or some frames of the video."""
    image = cv2.imread(str(path))
    if image is not None:
        return [np.asarray(image, np.uint8)]
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (got := capture.read())[0]:
        frames.append(np.asarray(got[1], np.uint8))
    capture.release()
    if not frames:
        raise InputError(f"{path} is neither an image nor a video that OpenCV reads")
    return frames[:: max(1, len(frames) // FRAMES_OF_A_VIDEO)]


def placed(picture: Image, rng: np.random.Generator) -> Image:
    """Shrunk to a random width, somewhere on a canvas of zeros, contrast and brightness changed."""
    height, width = INPUT_SIZE
    view = shrink(picture, round(float(np.exp(rng.uniform(np.log(64), np.log(640))))))
    shade = view.astype(np.float32) * rng.uniform(0.6, 1.3) + rng.uniform(-30, 30)
    view = np.clip(np.rint(shade), 0, 255).astype(np.uint8)
    top = int(rng.integers(0, max(1, view.shape[0] - height + 1)))
    left = int(rng.integers(0, max(1, view.shape[1] - width + 1)))
    part = view[top : top + height, left : left + width]
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[: part.shape[0], : part.shape[1]] = part
    return canvas


if __name__ == "__main__":
    sys.exit(main())
