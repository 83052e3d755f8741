"""``fer-bench robustness`` from end to end, on small models and synthetic faces."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fer_bench.cli import main
from fer_bench.intervals import wilson_interval
from fer_bench.measure.accuracy import load_faces
from fer_bench.request import RobustnessRequest
from fer_bench.robustness.evaluate import chosen_faces, disturbed, measure_robustness
from fer_bench.robustness.markdown import markdown
from fer_bench.robustness.schema import Answer, RobustnessReport
from fer_bench.robustness.summary import Case, Judged, model_entry, pair_entry
from fer_edge.labels import EMOTIONS
from fer_edge.preprocess import resize_gray
from fer_train.disturbances import HELD_OUT, KINDS
from fer_train.evaluation.evaluate import Evaluation
from fer_train.evaluation.paired_interval import paired_drop
from fer_train.synthetic.folder import write_synthetic

CHECKOUT = Path(__file__).parents[2]
MODEL = CHECKOUT / "models/fer_int8.tflite"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 35 synthetic faces for validation."""
    folder = tmp_path_factory.mktemp("drawn") / "data"
    write_synthetic(folder, {"train": 1, "validation": 5, "test": 0})
    return folder


def run(*arguments: str) -> int:
    return main(["robustness", *arguments])


def figures(report: RobustnessReport) -> list[Any]:
    return [(model.clean, model.answers, model.mean) for model in report.models] + [report.pairs]


