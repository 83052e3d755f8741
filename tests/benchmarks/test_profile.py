"""Per-operator profiles: multiply-accumulates against hand counts, operators cut out that still compute the same."""

from __future__ import annotations

import dataclasses
import math
import os
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from rich.console import Console
from tests.benchmarks.conftest import write_tiny_onnx
from tests.benchmarks.report_examples import a_report, a_result

from fer_bench.cli import main
from fer_bench.measure.detector_profile import DetectorNetwork, detector_network, profile_detector
from fer_bench.measure.operator_profile import cut_out_operators, profile_model, summarise_onnx, tflite_macs
from fer_bench.measure.worker_client import Contender, Remote
from fer_bench.report.operator_profile import print_profile, profile_section
from fer_bench.report_file import parse_report, read_report
from fer_bench.schema import OperatorProfile, Profile
from fer_edge.errors import InputError, ModelError
from fer_edge.loading.model_files import find_model


@pytest.mark.parametrize(
    ("operator", "inputs", "output", "macs"),
    [
        ("CONV_2D", [(1, 96, 96, 3), (32, 3, 3, 3), (32,)], (1, 48, 48, 32), 48 * 48 * 32 * 27),
        ("DEPTHWISE_CONV_2D", [(1, 48, 48, 32), (1, 3, 3, 32), (32,)], (1, 48, 48, 32), 48 * 48 * 32 * 9),
        ("FULLY_CONNECTED", [(1, 1280), (7, 1280), (7,)], (1, 7), 1280 * 7),
        ("ADD", [(1, 6, 6, 64), (1, 6, 6, 64)], (1, 6, 6, 64), 0),
    ],
)
def test_macs_by_hand(operator: str, inputs: list[tuple[int, ...]], output: tuple[int, ...], macs: int) -> None:
    assert tflite_macs(operator, inputs, output) == macs


def test_onnx_operators_by_the_runtime_s_profiler(tmp_path: Path) -> None:
    path = write_tiny_onnx(tmp_path / "m.onnx", channels=20, size=48)
    with Remote(Contender(path, "onnx")) as remote:
        found = remote.profile(0.1)
    by_kind = {one["operator"]: one for one in found["operators"]}
    convolutions = [one for kind, one in by_kind.items() if "Conv" in kind]
    assert [one["n_macs"] for one in convolutions] == [48 * 48 * 20 * 3 * 25]
    dense = next(one for kind, one in by_kind.items() if "Gemm" in kind or "MatMul" in kind)
    assert dense["n_macs"] == 20 * 7
    assert by_kind["Softmax"]["n_macs"] == 0
    total = sum(one["time_us"] for one in found["operators"])
    assert 0 < total < 1.5 * found["whole_us"]


def test_channels_that_the_runtime_pads_are_no_work() -> None:
    """ONNX Runtime rounds 24 channels up to its block of 16; depthwise weights hold one channel each."""
    shapes: dict[str, tuple[int, ...]] = {"project": (24, 144, 1, 1), "depthwise": (24, 1, 3, 3)}
    events: list[dict[str, Any]] = [{"cat": "Session", "name": "model_run", "dur": 20}]
    for name in shapes:
        facts = {
            "op_name": "Conv",
            "output_type_shape": [{"float": [1, 32, 12, 12]}],
            "input_type_shape": [{"float": [1, 144, 12, 12]}],
        }
        events.append({"cat": "Node", "name": f"{name}_nchwc_kernel_time", "args": facts, "dur": 10})
    found = summarise_onnx(events, shapes)
    assert [one["n_macs"] for one in found["operators"]] == [12 * 12 * 24 * 144, 12 * 12 * 24 * 9]


