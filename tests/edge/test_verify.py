"""Every fault that golden vectors must catch, planted one by one, and the diagnosis that each must get."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fer_edge import preprocess
from fer_edge.errors import InputError
from fer_edge.inference import classifier, tensors
from fer_edge.inference.classifier import ClassifierBase
from fer_edge.inference.tensors import TensorSpec
from fer_edge.labels import EMOTIONS, NUM_EMOTIONS
from fer_edge.verification import golden as golden_vectors
from fer_edge.verification import replay as verify
from fer_export.describe.golden_vectors import draw_frames, write_golden

SIZE = 24
IN = TensorSpec("input", (1, SIZE, SIZE, 3), np.dtype(np.int8), 1 / 128, 0)
OUT = TensorSpec("probabilities", (1, NUM_EMOTIONS), np.dtype(np.int8), 1 / 256, -128)


class Network(ClassifierBase):
    """A softmax over a few fixed projections, in int8: a network that this test can damage as it likes."""

    def __init__(
        self, path: Path, *, backend: str = "litert", specs: tuple[TensorSpec, TensorSpec] = (IN, OUT)
    ) -> None:
        super().__init__(path, *specs, "test-runtime 1")
        self.backend = backend
        self.weights = np.random.default_rng(1).normal(0, 1.5, (SIZE * SIZE * 3, NUM_EMOTIONS)) / SIZE
        self.after: Callable[[npt.NDArray[Any]], npt.NDArray[Any]] = lambda out: out

    def infer(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        real = (tensor.reshape(1, -1).astype(np.float64) - self.input_spec.zero_point) * (self.input_spec.scale or 1.0)
        scores = np.exp(real @ self.weights)
        share = scores / scores.sum()
        if not self.output_spec.is_quantized:
            return self.after(share.astype(np.float32))
        return self.after(np.clip(np.rint(share * 256) - 128, -128, 127).astype(np.int8))


def float_network(path: Path) -> Network:
    return Network(
        path,
        specs=(
            TensorSpec("input", IN.shape, np.dtype(np.float32)),
            TensorSpec("probabilities", OUT.shape, np.dtype(np.float32)),
        ),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("golden")
    (path / "fer_int8.tflite").write_bytes(b"the right model")
    (path / "fer_float.tflite").write_bytes(b"the float model")
    write_golden(
        path / "golden.npz", Network(path / "fer_int8.tflite"), float_network(path / "fer_float.tflite"), {"numpy": "2"}
    )
    return path


@pytest.fixture
def network(folder: Path) -> Network:
    return Network(folder / "fer_int8.tflite")


def replay(network: Network, folder: Path) -> verify.VerifyReport:
    return verify.verify_classifier(network, golden_vectors.read_golden(folder / "golden.npz"))


def diagnosis(report: verify.VerifyReport) -> tuple[str, str]:
    assert report.first_difference is not None
    assert not report.passed
    return report.first_difference.name, report.first_difference.diagnosis


def test_the_right_device_passes_every_stage(network: Network, folder: Path) -> None:
    report = replay(network, folder)
    assert report.passed, report.lines()
    assert [stage.name for stage in report.stages] == list(verify.STAGES)
    assert report.n_vectors == 64
    assert len(report.lines()) == 5 and "computes what the exporter computed on 64" in report.summary
    assert json.loads(json.dumps(report.as_dict()))["passed"] is True


def test_vectors_exercise_all_that_preprocessing_does(folder: Path) -> None:
    golden = golden_vectors.read_golden(folder / "golden.npz")
    sides = [int(max(box[2:])) for box in golden.boxes]
    assert min(sides) < 2 * SIZE and max(sides) >= 4 * SIZE, "both plain resizing and averaging must occur"
    outside = [box for box, frame in zip(golden.boxes, golden.frames, strict=True) if box[0] < 0 or box[1] < 0]
    assert len(outside) >= 6
    assert all(frame.ndim == 3 and frame.std(axis=2).mean() > 2 for frame in golden.frames), "colour shows channels"
    assert len(set(golden.labels)) >= 3
    assert (folder / "golden.npz").stat().st_size < 1_500_000


def test_frames_are_drawn_alike_every_time() -> None:
    first, boxes, drawn = draw_frames(SIZE, n=4)
    again, boxes_again, _ = draw_frames(SIZE, n=4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert np.array_equal(boxes, boxes_again) and drawn == list(EMOTIONS[:4])


def test_bgr_for_rgb(network: Network, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = preprocess.to_gray
    monkeypatch.setattr(preprocess, "to_gray", lambda image: right(np.ascontiguousarray(image[..., ::-1])))
    stage, cause = diagnosis(replay(network, folder))
    assert stage == "preprocessing" and "channels are swapped" in cause


@pytest.mark.parametrize(("code", "name"), [(cv2.INTER_LINEAR, "INTER_LINEAR "), (cv2.INTER_AREA, "INTER_AREA ")])
def test_another_resize(network: Network, folder: Path, monkeypatch: pytest.MonkeyPatch, code: int, name: str) -> None:
    def resize(gray: npt.NDArray[np.uint8], size: int) -> npt.NDArray[Any]:
        return np.asarray(cv2.resize(gray, (size, size), interpolation=code))

    monkeypatch.setattr(preprocess, "resize_gray", resize)
    stage, cause = diagnosis(replay(network, folder))
    assert stage == "preprocessing" and "another resize is used" in cause and name in cause


def test_a_shifted_box_is_preprocessing_too(network: Network, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = preprocess.crop_square
    shift = np.array([2, 0, 0, 0])
    monkeypatch.setattr(preprocess, "crop_square", lambda image, box, margin: right(image, box + shift, margin))
    stage, cause = diagnosis(replay(network, folder))
    assert stage == "preprocessing" and "faces differ" in cause


def test_another_input_scale_is_quantisation(folder: Path) -> None:
    usual = TensorSpec("input", IN.shape, IN.dtype, 1 / 127.5, -1)
    stage, cause = diagnosis(replay(Network(folder / "fer_int8.tflite", specs=(usual, OUT)), folder))
    assert stage == "quantisation" and "zero point -1" in cause


def test_a_wrong_quantiser_of_the_device(network: Network, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = preprocess.to_int8_input
    monkeypatch.setattr(tensors, "to_int8_input", lambda *args: right(*args) // 2 * 2)
    stage, cause = diagnosis(replay(network, folder))
    assert stage == "quantisation" and "by up to 1 steps" in cause


def test_a_corrupt_model_file(folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "fer_int8.tflite"
    damaged.write_bytes(b"the right mode!")
    network = Network(damaged)
    network.weights[1000:1400] = 0.3
    stage, cause = diagnosis(replay(network, folder))
    assert stage == "network" and "corrupt or replaced" in cause and "sha256" in cause


def test_a_dead_network(network: Network, folder: Path) -> None:
    network.after = lambda out: np.full_like(out, -91)
    stage, cause = diagnosis(replay(network, folder))
    assert stage == "network" and "same or no answer for every face" in cause


def test_a_delegate_that_does_not_match(network: Network, folder: Path) -> None:
    rng = np.random.default_rng(0)
    network.after = lambda out: np.clip(out + rng.integers(-1, 2, out.shape), -128, 127).astype(np.int8)
    stage, cause = diagnosis(replay(network, folder))
    assert stage == "network" and "the file is the right one" in cause and "delegate or kernel" in cause


def test_one_step_in_one_output_is_caught_on_litert_and_allowed_on_onnx(folder: Path) -> None:
    calls = iter(range(64))

    def nudge(out: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if next(calls) == 17:
            out[0, 2] += 1
        return out

    exact = Network(folder / "fer_int8.tflite")
    exact.after = nudge
    assert diagnosis(replay(exact, folder))[0] == "network"
    calls = iter(range(64))
    tolerant = Network(folder / "fer_int8.onnx", backend="onnx")
    tolerant.after = nudge
    report = replay(tolerant, folder)
    assert report.passed and "63 of 64 outputs identical" in report.stages[2].detail


def test_tolerance_has_an_end(folder: Path) -> None:
    network = Network(folder / "fer_int8.onnx", backend="onnx")
    network.after = lambda out: np.roll(out, 1, axis=0) if out[0].argmax() else np.full_like(out, 0)
    network.weights *= 0.7
    stage, cause = diagnosis(replay(network, folder))
    assert stage == "network" and cause.startswith("not the network that")


def test_outputs_in_another_order(network: Network, folder: Path) -> None:
    order = [EMOTIONS.index(e) for e in ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")]
    network.after = lambda out: out[:, order]
    stage, cause = diagnosis(replay(network, folder))
    assert stage == "network" and "label order (angry, disgust, fear, happy, sad, surprise, neutral)" in cause


def test_labels_of_the_device_in_another_order(network: Network, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    csv_order = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    monkeypatch.setattr(verify, "EMOTIONS", csv_order)
    stage, cause = diagnosis(replay(network, folder))
    assert stage == "dequantisation" and cause.startswith("wrong label order")


def test_a_wrong_name_for_a_decision(network: Network, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "EMOTIONS", EMOTIONS[::-1])
    stage, cause = diagnosis(replay(network, folder))
    assert stage == "dequantisation" and "wrong label order or decision" in cause


def test_dequantisation_that_wraps_around(network: Network, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrapping(stored: npt.NDArray[Any], spec: TensorSpec) -> npt.NDArray[np.float32]:
        with np.errstate(over="ignore"):
            return (stored - np.int8(spec.zero_point)).astype(np.float32) * np.float32(spec.scale)

    golden = golden_vectors.read_golden(folder / "golden.npz")
    monkeypatch.setattr(verify, "dequantize", wrapping)
    assert not verify._dequantisation(network, golden).passed


def test_float_models_are_held_to_the_float_outputs(folder: Path) -> None:
    network = float_network(folder / "fer_float.tflite")
    report = replay(network, folder)
    assert report.passed and "not applicable" in report.stages[1].detail
    network.weights[:, 0] += 0.01
    assert diagnosis(replay(network, folder))[0] == "network"


def test_another_input_size_is_refused(folder: Path) -> None:
    shape = (1, 32, 32, 3)
    other = Network(folder / "fer_int8.tflite", specs=(TensorSpec("input", shape, IN.dtype, 1 / 128, 0), OUT))
    with pytest.raises(InputError, match=r"for models of input size 24, .* has 32"):
        replay(other, folder)


@pytest.mark.parametrize("damage", ["missing", "text", "truncated", "format"])
def test_damaged_golden_file(folder: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "golden.npz"
    content = (folder / "golden.npz").read_bytes()
    if damage == "text":
        path.write_text("hello")
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "format":
        with np.load(folder / "golden.npz") as stored:
            arrays = dict(stored)
        arrays["info"] = np.asarray(json.dumps({"format": 99}))
        np.savez(path, **arrays)
    with pytest.raises(InputError, match=r"golden\.npz"):
        golden_vectors.read_golden(path) if damage != "missing" else golden_vectors.find_golden(
            tmp_path / "m.tflite", path
        )


def test_golden_file_beside_the_model_is_found(folder: Path) -> None:
    assert golden_vectors.find_golden(folder / "fer_int8.tflite") == folder / "golden.npz"


@pytest.mark.parametrize(
    ("machine", "exact"), [("x86_64", True), ("AMD64", True), ("aarch64", False), ("arm64", False)]
)
def test_litert_must_be_exact_where_the_vectors_were_made(machine: str, exact: bool) -> None:
    """On Arm LiteRT's SOFTMAX rounds one value in hundreds by a step; the decisions must still all be alike."""
    tolerance = verify._tolerance("litert", machine)
    assert tolerance.is_exact is exact
    assert tolerance.agreement == 1.0
    one_step_everywhere = 1 / 256
    assert tolerance.mean_difference < one_step_everywhere / 10
