"""Targets: a toy one as one new file from the command line, the gate around it, and the table."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.export.test_export_command import LENIENT
from tests.export.tiny import Tiny

import fer_export.targets
import fer_export.targets.available
from fer_edge.errors import FerError, MissingDependencyError, UsageError
from fer_edge.files import sha256_of
from fer_edge.verification.golden import own_outputs_name, read_golden
from fer_export.cli import main
from fer_export.request import Steps
from fer_export.targets import chosen_targets, targets
from fer_export.targets.job import TargetJob
from fer_export.targets.run import run_targets

ROOT = Path(__file__).parents[2]
TOY = '''
"""A toy: the file as it is, an operator counted, and a simulator that gives the reference kernels' answers."""
from fer_export.targets.spec import Target


def convert(job):
    from fer_edge.errors import CheckFailedError
    from fer_export.targets.job import Conversion

    if MORE == "refuse":
        raise CheckFailedError("operator ROLL is not known to this chip")
    path = job.out / "fer_int8.toy"
    path.write_bytes(job.int8_tflite.read_bytes())
    return Conversion(
        path, "toy compiler 1.0", 63, 2 if MORE == "cpu" else 0, 4096, "toy memory", 1.5, "estimate of a toy"
    )


def check(job, conversion):
    import numpy as np
    from fer_export.targets.judging import judge

    def compute(tensors):
        answers = np.full((len(tensors), 7), -128, np.int8)
        if MORE == "wrong":
            answers[np.arange(len(tensors)), np.arange(1, len(tensors) + 1) % 7] = 127
            return answers
        from fer_edge.loading.open import open_classifier

        network = open_classifier(job.int8_tflite, trusted=True)
        return np.concatenate([network.infer(tensor[None]) for tensor in tensors])

    return judge(
        job, conversion, target="toy", arithmetic="own", computed_by="toy simulator", compute=compute, keep_golden=True
    )


TARGET = Target("toy", "Toy board", "toy compiler 1.0", "everything", "own", convert, check, why_not_here=lambda: WHY)
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Puts a new module into the folder of targets."""
    folder = tmp_path / "more"
    folder.mkdir()

    def write(more: str = "", why: str | None = None) -> None:
        (folder / "toy.py").write_text(TOY.replace("MORE", repr(more)).replace("WHY", repr(why)))

    name = "fer_export.targets.available.toy"
    monkeypatch.setattr(fer_export.targets.available, "__path__", [*fer_export.targets.available.__path__, str(folder)])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sys.modules.pop(name, None)
    targets.cache_clear()
    yield write
    sys.modules.pop(name, None)
    targets.cache_clear()


@pytest.fixture(scope="module")
def weights(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "mine.h5"
    tiny.model.save(path)
    return path


def export(weights: Path, out: Path, *more: str) -> int:
    return main(["--int8", "--weights", str(weights), "--out", str(out), "--target", "toy", *LENIENT, *more])


@pytest.mark.slow
def test_one_new_file_is_a_target(toy: Any, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is converted, judged, described in all three places, and its answers are among the golden vectors."""
    toy()
    out = tmp_path / "out"
    assert export(weights, out, "--nchw") == 0
    model = out / "toy" / "fer_int8.toy"
    manifest = json.loads((out / "manifest.json").read_text())
    entry = manifest["targets"]["toy"]
    assert entry["model"] == "toy/fer_int8.toy" and entry["sha256"] == sha256_of(model)
    assert (entry["accelerator_operators"], entry["cpu_operators"]) == (63, 0)
    assert entry["estimated_time_ms"] == 1.5 and entry["time_source"] == "estimate of a toy"
    assert entry["top1_agreement_with_int8"] == entry["identical_values"] == 1.0
    shown = capsys.readouterr().out
    assert "63/63" in shown and "100.0%" in shown
    assert "toy/ (1 file)" in shown and "calibration/ (" in shown and "000.png" not in shown
    for text in ((out / "report.md").read_text(), (out / "report.html").read_text()):
        assert "63 of 63" in text and "toy" in text
    golden = read_golden(out / "golden.npz")
    own = golden.own_outputs[own_outputs_name(sha256_of(model))]
    np.testing.assert_array_equal(own, golden.outputs)
    assert golden.double_rounding is not None and golden.double_rounding.shape == own.shape
    assert {"fer_float_nchw.onnx", "calibration", "toy"} <= {path.name for path in out.iterdir()}
    nchw = manifest["fer_float_nchw.onnx"]
    assert nchw["calibration_faces"] == len(list((out / "calibration" / "png").iterdir()))
    assert nchw["top1_agreement_with_int8"] > 0.9
    listed = (out / "calibration" / "npz.txt").read_text().split()
    assert np.load(out / "calibration" / listed[0])["input"].shape == (1, 3, 32, 32)


