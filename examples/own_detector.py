"""Faces found by another detector, here OpenCV's Haar cascade: python examples/own_detector.py photo.jpg"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from fer_edge import EMOTIONS, open_classifier
from fer_edge.preprocess import preprocess_face

picture = cv2.imread(sys.argv[1])
if picture is None:
    sys.exit(f"cannot read {sys.argv[1]}")
cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"))
boxes = cascade.detectMultiScale(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), 1.1, 5)

classifier = open_classifier()
for x, y, width, height in boxes:  # pixels
    face = preprocess_face(np.asarray(picture, np.uint8), classifier.input_size, (x, y, width, height))
    probabilities = classifier.predict(face[None])[0]  # float32, one for each of EMOTIONS
    best = int(probabilities.argmax())
    print(f"{x},{y},{width},{height} {EMOTIONS[best]} {probabilities[best]:.2f}")
classifier.close()
