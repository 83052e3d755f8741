"""OpenVINO reads the INT8 ONNX file as it is: does it stay INT8, and does it decide the same?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.inference.backends.onnx import has_exact_int8
from fer_edge.preprocess import resize_gray, to_int8_input
from fer_edge.verification.golden import read_golden

openvino = pytest.importorskip("openvino")
ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "fer_int8.onnx"
SETTINGS: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}


def compiled(**more: Any) -> Any:
    core = openvino.Core()
    return core.compile_model(core.read_model(MODEL), "CPU", SETTINGS | more)


def answers(network: Any, tensors: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    return np.concatenate([network(tensors[i : i + 1])[0] for i in range(len(tensors))])


def as_in_the_example() -> Any:
    return compiled() if has_exact_int8() else compiled(LP_TRANSFORMS_MODE="NO")


def test_no_convolution_is_computed_in_float() -> None:
    network = compiled(PERF_COUNT=True)
    request = network.create_infer_request()
    request.infer([np.zeros((1, 96, 96, 3), np.int8)])
    kinds = [(each.node_type, each.exec_type) for each in request.get_profiling_info()]
    convolutions = [how for kind, how in kinds if "Convolution" in kind]
    assert len(convolutions) == 52
    assert [how for how in convolutions if not how.lower().endswith("i8")] == []


def test_it_decides_as_litert() -> None:
    golden = read_golden(ROOT / "models" / "golden.npz")
    own = answers(as_in_the_example(), golden.tensors)
    assert np.mean(own.argmax(axis=1) == golden.outputs.argmax(axis=1)) >= 0.98  # 63 of 64


@pytest.mark.slow
@pytest.mark.skipif("FER2013" not in os.environ, reason="FER2013 (path of the Kaggle zip) is not set")
def test_it_decides_as_litert_on_real_faces() -> None:
    from fer_edge.loading.open import open_classifier
    from fer_train.data.dataset import load_dataset

    split = load_dataset(Path(os.environ["FER2013"])).split("validation")
    faces = np.stack([resize_gray(np.asarray(split.images[i]), 96) for i in range(0, len(split), 9)])
    tensors = to_int8_input(faces)
    with open_classifier(ROOT / "models" / "fer_int8.tflite") as litert:  # type: ignore[attr-defined]
        expected = np.concatenate([litert.infer(tensor[None]) for tensor in tensors])
    own = answers(as_in_the_example(), tensors)
    assert len(own) == 399
    assert np.mean(own.argmax(axis=1) == expected.argmax(axis=1)) >= 0.99
