"""Small real models, made in milliseconds and without TensorFlow."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from fer_edge.labels import NUM_EMOTIONS

# So that `tests.benchmarks.report_examples` is found however pytest is started.
sys.path.insert(0, str(Path(__file__).parents[2]))


def write_tiny_onnx(path: Path, *, channels: int = 16, size: int = 48, seed: int = 0) -> Path:
    """A convolution, a mean, a dense layer and a softmax with random weights; more ``channels`` take longer."""
    from onnx import TensorProto, checker, helper, numpy_helper

    rng = np.random.default_rng(seed)
    weights = {
        "kernel": rng.normal(0, 0.2, (channels, 3, 5, 5)).astype(np.float32),
        "dense": rng.normal(0, 3.0, (channels, NUM_EMOTIONS)).astype(np.float32),
        "bias": np.zeros(NUM_EMOTIONS, np.float32),
    }
    nodes = [
        helper.make_node("Transpose", ["input"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["nchw", "kernel"], ["conv"], name="first", pads=[2, 2, 2, 2]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "dense", "bias"], ["logits"], name="head"),
        helper.make_node("Softmax", ["logits"], ["output"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, size, size, 3))],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, (1, NUM_EMOTIONS))],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="session")
def tiny_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float model that takes a fraction of a millisecond."""
    return write_tiny_onnx(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture(scope="session")
def slower_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with eight times the channels: surely slower."""
    return write_tiny_onnx(tmp_path_factory.mktemp("models") / "slower.onnx", channels=128)
