from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.export.tiny import TINY_SIZE, Tiny

from fer_edge.errors import ModelError
from fer_export.tflite_file import read_tflite


def test_operators_have_names_versions_and_options(tiny: Tiny) -> None:
    model = read_tflite(tiny.int8)
    names = [op.name for op in model.operators]
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED", "SOFTMAX"} <= set(names)
    assert model.operator_counts[("CONV_2D", 3)] == names.count("CONV_2D") == 5
    first = model.operators[0]
    assert (first.activation, first.options["strideW"], first.options["strideH"]) == ("RELU6", 2, 2)
    assert model.tensors[first.inputs[0]].shape == (1, TINY_SIZE, TINY_SIZE, 3)


def test_scales_are_those_of_the_file(tiny: Tiny) -> None:
    model = read_tflite(tiny.int8)
    source, sink = model.tensors[model.inputs[0]], model.tensors[model.outputs[0]]
    assert (source.scale, source.zero_point, source.type_name) == (1 / 128, 0, "INT8")
    assert (sink.scale, sink.zero_point, sink.type_name) == (1 / 256, -128, "INT8")
    kernel = model.tensors[model.operators[0].inputs[1]]
    assert kernel.is_per_channel and len(kernel.scales) == 8 and kernel.channel_axis == 0
    assert kernel.array().shape == (8, 3, 3, 3) and kernel.array().dtype == np.int8
    assert np.abs(kernel.array()).max() == 127
    with pytest.raises(ModelError, match="8 scales, expected one"):
        _ = kernel.scale


def test_graph_can_be_walked(tiny: Tiny) -> None:
    model = read_tflite(tiny.int8)
    add = next(op for op in model.operators if op.name == "ADD")
    assert {getattr(model.producer(i), "name", None) for i in add.inputs} == {"CONV_2D"}
    assert model.consumers(add.outputs[0])[0].name == "CONV_2D"
    assert model.producer(model.inputs[0]) is None
    stored = sum(t.array().nbytes for t in model.tensors if t.is_constant)
    assert 0 < model.parameter_bytes <= stored < model.n_bytes == len(tiny.int8)


@pytest.mark.parametrize("damage", ["empty", "text", "truncated"])
def test_what_is_no_model_is_one_clear_error(tiny: Tiny, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes({"empty": b"", "text": b"hello, I am text", "truncated": tiny.int8[:900]}[damage])
    with pytest.raises(ModelError, match="TFLite") as caught:
        read_tflite(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_file() -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_tflite("/nonexistent/m.tflite")
