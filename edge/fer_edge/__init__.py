"""Facial emotion recognition on small devices: numpy, OpenCV and one TFLite runtime, nothing else."""

from __future__ import annotations

from fer_edge.classifier import Classifier, Prediction, open_classifier
from fer_edge.labels import EMOTIONS

__all__ = ["EMOTIONS", "Classifier", "Prediction", "open_classifier"]