@pytest.mark.slow
def test_nothing_is_written_when_a_target_fails(
    toy: Any, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy("cpu")
    out = tmp_path / "out"
    assert export(weights, out) == 1
    error = capsys.readouterr().err
    assert "toy: 2 of 65 operators are left to the CPU, expected none" in error and "no file was written" in error
    assert not out.exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("wrong", "toy: decides like the INT8 TFLite file on"),
        ("refuse", "toy: operator ROLL is not known to this chip"),
    ],
)
def test_a_target_that_fails_is_named_with_its_reason(toy: Any, job: TargetJob, more: str, words: str) -> None:
    toy(more)
    results, verdict = run_targets(chosen_targets(["toy"]), job, job.out, Steps())
    assert len(verdict.failures) == 1 and words in verdict.failures[0]
    assert len(results) == (1 if more == "wrong" else 0)  # its row is shown, where there is one


def test_a_missing_tool_is_named_before_anything_is_loaded(
    toy: Any, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy(why="toy compiler is not installed; install it with: pip install toy")
    with pytest.raises(MissingDependencyError, match="--target toy: toy compiler is not installed"):
        chosen_targets(["toy"])
    assert export(weights, tmp_path / "out") == 3
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_names_are_checked() -> None:
    with pytest.raises(UsageError, match=r"unknown target 'ethos-u55-12'.*ethos-u55-128"):
        chosen_targets(["ethos-u55-12"])


def test_a_file_without_a_target_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half.py").write_text("TARGET = (1,)\n")
    monkeypatch.setattr(fer_export.targets.available, "__path__", [str(tmp_path)])
    targets.cache_clear()
    with pytest.raises(FerError, match=r"half: expected TARGET = Target\(...\), got 1"):
        targets()
    monkeypatch.undo()
    targets.cache_clear()
    sys.modules.pop("fer_export.targets.available.half", None)


def test_the_list_needs_no_tool_and_no_framework(tmp_path: Path) -> None:
    """A copy of the package with one more file: found from the command line, and nothing heavy is loaded for it."""
    home = tmp_path / "export"
    shutil.copytree(ROOT / "export" / "fer_export", home / "fer_export", ignore=shutil.ignore_patterns("__pycache__"))
    path = home / "fer_export" / "targets" / "available" / "toy.py"
    path.write_text(TOY.replace("MORE", "''").replace("WHY", "None"))
    code = (
        "import sys\n"
        "from fer_export.cli import main\n"
        "assert main(['--target', 'list']) == 0\n"
        "heavy = ('tensorflow', 'onnx', 'ethosu', 'tflite_micro', 'ai_edge_litert')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    environment["PYTHONPATH"] = os.pathsep.join([str(home), str(ROOT / "edge"), str(ROOT / "train")])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    head, *rows, loaded = done.stdout.splitlines()
    assert loaded == "[]", done.stderr
    assert head.split()[:2] == ["target", "devices,"]
    names = [row.split()[0] for row in rows]
    assert {"toy", "tflm"} <= set(names)
    assert len([name for name in names if name.startswith("ethos-u")]) >= 11
    toy_row = next(row for row in rows if row.startswith("toy "))
    assert "Toy board" in toy_row and "ready" in toy_row and "everything" in toy_row
