"""The proof for Ethos-U and TensorFlow Lite Micro: TOSA's reference model, TFLM and the golden vectors, bit for bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fer_edge.errors import CheckFailedError
from fer_export.targets import tosa
from fer_export.targets.environments import ENVIRONMENTS, why_not_installed
from fer_export.targets.job import TargetJob


def needs_tosa() -> None:
    problem = why_not_installed(tosa.ENVIRONMENT)
    if problem is not None:
        pytest.skip(problem)


@pytest.mark.slow
def test_tosa_tflm_and_golden_are_the_same_bits(job: TargetJob) -> None:
    needs_tosa()
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed (extra tflm)")
    from fer_export.targets.micro import run_micro

    tensors = job.golden.tensors[: tosa.PROOF_FACES]
    assert job.golden.double_rounding is not None
    golden = job.golden.double_rounding[: len(tensors)]
    by_tosa = tosa.tosa_outputs(job.int8_tflite, tensors)
    by_tflm, _ = run_micro(job.int8_tflite, tensors)
    assert by_tosa.shape == (20, 7)
    np.testing.assert_array_equal(by_tosa, by_tflm)
    np.testing.assert_array_equal(by_tosa, golden)
    assert not np.array_equal(by_tosa, job.golden.outputs[:20])  # XNNPACK's are others


def test_where_it_is_missing_the_manifest_says_so(job: TargetJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tosa, "why_not_installed", lambda name: f"{name} is not installed")
    assert tosa.proof(job) == {"vectors": 0, "reason": "tosa is not installed"}


def test_other_bits_fail(job: TargetJob, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = job.golden.double_rounding
    assert expected is not None
    answers = {"right": expected[:20], "near": expected[:20].copy(), "wrong": job.golden.outputs[:20]}
    answers["near"][0, int(expected[0].argmin())] += 1
    monkeypatch.setattr(tosa, "why_not_installed", lambda name: None)
    for name, got in answers.items():
        monkeypatch.setattr(tosa, "_computed", lambda digest, model, golden, got=got: got)
        if name == "wrong":
            with pytest.raises(CheckFailedError, match="the TOSA reference model computes 20 golden vectors otherwise"):
                tosa.proof(job)
            continue
        assert tosa.proof(job)["identical_values"] == (140 if name == "right" else 139)
    without = dataclasses.replace(job, golden=dataclasses.replace(job.golden, double_rounding=None))
    assert tosa.proof(without)["vectors"] == 0


def test_its_environment_is_pinned_for_all_our_pythons() -> None:
    environment = ENVIRONMENTS[tosa.ENVIRONMENT]
    for python in environment.pythons:
        pins = environment.requirements(python).read_text()
        assert "tosa-tools==2026.8.0" in pins and "tosa-converter-for-tflite==2026.2.0" in pins
