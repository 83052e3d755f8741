from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tests.export.committed import committed_job
from tests.export.tiny import TINY_SIZE, Tiny, tiny_keras_model

from fer_edge.preprocess import resize_gray, to_float_input
from fer_export.targets.job import TargetJob
from fer_train.synthetic.faces import synthetic_split


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    import tf_keras

    from fer_train.quantization.tflite import float_to_tflite, ptq_to_tflite

    split = synthetic_split(30, seed=3)
    faces = np.stack([resize_gray(image, TINY_SIZE) for image in split.images])
    model = tiny_keras_model()
    model.compile(tf_keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(to_float_input(faces), split.labels, batch_size=30, epochs=8, verbose=0)
    return Tiny(model, float_to_tflite(model), ptq_to_tflite(model, faces[:60]), faces)


@pytest.fixture
def job(tmp_path: Path) -> TargetJob:
    """What a target starts from: the committed INT8 file and its golden vectors, and a few synthetic faces."""
    return committed_job(tmp_path)


@pytest.fixture
def assets() -> Path:
    folder = os.environ.get("FER_ASSETS")
    if not folder:
        pytest.skip("FER_ASSETS is not set: no published Edge TPU models to check")
    return Path(folder)
