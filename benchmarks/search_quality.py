"""What the adaptive search finds and misses: ``python benchmarks/search_quality.py FACES --detector-model YUNET.onnx``.

FACES is a folder with ``talking_head.mp4`` and ``no_face.jpg``. Two tables, counted, not timed, so that any machine
gives them, in half a minute:

* scenes made of heads of the video on the photo as background, 25 frames per second, the place of each head known: a
  head that tilts, a small one that enters, cuts, one that slides in from the edge, one that moves fast, one that comes
  closer, and no head at all. Heads found by the detector alone (score 0.7), by the search of whole frames, which keeps
  a face down to 0.5, and by the adaptive one; false faces; the longest time that a head stayed unseen;
* on the video itself: how much boxes tremble and how often the raw emotion changes, with and without averaged boxes.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.command import CommandParser, run_command
from fer_edge.errors import InputError
from fer_edge.faces.detection import Box, DetectedFace
from fer_edge.faces.detectors.yunet import YuNetDetector
from fer_edge.faces.search import FaceSearch
from fer_edge.faces.tracks import overlap
from fer_edge.faces.yunet_file import yunet_file
from fer_edge.files import write_text
from fer_edge.loading.open import open_classifier
from fer_edge.preprocess import preprocess_face

Image = npt.NDArray[np.uint8]
Find = Callable[[Image, float], list[DetectedFace]]
PROG: Final[str] = "search_quality.py"
FPS: Final[float] = 25.0
WIDTH, HEIGHT = 640, 360
SAME: Final[float] = 0.3
"""Least overlap of a box with the true one: tilted heads have wide boxes."""
ROOM: Final[float] = 0.5
"""Of the surroundings that are cut out with a head, over the side of its box."""


@dataclass(frozen=True)
class Head:
    """A head that is to be drawn."""

    x: float
    """Middle of the face, in pixels."""
    y: float
    size: float
    """Height of the face's box, in pixels."""
    tilt: float = 0.0
    """In degrees."""


@dataclass(frozen=True)
class Scene:
    """What happens in some frames."""

    name: str
    frames: tuple[tuple[Head, ...], ...]


