"""What compilers of other chips ask of our files: short names, equal scales, pads folded, NCHW, both roundings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.export.committed import MODELS, double_rounding

from fer_edge.errors import ModelError
from fer_edge.inference.classifier import Classifier
from fer_edge.loading.open import open_classifier
from fer_edge.preprocess import to_float_input
from fer_edge.verification.golden import DOUBLE_ROUNDING_OUTPUTS, GOLDEN_NAME, read_golden
from fer_edge.verification.replay import verify, verify_classifier
from fer_export.convert.onnx_files import int8_onnx
from fer_export.convert.onnx_layout import fold_pads, int8_as_float_nchw, with_nchw_input
from fer_export.convert.tensor_names import _with_names, name_ends
from fer_export.describe.golden_vectors import add_outputs
from fer_export.file_names import INT8_TFLITE
from fer_export.targets.job import TargetJob
from fer_export.tflite_file import read_tflite
from fer_train.quantization.reference_kernels import on_reference_kernels

onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra export)")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra export)")


@pytest.fixture(scope="module")
def committed() -> bytes:
    """The released file with names as TensorFlow's converter gives them."""
    content = (MODELS / INT8_TFLITE).read_bytes()
    model = read_tflite(content)
    return _with_names(content, {model.inputs[0]: "serving_default_input_1:0", model.outputs[0]: "Stateful" * 30})


def answers(content: bytes, inputs: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"input": x[None]})[0] for x in inputs])


# -- names ----------------------------------------------------------------------------------------------------------


def test_ends_have_short_names_and_nothing_else_has_moved(committed: bytes) -> None:
    renamed = name_ends(committed)
    before, after = read_tflite(committed), read_tflite(renamed)
    assert [after.tensors[i].name for i in (*after.inputs, *after.outputs)] == ["input", "probabilities"]
    assert len(renamed) < len(committed) + 100
    assert [(t.shape, t.data, t.scales.tolist()) for t in after.tensors] == [
        (t.shape, t.data, t.scales.tolist()) for t in before.tensors
    ]
    # Two places changed, at the tensors' names; all else, so every weight with its alignment, is where it was.
    changed = [i for i, (a, b) in enumerate(zip(committed, renamed, strict=False)) if a != b]
    assert len(changed) <= 8
    assert name_ends(renamed) == renamed


def test_the_renamed_file_repeats_the_golden_vectors(job: TargetJob) -> None:
    assert verify(job.int8_tflite, MODELS / GOLDEN_NAME, trusted=True).passed


def test_an_inner_tensor_of_that_name_is_refused(committed: bytes) -> None:
    renamed = name_ends(committed)
    place = renamed.rindex(b"probabilities\0")
    swapped = renamed[:place] + b"input" + b"\0" * 8 + renamed[place + 13 :]
    twice = swapped[: place - 4] + (5).to_bytes(4, "little") + swapped[place:]
    assert read_tflite(twice).tensors[read_tflite(twice).outputs[0]].name == "input"
    assert read_tflite(name_ends(twice)).tensors[read_tflite(twice).outputs[0]].name == "probabilities"
    inner = read_tflite(committed).operators[0].outputs[0]
    name = read_tflite(committed).tensors[inner].name.encode()
    place = committed.index(len(name).to_bytes(4, "little") + name + b"\0") + 4  # not the end of a longer name
    taken = committed[: place - 4] + (5).to_bytes(4, "little") + b"input\0" + committed[place + 6 :]
    with pytest.raises(ModelError, match="an inner tensor of the TFLite model is called input"):
        name_ends(taken)


# -- both ways of rounding ------------------------------------------------------------------------------------------


def network_stage(classifier: Classifier, golden: Path) -> str:
    with_detail = {stage.name: stage for stage in verify_classifier(classifier, read_golden(golden)).stages}
    assert with_detail["network"].passed, with_detail["network"]
    return with_detail["network"].detail


def test_verify_picks_the_arithmetic_by_the_runtime_and_says_which(job: TargetJob) -> None:
    golden = job.models / GOLDEN_NAME
    litert = open_classifier(job.int8_tflite, trusted=True)
    assert "against single-rounding outputs, the same ones" in network_stage(litert, golden)
    reference = on_reference_kernels(job.int8_tflite)
    reference.backend = "litert"  # LiteRT without XNNPACK: held to LiteRT's own tolerance, which is none
    assert "against double-rounding outputs, the same ones" in network_stage(reference, golden)


def test_files_of_earlier_versions_are_read_as_before(job: TargetJob, tmp_path: Path) -> None:
    with np.load(job.models / GOLDEN_NAME) as stored:
        arrays = {name: stored[name] for name in stored.files if name != DOUBLE_ROUNDING_OUTPUTS}
    np.savez_compressed(tmp_path / "old.npz", **arrays)
    golden = read_golden(tmp_path / "old.npz")
    assert golden.double_rounding is None and list(golden.by_arithmetic) == ["single-rounding"]
    litert = open_classifier(job.int8_tflite, trusted=True)
    assert "rounding" not in network_stage(litert, tmp_path / "old.npz")
    reference = on_reference_kernels(job.int8_tflite)
    reference.backend = "litert"
    report = verify_classifier(reference, golden)
    assert report.first_difference is not None and report.first_difference.name == "network"


