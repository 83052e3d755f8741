"""A Keras model of your own, exported and run: python examples/own_keras_model.py mine.keras fer2013.zip photo.jpg

It takes faces (1, S, S, 3) in [-1, 1] and ends in a softmax over the seven emotions. (pip install -e ".[export]")
"""

from __future__ import annotations

import subprocess
import sys

import fer_edge

weights, data, photo = sys.argv[1:4]
# Measures the exported file against the model, and refuses it when accuracy falls.
more = sys.argv[4:]  # options of fer-export
subprocess.run(["fer-export", "--int8", "--weights", weights, "--data", data, "--out", "out/mine", *more], check=True)
classifier = fer_edge.open_classifier("out/mine/fer_int8.tflite")
for face in fer_edge.analyze(photo, classifier):
    print(face.box, face.emotion)
classifier.close()