def scenes() -> list[Scene]:
    """All of them; 50 to 75 frames each."""
    middle = Head(200, 190, 150)
    swing = [300 + 220 * math.sin(number / 7.0) for number in range(75)]
    return [
        Scene("tilts to 50 degrees and back", _each(75, lambda n: (Head(320, 180, 130, 50 * math.sin(n / 6.0)),))),
        Scene(
            "a small one (40 pixels) enters beside a large one",
            _each(75, lambda n: (middle, Head(520, 90, 40)) if n % 25 >= 7 else (middle,)),
        ),
        Scene(
            "cuts, every 9th frame",
            _each(72, lambda n: (Head(150, 180, 120),) if n // 9 % 2 else (Head(480, 150, 70), Head(250, 230, 60))),
        ),
        Scene("slides in from the edge, 8 pixels a frame", _each(75, lambda n: (Head(-60 + 8 * n, 180, 120),))),
        Scene("moves by up to 31 pixels a frame", tuple((Head(x, 180, 100),) for x in swing)),
        Scene("comes closer, 32 to 250 pixels", _each(75, lambda n: (Head(320, 180, 32 * 1.028**n),))),
        Scene("six at once", _each(50, lambda _: tuple(Head(70 + 100 * k, 120 + 60 * (k % 2), 60) for k in range(6)))),
        Scene("none", _each(50, lambda _: ())),
    ]


def _each(n: int, heads: Callable[[int], tuple[Head, ...]]) -> tuple[tuple[Head, ...], ...]:
    return tuple(heads(number) for number in range(n))


class Studio:
    """Draws scenes.

    Args:
        frames: of a video with one head.
        boxes: of the head in each.
        photo: the background.
    """

    def __init__(self, frames: list[Image], boxes: list[Box], photo: Image) -> None:
        self._frames, self._boxes = frames, boxes
        self._photo = cv2.resize(photo, (2 * WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)

    def draw(self, heads: Sequence[Head], number: int) -> tuple[Image, list[Box]]:
        """A frame of a slowly moving background, and the true boxes of the heads of which more than half is in it."""
        view: Image = np.asarray(np.roll(self._photo, 2 * number, axis=1)[:, :WIDTH], np.uint8)
        boxes = []
        for place, head in enumerate(heads):
            at = (number + 30 * place) % len(self._frames)
            x, y, w, h = self._boxes[at]
            scale, reach = head.size / h, (0.5 + ROOM) * h
            matrix = cv2.getRotationMatrix2D((x + w / 2.0, y + h / 2.0), -head.tilt, scale)
            matrix[:, 2] += np.array([head.x - x - w / 2.0, head.y - y - h / 2.0])
            mask = np.zeros(self._frames[at].shape[:2], np.uint8)
            cv2.ellipse(
                mask, (round(x + w / 2), round(y + h / 2)), (round(reach * 0.8), round(reach)), 0, 0, 360, 255, -1
            )
            size = (WIDTH, HEIGHT)
            drawn = cv2.warpAffine(self._frames[at], matrix, size, flags=cv2.INTER_AREA)
            alpha = cv2.warpAffine(cv2.GaussianBlur(mask, (0, 0), 6), matrix, size)[..., None] / np.float32(255)
            view = np.asarray(view * (1 - alpha) + drawn * alpha, np.uint8)
            wide, high = w * scale, head.size
            if 0 <= head.x <= WIDTH and 0 <= head.y <= HEIGHT:
                boxes.append((round(head.x - wide / 2), round(head.y - high / 2), round(wide), round(high)))
        return view, boxes


def main() -> int:
    """Count and print."""
    return run_command(PROG, lambda: body(sys.argv[1:]))


def body(arguments: Sequence[str]) -> int:
    """What ``main`` does, errors not yet caught."""
    parser = CommandParser(prog=PROG, description="What the adaptive search finds and misses.")
    parser.add_argument("faces", type=Path, help="folder with talking_head.mp4 and no_face.jpg")
    parser.add_argument("--detector-model", type=Path, metavar="F", help="YuNet's .onnx (default: fetched)")
    parser.add_argument("--json", type=Path, metavar="F", help="write the result as JSON")
    options = parser.parse_args(arguments)
    model = options.detector_model or yunet_file()
    frames = read(options.faces / "talking_head.mp4")
    photo = cv2.imread(str(options.faces / "no_face.jpg"))
    if photo is None:
        raise InputError(f"no picture {options.faces / 'no_face.jpg'}")
    detector = YuNetDetector(model)
    search = FaceSearch(detector, mode="full")
    boxes = [search.find(frame, None, number / FPS)[0].box for number, frame in enumerate(frames)]
    studio = Studio(frames, boxes, np.asarray(photo, np.uint8))
    report = {
        "scenes": {scene.name: dict(play(scene, studio, detector)) for scene in scenes()},
        "steadiness": {name: steadiness(frames, find) for name, find in steady_ways(model).items()},
    }
    sys.stdout.write(text(report) + "\n")
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")
    return 0


def read(path: Path) -> list[Image]:
    """All frames."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while (got := capture.read())[0]:
        frames.append(np.asarray(got[1], np.uint8))
    capture.release()
    if not frames:
        raise InputError(f"{path} is not a video that OpenCV reads")
    return frames


def ways(detector: YuNetDetector) -> dict[str, Find]:
    """How faces are looked for, each from the beginning."""
    full, adaptive = FaceSearch(detector, mode="full"), FaceSearch(detector, mode="adaptive")
    return {
        "detector alone": lambda view, _: detector.detect(view),
        "full": lambda view, time_s: full.find(view, None, time_s),
        "adaptive": lambda view, time_s: adaptive.find(view, None, time_s),
    }


def play(scene: Scene, studio: Studio, detector: YuNetDetector) -> Iterator[tuple[str, dict[str, float]]]:
    """By way: heads in all frames, found ones, false faces, longest time in seconds that a head stayed unseen."""
    drawn = [studio.draw(heads, number) for number, heads in enumerate(scene.frames)]
    for name, find in ways(detector).items():
        n_heads = n_found = n_false = unseen = longest = 0
        for number, (view, boxes) in enumerate(drawn):
            faces = find(view, number / FPS)
            hits = sum(any(overlap(face.box, box) > SAME for face in faces) for box in boxes)
            n_false += sum(all(overlap(face.box, box) <= SAME for box in boxes) for face in faces)
            n_heads, n_found = n_heads + len(boxes), n_found + hits
            unseen = unseen + 1 if hits < len(boxes) else 0
            longest = max(longest, unseen)
        yield name, {"heads": n_heads, "found": n_found, "false": n_false, "unseen_s": longest / FPS}


def steady_ways(model: Path) -> dict[str, Find]:
    """Boxes of single candidates and averaged ones, by both engines."""
    finds: dict[str, Find] = {}
    for engine in ("opencv", "litert-float", "litert-int8"):
        for average in (False, True) if engine != "opencv" else (False,):
            detector = YuNetDetector(model, engine=engine, average=average)
            finds[f"{engine}{', averaged' if average else ''}"] = lambda view, _, d=detector: d.detect(view)  # type: ignore[misc]
    adaptive = FaceSearch(YuNetDetector(model))
    finds["litert-int8, averaged, adaptive search"] = lambda view, time_s: adaptive.find(view, None, time_s)
    return finds


def steadiness(frames: list[Image], find: Find) -> dict[str, float]:
    """Mean second difference of the box's middle and size, in % of its side, and changes of the raw emotion."""
    classifier = open_classifier()
    boxes, labels = [], []
    for number, frame in enumerate(frames):
        [face] = find(frame, number / FPS)
        boxes.append(face.box)
        pixels = preprocess_face(frame, classifier.input_size, face.box)
        labels.append(int(classifier.predict(pixels[None])[0].argmax()))
    box = np.array(boxes, float)
    side = box[:, 2:].max(axis=1).mean()
    middle, size = box[:, :2] + box[:, 2:] / 2.0, box[:, 2:]
    return {
        "middle": float(100 * np.abs(np.diff(middle, n=2, axis=0)).mean() / side),
        "size": float(100 * np.abs(np.diff(size, n=2, axis=0)).mean() / side),
        "label_changes": int(np.count_nonzero(np.diff(labels))),
    }


def text(report: dict[str, Any]) -> str:
    """Two tables in Markdown."""
    lines = [
        "| scene | heads | detector alone | full | adaptive | false: alone, full, adaptive | unseen: full, adaptive |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, scene in report["scenes"].items():
        alone, full, adaptive = scene["detector alone"], scene["full"], scene["adaptive"]
        lines.append(
            f"| {name} | {alone['heads']} | {alone['found']} | {full['found']} | {adaptive['found']} | "
            f"{alone['false']}, {full['false']}, {adaptive['false']} | "
            f"{full['unseen_s']:.2f} s, {adaptive['unseen_s']:.2f} s |"
        )
    lines += ["", "| boxes | middle | size | raw label changes |", "| --- | --- | --- | --- |"]
    for name, scene in report["steadiness"].items():
        lines.append(f"| {name} | {scene['middle']:.2f} % | {scene['size']:.2f} % | {scene['label_changes']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