def test_the_two_ways_of_rounding_differ_as_the_report_says(job: TargetJob) -> None:
    differing = np.count_nonzero(double_rounding() != job.golden.outputs)
    assert 0.1 < differing / job.golden.outputs.size < 0.9


def test_damaged_outputs_of_the_second_arithmetic_are_named(job: TargetJob) -> None:
    from fer_edge.errors import InputError

    add_outputs(job.models / GOLDEN_NAME, {DOUBLE_ROUNDING_OUTPUTS: double_rounding()[:5]})
    with pytest.raises(InputError, match=f"{DOUBLE_ROUNDING_OUTPUTS} has shape"):
        read_golden(job.models / GOLDEN_NAME)


# -- ONNX -----------------------------------------------------------------------------------------------------------


def test_for_npus_each_tensor_is_written_and_read_with_one_scale(committed: bytes) -> None:
    """What rknn-toolkit2 asks for; for ONNX Runtime the scales before four additions differ in the seventh digit."""

    def unequal(content: bytes) -> int:
        graph = onnx.load_from_string(content).graph
        constants = {array.name: onnx.numpy_helper.to_array(array) for array in graph.initializer}
        written = {node.output[0]: node.input[1:] for node in graph.node if node.op_type == "QuantizeLinear"}
        pairs = [(written[n.input[0]], n.input[1:]) for n in graph.node if n.input and n.input[0] in written]
        assert len(pairs) > 50
        return sum(any(constants[a] != constants[b] for a, b in zip(*pair, strict=True)) for pair in pairs)

    npu, arm = int8_onnx(committed, "npu"), int8_onnx(committed, "arm")
    assert unequal(npu) == 0 < unequal(arm)


def test_the_float_form_of_the_int8_network(committed: bytes, job: TargetJob) -> None:
    proto = int8_as_float_nchw(read_tflite(committed))
    onnx.checker.check_model(proto, full_check=True)
    kinds = {node.op_type for node in proto.graph.node}
    assert not kinds & {"Pad", "Transpose", "QuantizeLinear", "DequantizeLinear"}
    shape = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    assert shape == [1, 3, 96, 96] and len(proto.graph.output) == 1
    assert {array.data_type for array in proto.graph.initializer} <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    faces = np.ascontiguousarray(to_float_input(job.golden.faces[:32]).transpose(0, 3, 1, 2))
    got, expected = answers(proto.SerializeToString(), faces), job.golden.probabilities[:32]
    assert np.abs(got - expected).max() < 0.1
    assert np.mean(got.argmax(axis=1) == expected.argmax(axis=1)) > 0.9


def padded(mode: bytes = b"constant", value: float = 0.0, layout: str = "NCHW", auto: str | None = None) -> bytes:
    """Pad, then a convolution that pads a little itself, NHWC at the front as tf2onnx writes it."""
    helper, rng = onnx.helper, np.random.default_rng(2)
    constants = {
        "amounts": np.asarray([0, 0, 1, 0, 0, 0, 2, 3], np.int64),
        "value": np.asarray(value, np.float32),
        "w": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
    }
    attributes = {"auto_pad": auto} if auto else {"pads": [0, 1, 0, 0]}
    nodes = [
        helper.make_node("Transpose", ["input"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Pad", ["t", "amounts", "value"], ["p"], mode=mode),
        helper.make_node("Conv", ["p", "w"], ["c"], **attributes),
        helper.make_node("Relu", ["c"], ["out"]),
    ]
    end = helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, list("nchw"))
    start = helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 8, 8, 3])
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "padded", [start], [end], tensors)
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    ).SerializeToString()
    return content


@pytest.mark.parametrize(
    ("content", "folds"),
    [
        (padded(), True),
        (padded(auto="VALID"), True),
        (padded(auto="SAME_UPPER"), False),
        (padded(value=1.0), False),
        (padded(mode=b"edge"), False),
    ],
)
def test_pads_go_into_the_convolution_where_they_can(content: bytes, folds: bool) -> None:
    proto = onnx.load_from_string(content)
    fold_pads(proto)
    onnx.checker.check_model(proto, full_check=True)
    assert ("Pad" not in [node.op_type for node in proto.graph.node]) == folds
    images = np.random.default_rng(3).normal(size=(2, 8, 8, 3)).astype(np.float32)
    expected = answers(content, images)
    np.testing.assert_allclose(answers(proto.SerializeToString(), images), expected, rtol=1e-5, atol=1e-6)
    with_nchw_input(proto)
    onnx.checker.check_model(proto, full_check=True)
    assert "Transpose" not in [node.op_type for node in proto.graph.node]
    nchw = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(answers(proto.SerializeToString(), nchw), expected, rtol=1e-5, atol=1e-6)


def test_a_network_that_does_not_begin_with_a_transpose_gets_one() -> None:
    proto = onnx.load_from_string(padded())
    (first,) = [node for node in proto.graph.node if node.op_type == "Transpose"]
    proto.graph.node.insert(1, onnx.helper.make_node("Identity", ["input"], ["copy"]))
    proto.graph.node.insert(2, onnx.helper.make_node("Transpose", ["copy"], ["t"], perm=[0, 3, 1, 2]))
    proto.graph.node.remove(first)
    before = proto.SerializeToString()
    with_nchw_input(proto)
    images = np.random.default_rng(3).normal(size=(1, 8, 8, 3)).astype(np.float32)
    got = answers(proto.SerializeToString(), np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(got, answers(before, images), rtol=1e-5, atol=1e-6)