@pytest.mark.parametrize("output", [(1, 1280, 3, 3), (1, 3, 3, 1280)])
def test_channels_first_or_last_is_the_same_work(output: tuple[int, ...]) -> None:
    """8-bit convolutions run with the channels last, whatever the graph says."""
    facts = {
        "op_name": "QLinearConv",
        "output_type_shape": [{"uint8": list(output)}],
        "input_type_shape": [{"uint8": [1, 320, 3, 3]}],
    }
    events: list[dict[str, Any]] = [
        {"cat": "Session", "name": "model_run", "dur": 20},
        {"cat": "Node", "name": "last_kernel_time", "args": facts, "dur": 10},
    ]
    found = summarise_onnx(events, {"last": (1280, 320, 1, 1)})
    assert [one["n_macs"] for one in found["operators"]] == [3 * 3 * 1280 * 320]


def test_events_of_the_first_run_are_left_out() -> None:
    facts = {"op_name": "Relu", "output_type_shape": [{"float": [1, 4]}], "input_type_shape": [{"float": [1, 4]}]}
    event: dict[str, Any] = {"cat": "Node", "name": "r_kernel_time", "args": facts}
    events = [event | {"dur": dur} for dur in (900, 10, 12, 11)]
    events += [{"cat": "Session", "name": "model_run", "dur": dur} for dur in (1000, 20, 22, 21)]
    found = summarise_onnx(events, {})
    assert found["whole_us"] == 21
    assert found["operators"] == [{"operator": "Relu", "output_shape": [1, 4], "n_macs": 0, "time_us": 11.0}]


