"""``fer-export`` from a user's Keras model to a finished folder, and every way in which it must write nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.export.tiny import TINY_SIZE, Tiny

import which_runtime
from fer_edge.files import sha256_of
from fer_edge.labels import EMOTIONS
from fer_edge.loading.model_files import read_manifest
from fer_edge.loading.open import open_classifier
from fer_edge.verification.replay import verify
from fer_export.check.layer_error import layer_errors, signal_to_noise_db
from fer_export.cli import main
from fer_export.convert.representative_faces import representative_faces
from fer_export.file_names import MODEL_FILES
from fer_train.data.dataset import load_dataset
from fer_train.evaluation.evaluate import evaluate_classifier
from fer_train.synthetic.faces import synthetic_split

LENIENT = ("--allow-chance", "--max-drop", "25", "--min-agreement", "0.5", "--max-recall-loss", "100", "--threads", "1")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def weights(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "mine.h5"
    tiny.model.save(path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for folder, seed, count in (("train", 1, 8), ("validation", 2, 6)):
        split = synthetic_split(count, seed)
        for i, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
            target = root / folder / EMOTIONS[label] / f"{i}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target), image)
    return root


@pytest.fixture(scope="module")
def exported(weights: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "out"

    def checked(*_: object) -> None:
        raise AssertionError("files that fer-export wrote itself need no check and no child process")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fer_edge.loading.check.check_file", checked)
        assert main(["--int8", "--weights", str(weights), "--data", str(data), "--out", str(out), *LENIENT]) == 0
    return out


def test_all_files_are_there(exported: Path) -> None:
    names = {path.name for path in exported.iterdir()}
    assert names == {*MODEL_FILES, "golden.npz", "manifest.json", "report.md", "report.html"}


def test_manifest_keeps_the_contract(exported: Path, data: Path) -> None:
    manifest = json.loads((exported / "manifest.json").read_text())
    assert {"versions", "commit", "models"} <= set(manifest)
    assert {"python", "numpy", "tensorflow", "onnxruntime", "ai-edge-litert"} <= set(manifest["versions"])
    assert set(manifest["models"]) == set(MODEL_FILES)
    validation = load_dataset(data).split("validation")
    for name, entry in manifest["models"].items():
        assert entry["sha256"] == sha256_of(exported / name)
        assert entry["bytes"] == (exported / name).stat().st_size
        assert entry["labels"] == list(EMOTIONS)
        assert (entry["split"], entry["n_images"]) == ("validation", 42)
        assert 0 <= entry["top1_agreement_with_float"] <= 1
        assert entry["input"]["shape"] == [1, TINY_SIZE, TINY_SIZE, 3] and entry["input"]["layout"] == "NHWC"
        quantised = "int8" in name
        assert entry["input"]["dtype"] == ("int8" if quantised else "float32")
        ends = [(entry[end]["scale"], entry[end]["zero_point"]) for end in ("input", "output")]
        assert ends == ([(1 / 128, 0), (1 / 256, -128)] if quantised else [(None, None)] * 2)
        with open_classifier(exported / name) as classifier:  # type: ignore[attr-defined]
            again = evaluate_classifier(classifier, validation.images, validation.labels, "validation")
        assert entry["accuracy"] == again.accuracy
        assert read_manifest(exported / name) == entry
    assert manifest["quantisation"] == "PTQ"


@pytest.mark.parametrize("name", MODEL_FILES)
def test_golden_vectors_replay(exported: Path, name: str) -> None:
    assert verify(exported / name).passed


def test_a_damaged_weight_is_found_on_the_real_runtime(exported: Path, tmp_path: Path) -> None:
    content = bytearray((exported / "fer_int8.tflite").read_bytes())
    kernel = _largest_constant(bytes(content))
    at = bytes(content).index(kernel)
    content[at : at + len(kernel)] = bytes(len(kernel))
    damaged = tmp_path / "fer_int8.tflite"
    damaged.write_bytes(content)
    report = verify(damaged, exported / "golden.npz")
    assert report.first_difference is not None and report.first_difference.name == "network"
    assert "corrupt or replaced" in report.summary


def _largest_constant(content: bytes) -> bytes:
    from fer_export.tflite_file import read_tflite

    return max((t.data for t in read_tflite(content).tensors if t.data), key=len)


def test_reports_show_what_was_measured(exported: Path) -> None:
    manifest = json.loads((exported / "manifest.json").read_text())
    accuracy = f"{manifest['models']['fer_int8.tflite']['accuracy']:.2%}"
    for name in ("report.md", "report.html"):
        text = (exported / name).read_text()
        assert accuracy in text and "QLinearConv" in text and "DEPTHWISE_CONV_2D" in text
        assert "Quantisation error by layer" in text and "PTQ" in text
        assert all(model in text for model in MODEL_FILES)
    page = (exported / "report.html").read_text()
    assert page.count('class="heat confusion"') == 2 and "http" not in page.split("</style>")[1]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--labels", "fer2014"], 2, "--labels: unknown order 'fer2014'"),
        (["--data", "/nonexistent.zip"], 2, "--data /nonexistent.zip does not exist"),
        ([], 3, "rich is not installed"),
    ],
)
def test_without_rich_a_mistake_is_still_found_first(
    arguments: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    (tmp_path / "mine.h5").touch()
    assert main(["--int8", "--weights", str(tmp_path / "mine.h5"), *arguments]) == code
    assert words in capsys.readouterr().err


def test_failed_gate_writes_nothing_and_says_all(
    weights: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "fer_int8.tflite").write_bytes(b"the earlier export")
    arguments = ["--int8", "--weights", str(weights), "--data", str(data), "--out", str(out), "--threads", "1"]
    assert main([*arguments, "--max-drop", "-100", "--min-agreement", "1", "--coral"]) == 1
    captured = capsys.readouterr()
    assert [path.name for path in out.iterdir()] == ["fer_int8.tflite"]
    assert (out / "fer_int8.tflite").read_bytes() == b"the earlier export"
    error = captured.err[captured.err.index("fer-export: error: ") :]  # notices of the steps come before it
    assert error.count("accuracy drops by") == 3 and "at most -100.00 allowed" in error
    assert "weights are quantised per channel" in error, "PTQ does not fit the Edge TPU, and that is reported too"
    assert error.count("\n") == 1 and "no file was written" in error
    assert "What to do: train longer, or accept the loss with --max-drop " in error
    assert "note: " not in captured.out and "Models (not written)" in captured.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give --int8"),
        (["--int8", "--wieghts", "x"], 2, "did you mean --weights"),
        (["--int8", "--weights", "no/such/folder"], 2, "does not exist"),
        (["--int8", "--weights", "{empty}"], 2, "{empty}"),
        (["--int8", "--weights", "{text}"], 2, "not a Keras model"),
        (["--int8", "--weights", "{folder}"], 2, "config.json"),
        (["--int8", "--weights", "{weights}", "--data", "/nonexistent.zip"], 2, "nonexistent.zip"),
        (["--int8", "--weights", "{weights}", "--data", "{data}", "--split", "test"], 2, "no split 'test'"),
        (["--int8", "--weights", "{weights}", "--out", "{text}"], 2, "is a file"),
        (["--int8", "--weights", "{weights}", "--max-drop", "nan"], 2, "expected a number, got nan"),
        (["--int8", "--weights", "{weights}", "--threads", "0"], 2, "at least 1"),
        (["--int8", "--weights", "{weights}", "--run", "runs/x"], 2, "not allowed with"),
    ],
)
def test_bad_input_is_one_or_two_lines(
    arguments: list[str],
    code: int,
    message: str,
    weights: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"weights": weights, "data": data, "empty": tmp_path / "empty.h5", "text": tmp_path / "text.keras"}
    places["folder"] = tmp_path / "folder"
    places["empty"].touch()
    places["text"].write_text("hello")
    places["folder"].mkdir()
    before = sorted(tmp_path.iterdir())
    assert main([*(argument.format(**places) for argument in arguments), "--quiet"]) == code
    err = capsys.readouterr().err
    assert message.format(**places) in err
    assert 1 <= err.count("\n") <= 2 and "Traceback" not in err
    assert sorted(tmp_path.iterdir()) == before, "bad input must leave no file behind"


def test_without_weights_the_way_out_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fer_export.cli._CHECKOUT_WEIGHTS", tmp_path / "models")
    assert main(["--int8"]) == 2
    assert "train with fer-train and give --run" in capsys.readouterr().err


def test_representatives_are_stratified() -> None:
    split = synthetic_split(20, seed=0)
    faces = representative_faces(split, TINY_SIZE, per_class=4)
    assert faces.shape == (28, TINY_SIZE, TINY_SIZE) and faces.dtype == np.uint8
    assert np.array_equal(faces, representative_faces(split, TINY_SIZE, per_class=4)), "seeded"
    assert len(representative_faces(split, TINY_SIZE, per_class=99)) == len(split)


def test_layer_errors_find_the_ruined_layer(tiny: Tiny) -> None:
    errors = layer_errors(tiny.int8, tiny.floating, tiny.faces[:8])
    assert [e.operator for e in errors][-2:] == ["FULLY_CONNECTED", "SOFTMAX"]
    assert all(10 < e.snr_shadow_db < 80 for e in errors), errors
    assert errors[0].snr_shadow_db > errors[-2].snr_shadow_db, "rounding adds up on the way"
    compared = [e.snr_float_db for e in errors if e.snr_float_db is not None]
    assert len(compared) == len(errors) and min(compared) > 5


def test_signal_to_noise_by_hand() -> None:
    assert signal_to_noise_db(np.array([10.0, 0.0]), np.array([10.0, 1.0])) == pytest.approx(20.0)
    assert signal_to_noise_db(np.ones(3), np.ones(3)) == float("inf")


def test_which_runtime_opens_which_file(exported: Path) -> None:
    """The table of export/README.md says what the runtimes here do: which files come out right, which wrong."""
    written = Path(which_runtime.__file__).with_name("README.md").read_text()
    # This network is small enough for "right" where that of models/ comes "close".
    rows = {line.split(" | ")[0]: line.replace("close", "right") for line in written.splitlines() if line[:2] == "| "}
    heading, _, *lines = which_runtime.table(exported)
    assert heading in written
    compared = [line for line in lines if line.split(" | ")[0] in rows]
    if not any("OpenCV" in line for line in compared):
        pytest.skip("the table knows nothing of this OpenCV")
    assert [line.replace("close", "right") for line in compared] == [rows[line.split(" | ")[0]] for line in compared]