def test_two_models_with_json_and_picture(
    tiny_onnx: Path, slower_onnx: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, picture = tmp_path / "new/r.json", tmp_path / "p.png"
    models = ["--model", str(tiny_onnx), "--model", str(slower_onnx), "--data", str(data)]
    kinds = ["--kind", "noise", "--kind", "glare", "--kind", "hidden"]
    files = ["--json", str(record), "--markdown", str(tmp_path / "m.md"), "--picture", str(picture)]
    assert run(*models, *kinds, "--limit", "30", *files) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    assert "slower.onnx against tiny.onnx" in shown
    assert "glare *" in shown and "read noise   " in shown
    assert "held out of training" in shown
    content = json.loads(record.read_text())
    assert content["schema"] == "fer-bench-robustness/1"
    assert set(content) == {field.name for field in fields(RobustnessReport)}
    assert [kind["name"] for kind in content["kinds"]] == ["noise", "glare", "hidden"]
    assert (content["n_images"], content["split"], content["data"]) == (30, "validation", "data")
    assert (tmp_path / "m.md").read_text() == markdown(content)
    tiny, slower = content["models"]
    assert set(tiny["clean"]) == {field.name for field in fields(Answer)}
    assert [(answer["kind"], answer["strength"]) for answer in tiny["answers"]] == [
        (kind, strength) for kind in ("noise", "glare", "hidden") for strength in (1, 2, 3)
    ]
    assert tiny["mean"]["accuracy"] == pytest.approx(np.mean([answer["accuracy"] for answer in tiny["answers"]]))
    (pair,) = content["pairs"]
    for before, after, difference in zip(tiny["answers"], slower["answers"], pair["differences"], strict=True):
        gained = 100 * (after["accuracy"] - before["accuracy"])
        assert difference["difference_points"] == pytest.approx(gained)
        low, high = difference["difference_ci95_points"]
        assert low < high
        assert 0 <= difference["agreement"] <= 1
    drawn = cv2.imread(str(picture))
    assert drawn is not None and drawn.std() > 5


def test_the_figures_depend_on_nothing_but_the_request(
    tiny_onnx: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_bench.robustness.evaluate.CHUNK", 9)  # several pieces for several workers
    request = RobustnessRequest(models=(str(tiny_onnx),), data=data, kinds=("noise", "motion"))
    monkeypatch.setattr("fer_bench.robustness.evaluate.usable_cpus", lambda: 3)
    several = measure_robustness(request)
    monkeypatch.setattr("fer_bench.robustness.evaluate.usable_cpus", lambda: 1)
    monkeypatch.setattr("fer_bench.robustness.evaluate.CHUNK", 256)
    assert figures(measure_robustness(request)) == figures(several)


def test_a_limit_or_a_kind_changes_no_disturbance(data: Path) -> None:
    whole, some = chosen_faces(data, "validation"), chosen_faces(data, "validation", limit=10)
    assert some.indices.tolist() == np.linspace(0, len(whole.labels) - 1, 10).astype(int).tolist()
    case = Case("noise", 2)
    assert np.array_equal(disturbed(some, case, 0), disturbed(whole, case, 0)[some.indices])
    part = slice(3, 7)
    assert np.array_equal(disturbed(some, case, 0, part), disturbed(some, case, 0)[part])


def test_larger_faces_are_disturbed_as_models_see_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "validation"):
        for emotion in EMOTIONS:
            folder = tmp_path / split / emotion
            folder.mkdir(parents=True)
            cv2.imwrite(str(folder / "0.png"), rng.integers(0, 256, (120, 120), dtype=np.uint8))
    images = chosen_faces(tmp_path, "validation").images
    assert images.shape == (7, 48, 48)
    resized = [resize_gray(image, 48) for image in load_faces(tmp_path, "validation").images]
    assert np.array_equal(images, np.stack(resized))


def test_the_shipped_model_loses_most_by_noise(data: Path, tmp_path: Path) -> None:
    record = tmp_path / "r.json"
    assert (
        run(
            "--model", str(MODEL), "--kind", "noise", "--kind", "side_light", "--data", str(data), "--json", str(record)
        )
        == 0
    )
    (model,) = json.loads(record.read_text())["models"]
    assert (model["worst"]["kind"], model["worst"]["strength"]) == ("noise", 3)
    assert model["clean"]["accuracy"] > model["worst"]["accuracy"]
    assert model["worst"] == min(model["answers"], key=lambda answer: answer["accuracy"])
    assert model["runtime"].startswith("ai-edge-litert")
    assert len(model["sha256"]) == 64
    assert model["mean_held_out"] is None
    assert model["mean_others"] == model["mean"]


def test_the_model_card_has_the_table_of_the_committed_result() -> None:
    card = (CHECKOUT / "models/README.md").read_text(encoding="utf-8")
    path = CHECKOUT / "models/robustness.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    assert markdown(content) in card
    assert path.with_suffix(".png").name in card and path.with_suffix(".png").is_file()
    manifest = json.loads((CHECKOUT / "models/manifest.json").read_text(encoding="utf-8"))
    (model,) = content["models"]
    assert model["sha256"] == manifest["models"]["fer_int8.tflite"]["sha256"], "measure the new model: see the card"
    # The table says what it was made with; another one needs another measurement.
    there = {kind["name"]: (kind["amounts"], kind["unit"], kind["held_out"]) for kind in content["kinds"]}
    assert there == {name: (list(kind.amounts), kind.unit, kind.held_out) for name, kind in KINDS.items()}
    assert (content["n_images"], content["split"], content["seed"]) == (3589, "validation", 0)


def judged(name: str, right: list[list[bool]], has_probabilities: bool = True) -> Judged:
    """A model whose answers are right or wrong as given: one row per case, the clean one first."""
    labels = np.arange(len(right[0])) % 7
    evaluations = []
    for row in right:
        decisions = np.where(row, labels, (labels + 1) % 7)
        evaluations.append(Evaluation("validation", np.eye(7, dtype=np.float32)[decisions] * 0.9, labels))
    cases = [Case(), Case("noise", 1), Case("glare", 3)]
    return Judged(name, None, "none", cases, evaluations, has_probabilities)


def test_figures_by_hand() -> None:
    t, f = True, False
    first = judged("a", [[t, t, t, f], [t, t, f, f], [t, f, f, f]])
    second = judged("b", [[t, t, t, t], [t, t, t, f], [t, t, f, f]], has_probabilities=False)
    entry = model_entry(first)
    assert [entry.clean.accuracy, *(answer.accuracy for answer in entry.answers)] == [0.75, 0.5, 0.25]
    assert entry.clean.accuracy_ci95 == list(wilson_interval(3, 4))
    assert entry.clean.expected_calibration_error == pytest.approx(0.15)
    assert entry.mean.accuracy == 0.375
    assert entry.mean.relative_to_clean == 0.5
    # Shares of right answers per image: 1, 0.5, 0, 0
    half = 1.959964 * np.std([1, 0.5, 0, 0], ddof=1) / 2
    assert entry.mean.accuracy_ci95 == pytest.approx([max(0, 0.375 - half), 0.375 + half])
    assert entry.mean_held_out is not None and entry.mean_held_out.accuracy == 0.25
    assert entry.mean_others is not None and entry.mean_others.accuracy == 0.5
    assert (entry.worst.kind, entry.worst.strength) == ("glare", 3)
    other = model_entry(second)
    assert other.clean.expected_calibration_error is None
    assert other.mean.expected_calibration_error is None
    pair = pair_entry(first, second)
    assert (pair.first, pair.second) == ("a", "b")
    assert [pair.clean.difference_points, *(one.difference_points for one in pair.differences)] == [25.0, 25.0, 25.0]
    drop = paired_drop(np.array([t, t, t, f]), np.array([t, t, f, f]))
    assert pair.differences[0].difference_ci95_points == [drop.low, drop.high]
    assert pair.mean.difference_points == 25.0
    assert pair.mean.agreement == 0.75


def test_the_list_tells_formulas_strengths_and_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list") == 0
    shown = capsys.readouterr().out
    for name, kind in KINDS.items():
        assert f"{name}: {kind.title}, {kind.amounts[0]:g} / " in shown
    assert shown.count("held out of training") == len(HELD_OUT)
    assert "Hendrycks and Dietterich" in shown and "``" not in shown
    assert max(map(len, shown.splitlines())) <= 124
    assert run("--list", "--kind", "jpeg") == 0
    assert capsys.readouterr().out.startswith("jpeg: JPEG, 25 / 13 / 7 quality\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kind", "nois"], "unknown kind of disturbance 'nois'; did you mean noise?"),
        (["--kind", "zebra"], "there are noise, shot_noise, "),
        (["--kind", ""], "unknown kind of disturbance ''"),
        (["--list", "--kind", "zebra"], "unknown kind of disturbance 'zebra'"),
        (["--limit", "0"], "at least 1"),
        (["--seed", "-1"], "at least 0"),
        (["--model", "missing.tflite"], "no model file missing.tflite"),
        (["--model", "{text}", "--data", "{data}"], "is not a TFLite model"),
        (["--model", "x@nonsense"], "unknown backend 'nonsense'"),
        (["--model", "x@fake", "--data", "missing.zip"], "missing.zip"),
        (["--model", "x@fake", "--split", "test"], "--split test needs --data"),
        (["--model", "x@fake", "--data", "{data}", "--split", "tset"], "unknown split 'tset'"),
        (["--model", "x@fake", "--data", "{folder}"], "{folder}"),
        (["--model", "x@fake", "--json", "{folder}"], "cannot be written: it is a folder"),
        (["--model", "x@fake", "--picture", "{folder}/p.jpg"], "expected a name that ends in .png"),
        (["--model", "x@fake", "--json", "{text}/r.json"], "not a folder"),
        (["--modle", "x"], "did you mean --model?"),
    ],
)
def test_mistakes_are_answered_in_one_line(
    arguments: list[str], words: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.tflite"
    text.write_text("This is not a model, whatever its name says.")
    files = {"text": str(text), "folder": str(tmp_path), "data": str(data)}
    assert run(*[argument.format(**files) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert words.format(**files) in error
    assert len(error.splitlines()) == 1
    assert error.startswith("fer-bench robustness: error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["text.tflite"]


def test_a_missing_matplotlib_is_told_before_the_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    monkeypatch.setattr("fer_bench.robustness.command.measure_robustness", lambda *_: pytest.fail("it began"))
    assert run("--model", "x@fake", "--picture", str(tmp_path / "p.png")) == 3
    assert "matplotlib" in capsys.readouterr().err