def test_operators_cut_out_of_a_tflite_model_compute_what_they_did_inside() -> None:
    """Run one after the other they give the whole model's output, bit by bit."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    try:
        content = find_model().read_bytes()
    except ModelError:
        pytest.skip("models/fer_int8.tflite is not committed yet")
    parts = cut_out_operators(content)
    whole = Interpreter(model_content=content)
    whole.allocate_tensors()
    entry, leave = whole.get_input_details()[0], whole.get_output_details()[0]
    face = np.random.default_rng(0).integers(-128, 128, entry["shape"]).astype(np.int8)
    whole.set_tensor(entry["index"], face)
    whole.invoke()
    graph = schema.ModelT.InitFromPackedBuf(content, 0).subgraphs[0]
    values = {int(graph.inputs[0]): face}
    for operator, part in zip(graph.operators, parts, strict=True):
        alone = Interpreter(model_content=part["content"])
        alone.allocate_tensors()
        dynamic = [int(i) for i in operator.inputs if int(i) in values]
        for detail, index in zip(alone.get_input_details(), dynamic, strict=True):
            alone.set_tensor(detail["index"], values[index])
        alone.invoke()
        values[int(operator.outputs[0])] = alone.get_tensor(alone.get_output_details()[0]["index"])
    np.testing.assert_array_equal(values[int(graph.outputs[0])], whole.get_tensor(leave["index"]))
    assert sum(part["n_macs"] for part in parts) > 10_000_000


def test_a_backend_without_a_profiler() -> None:
    with pytest.raises(InputError, match="operators on fake cannot be profiled"):
        profile_model(Path("x"), "fake", 1, 0.1)


def a_profile(**changes: Any) -> Profile:
    operators = [
        OperatorProfile("CONV_2D", [1, 48, 48, 32], 2_000_000, 40.0),
        OperatorProfile("QLinearConv", [1, 3, 3, 7], None, 5.0),
        OperatorProfile("SOFTMAX", [1, 7], 0, 1.0),
    ]
    profile = Profile("m.tflite", "litert", 1, "each operator alone", 50.0, operators, True, [])
    return dataclasses.replace(profile, **changes)


def test_rates() -> None:
    first, second, third = a_profile().operators
    assert first.rate_gmac_per_s == pytest.approx(50.0)  # 2 million in 40 us
    assert (second.rate_gmac_per_s, third.rate_gmac_per_s) == (None, None)


def test_profiles_are_shown_and_stored() -> None:
    out = Console(record=True, width=100)
    print_profile(a_profile(valid=False, invalid_reasons=["busy neighbour"]), out)
    text = out.export_text()
    assert "sum 46 us, whole model 50 us" in text
    assert "busy neighbour" in text
    assert "unknown" in text
    assert "invalid timing" in profile_section(a_profile(valid=False, invalid_reasons=["busy neighbour"]))
    report = a_report([a_result()], profiles=[a_profile()])
    assert parse_report(report.as_json(), "r.json") == report
    assert math.isclose(sum(one.time_us for one in report.profiles[0].operators), 46.0)


def made_yunet() -> bytes:
    """YuNet with random weights, as the device writes it."""
    from fer_edge.faces.yunet_tflite import write_yunet
    from fer_edge.faces.yunet_weights import Pair, YuNetWeights

    rng = np.random.default_rng(0)

    def some(*shape: int) -> npt.NDArray[np.float32]:
        return rng.normal(0, 0.1, shape).astype(np.float32)

    def pair(before: int, after: int) -> Pair:
        return Pair(some(after, before), some(after), some(3, 3, after), some(after))

    widths = [16, 16, 16, 32, 32, *[64] * 10]
    pairs = tuple(pair(before, after) for before, after in pairwise(widths))
    return write_yunet(YuNetWeights(some(16, 3, 3, 3), some(16), pairs, (pair(64, 16), pair(64, 16), pair(64, 16))))


def test_the_operators_of_the_face_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = SimpleNamespace(name="yunet", engine="litert", model_path=tmp_path)
    monkeypatch.setattr("fer_bench.measure.detector_profile.open_detector", lambda name, model: network)
    monkeypatch.setattr("fer_edge.faces.yunet_engines.yunet_tflite", lambda path: made_yunet())
    path = tmp_path / "r.json"
    options = ["--no-accuracy", "--seconds", "0.1", "--processes", "1", "--json", str(path)]
    assert main(["--model", "x@fake", "--profile-detector", *options]) == 0
    (profile,) = read_report(path).profiles
    assert (profile.model, profile.backend, profile.threads) == ("yunet", "litert", 1)
    stem = next(one for one in profile.operators if one.operator == "CONV_2D")
    assert (stem.output_shape, stem.n_macs) == ([1, 96, 160, 16], 96 * 160 * 16 * 27)
    assert len(profile.operators) == 46 and all(one.time_us > 0 for one in profile.operators)
    assert "Where the time goes: yunet on litert" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("detector", "engine", "words"), [("haar", None, "haar"), ("yunet", "opencv", "yunet on opencv")]
)
def test_a_detector_that_is_no_network_on_litert_is_refused_at_once(
    detector: str, engine: str | None, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = SimpleNamespace(name=detector, engine=engine, model_path="y.onnx")
    monkeypatch.setattr("fer_bench.measure.detector_profile.open_detector", lambda name, model: found)
    assert main(["--model", "x@fake", "--profile-detector", "--detector", detector, "--quiet"]) == 2
    assert capsys.readouterr().err.strip().endswith(f"--profile-detector works on yunet on LiteRT, not on {words}")


@pytest.mark.parametrize(
    ("name", "engine", "title", "form"),
    [("yunet", "litert", "yunet", ()), ("yunet", "litert-int8", "yunet-int8", ("int8",))],
)
def test_the_form_of_the_detector_s_network_is_that_which_it_runs(
    name: str, engine: str, title: str, form: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = SimpleNamespace(name=name, engine=engine, model_path="y.onnx")
    monkeypatch.setattr("fer_bench.measure.detector_profile.open_detector", lambda name, model: found)
    monkeypatch.setattr("fer_edge.faces.yunet_engines.yunet_tflite", lambda *given: repr(given).encode())
    assert detector_network(name) == DetectorNetwork(title, repr(("y.onnx", *form)).encode())


def test_the_real_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Path(os.environ.get("FER_ASSETS", "none")) / "detectors" / "face_detection_yunet_2023mar.onnx"
    if not model.is_file():
        pytest.skip("FER_ASSETS does not name a folder with detectors/")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    profile = profile_detector(detector_network("yunet", model), 0.1)
    assert sum(one.n_macs or 0 for one in profile.operators) == pytest.approx(51.6e6, rel=0.01)
