"""``python docs/picture.py`` makes ``docs/fer-camera.jpg``: two synthetic people as ``fer-camera`` shows them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np

from fer_edge.loading.open import open_classifier
from fer_edge.outputs.draw import annotate
from fer_edge.pipeline import FacePipeline
from fer_train.synthetic.faces import draw_scene

PEOPLE = (("happy", 8), ("surprise", 13))
"""Emotion and seed of each person, from left to right."""


def main() -> None:
    """Draw, find and classify the faces, and write the picture beside this file."""
    scenes = [draw_scene(emotion, np.random.default_rng(seed), 640, 480)[0] for emotion, seed in PEOPLE]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.png"
        cv2.imwrite(str(path), np.hstack(scenes)[60:460])
        (result,) = FacePipeline(str(path), open_classifier())
    picture = Path(__file__).with_name("fer-camera.jpg")
    cv2.imwrite(str(picture), annotate(result), [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
