"""Small, sound inputs that mutation starts from: models of a few kilobytes, images, data sets, manifests, results."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.labels import EMOTIONS

SIZE = 8
CHANNELS = 4


def images() -> list[bytes]:
    """Photographs, so to speak, in five formats."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    frame = cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_LINEAR)
    return [cv2.imencode(suffix, frame)[1].tobytes() for suffix in (".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm")]


class _Graph:
    """A TFLite model written by the schema alone."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.description = 3, "fuzz seed"
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.graph.tensors, self.graph.operators = [], []

    def tensor(self, name: str, shape: list[int], kind: int, scale: float, zero: int, data: Any = None) -> int:
        made = self.schema.TensorT()
        made.name, made.shape, made.type = name, np.array(shape, np.int32), kind
        made.quantization = self.schema.QuantizationParametersT()
        made.quantization.scale = np.array([scale], np.float32)
        made.quantization.zeroPoint = np.array([zero], np.int64)
        made.buffer = 0
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            made.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def operator(self, code: int, version: int, inputs: list[int], output: int, kind: int, options: Any) -> None:
        known = self.schema.OperatorCodeT()
        known.builtinCode = known.deprecatedBuiltinCode = code
        known.version = version
        self.model.operatorCodes.append(known)
        made = self.schema.OperatorT()
        made.opcodeIndex = len(self.model.operatorCodes) - 1
        made.inputs, made.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        made.builtinOptionsType, made.builtinOptions = kind, options
        self.graph.operators.append(made)

    def content(self, entry: int, answer: int) -> bytes:
        import flatbuffers

        self.graph.inputs, self.graph.outputs = np.array([entry], np.int32), np.array([answer], np.int32)
        self.model.subgraphs = [self.graph]
        builder = flatbuffers.Builder(4096)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def tiny_tflite() -> bytes:
    """CONV_2D, MEAN, FULLY_CONNECTED, SOFTMAX in INT8 on (1, 8, 8, 3), written by the schema alone."""
    from ai_edge_litert import schema_py_generated as schema

    rng = np.random.default_rng(1)
    made = _Graph(schema)
    tensor, operator = made.tensor, made.operator
    int8, int32 = schema.TensorType.INT8, schema.TensorType.INT32
    kinds, codes = schema.BuiltinOptions, schema.BuiltinOperator
    entry = tensor("input", [1, SIZE, SIZE, 3], int8, 1 / 128, 0)
    kernel = rng.integers(-127, 128, (CHANNELS, 3, 3, 3), dtype=np.int8)
    weights = tensor("kernel", [CHANNELS, 3, 3, 3], int8, 0.01, 0, kernel)
    bias = tensor("bias", [CHANNELS], int32, 0.01 / 128, 0, np.arange(CHANNELS, dtype=np.int32))
    features = tensor("features", [1, SIZE // 2, SIZE // 2, CHANNELS], int8, 0.05, -128)
    axes = tensor("axes", [2], int32, 1.0, 0, np.array([1, 2], np.int32))
    pooled = tensor("pooled", [1, CHANNELS], int8, 0.05, -128)
    matrix = rng.integers(-127, 128, (7, CHANNELS), dtype=np.int8)
    dense = tensor("matrix", [7, CHANNELS], int8, 0.02, 0, matrix)
    offset = tensor("offset", [7], int32, 0.001, 0, np.zeros(7, np.int32))
    logits = tensor("logits", [1, 7], int8, 0.1, 0)
    answer = tensor("output", [1, 7], int8, 1 / 256, -128)

    convolution = schema.Conv2DOptionsT()
    convolution.strideW = convolution.strideH = 2
    convolution.fusedActivationFunction = schema.ActivationFunctionType.RELU6
    operator(codes.CONV_2D, 3, [entry, weights, bias], features, kinds.Conv2DOptions, convolution)
    operator(codes.MEAN, 2, [features, axes], pooled, kinds.ReducerOptions, schema.ReducerOptionsT())
    dense_kind = kinds.FullyConnectedOptions
    operator(codes.FULLY_CONNECTED, 4, [pooled, dense, offset], logits, dense_kind, schema.FullyConnectedOptionsT())
    softmax = schema.SoftmaxOptionsT()
    softmax.beta = 1.0
    operator(codes.SOFTMAX, 2, [logits], answer, kinds.SoftmaxOptions, softmax)
    return made.content(entry, answer)


def tiny_onnx() -> bytes:
    """Conv, GlobalAveragePool, Gemm, Softmax in float on (1, 8, 8, 3)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(2)

    def constant(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Transpose", ["input"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["nchw", "k", "b"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "m", "o"], ["l"], transB=1),
        helper.make_node("Softmax", ["l"], ["output"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "fuzz seed",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 7])],
        [constant("k", CHANNELS, 3, 3, 3), constant("b", CHANNELS), constant("m", 7, CHANNELS), constant("o", 7)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(made)
    content: bytes = made.SerializeToString()
    return content


def manifest() -> bytes:
    """As ``fer-export`` writes it, for a model called ``m.tflite``."""
    end = {"name": "input", "shape": [1, 8, 8, 3], "layout": "NHWC", "dtype": "int8", "scale": 0.0078125}
    entry = {
        "sha256": "ab" * 32, "bytes": 3000, "input": {**end, "zero_point": 0}, "output": {**end, "zero_point": -128},
        "labels": list(EMOTIONS), "accuracy": 0.66, "n_images": 3589, "split": "validation",
        "top1_agreement_with_float": 0.97,
    }  # fmt: skip
    return json.dumps({"models": {"m.tflite": entry}, "versions": {"numpy": "2.4"}, "commit": None}).encode()


def config() -> bytes:
    """Options of ``fer-camera``."""
    return (
        b'# camera\nsource = "0"\ndetect-every = 3\nheadless = true\nsize = "640x480"\nweb = "127.0.0.1:8080"\n'
        b"min-confidence = 0.4\ncores = [0, 1]\n"
    )


def golden_npz(compressed: bool = False) -> bytes:
    """The first two golden vectors of the repository, the frames cut small; stored plainly, so that mutations reach
    the arrays and not only the zip's checksums."""
    whole = np.load(Path(__file__).parents[2] / "models" / "golden.npz", allow_pickle=False)
    names = sorted(name for name in whole.files if name.startswith("frame_"))[:2]
    kept = {name: whole[name] if name == "info" else whole[name][:2] for name in whole.files if "frame_" not in name}
    kept["boxes"] = np.asarray([[0, 0, 32, 36], [-9, 4, 40, 40]], np.int32)  # within the small frames: all is replayed
    buffer = io.BytesIO()
    write = np.savez_compressed if compressed else np.savez
    write(buffer, **kept, **{name: whole[name][:40, :40] for name in names})
    return buffer.getvalue()


def _small_faces() -> list[tuple[str, npt.NDArray[np.uint8]]]:
    rng = np.random.default_rng(3)
    return [(name, rng.integers(0, 256, (8, 8), dtype=np.uint8)) for name in EMOTIONS for _ in range(2)]


def csv() -> bytes:
    """``fer2013.csv`` with images of 8 x 8 pixels."""
    numbers = {"angry": 0, "disgust": 1, "fear": 2, "happy": 3, "sad": 4, "surprise": 5, "neutral": 6}
    rows = ["emotion,pixels,Usage"]
    for usage in ("Training", "PublicTest"):
        rows += [f"{numbers[name]},{' '.join(map(str, face.ravel()))},{usage}" for name, face in _small_faces()]
    return ("\n".join(rows) + "\n").encode()


def archive() -> bytes:
    """A zip in Kaggle's layout."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for folder, prefix in (("train", "Training"), ("test", "PublicTest")):
            for index, (name, face) in enumerate(_small_faces()):
                content = cv2.imencode(".png", face)[1].tobytes()
                made.writestr(f"{folder}/{name}/{prefix}_{index}.png", content)
    return buffer.getvalue()


def tars() -> list[bytes]:
    """The same as tar, plain and compressed."""
    plain = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive())) as files, tarfile.open(fileobj=plain, mode="w") as made:
        for info in files.infolist():
            member = tarfile.TarInfo(info.filename)
            member.size = info.file_size
            made.addfile(member, io.BytesIO(files.read(info)))
    return [plain.getvalue(), plain.getvalue(), gzip.compress(plain.getvalue(), mtime=0)]


def bench_result() -> bytes:
    """A report of ``fer-bench``."""
    from tests.benchmarks.report_examples import a_report, a_result

    return a_report([a_result(), a_result(model="b.tflite")]).as_json().encode()


def requests() -> list[bytes]:
    """What browsers, health checks and scrapers send to the web page."""
    paths = ("/", "/api/faces", "/api/timeline", "/events", "/video", "/healthz", "/metrics", "/?token=secret", "/../x")
    made = [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode() for path in paths]
    made.append(
        b"POST /api/faces HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\nContent-Length: 4\r\n\r\n{}{}"
    )
    made.append(
        b"GET / HTTP/1.1\r\nHost: [::1]\r\nCookie: fer_token=secret\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    return made
