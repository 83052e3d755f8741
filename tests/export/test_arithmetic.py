"""INT8 TFLite on the reference kernels, which round as microcontrollers and NPUs do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.export.test_gate import evaluation, pair

from fer_edge.loading.open import open_classifier
from fer_export.check.arithmetic import REFERENCE_NAME, Arithmetic, check_arithmetic, compare_arithmetic
from fer_export.check.gate import Comparison, Limits
from fer_export.request import Steps
from fer_train.evaluation.evaluate import Evaluation, evaluate_classifier
from fer_train.synthetic import synthetic_split

SHIPPED = Path(__file__).parents[2] / "models/fer_int8.tflite"


def test_the_shipped_model_on_reference_kernels() -> None:
    faces = synthetic_split(5, 0)
    classifier = open_classifier(SHIPPED, trusted=True)
    xnnpack = evaluate_classifier(classifier, faces.images, faces.labels, "synthetic")
    classifier.close()
    seen: list[int] = []
    steps: Any = SimpleNamespace(begin=lambda name, total: seen.append(total), advance=seen.append)
    found = compare_arithmetic(SHIPPED, faces.images, xnnpack, xnnpack, steps)
    assert isinstance(found, Arithmetic)
    assert seen == [35, 35]
    # Other arithmetic, or both would be the same; the same network, or they would differ by far.
    assert found.identical_outputs < 1.0
    assert 0.0 < found.largest_difference < 0.2
    assert found.against_xnnpack.agreement >= 0.9
    some = compare_arithmetic(SHIPPED, faces.images, xnnpack, xnnpack, steps, max_images=3)
    assert isinstance(some, Arithmetic)
    kept = [0, 17, 34]
    assert np.array_equal(some.against_xnnpack.other.probabilities, found.against_xnnpack.other.probabilities[kept])
    assert np.array_equal(some.against_float.reference.labels, faces.labels[kept])


def test_a_network_that_they_do_not_compute_is_a_remark(tmp_path: Path) -> None:
    labels = np.zeros(2, np.int64)
    broken = tmp_path / "fer_int8.tflite"
    broken.write_bytes(SHIPPED.read_bytes()[:5000])
    one = evaluation(labels, labels)
    found = compare_arithmetic(broken, np.zeros((2, 48, 48), np.uint8), one, one, Steps())
    assert isinstance(found, str)
    assert "\n" not in found
    verdict = check_arithmetic(found, Limits(), labelled=True)
    assert verdict.passed
    assert REFERENCE_NAME in verdict.remarks[0]


@pytest.mark.parametrize(
    ("n_lost", "labelled", "failure", "remark"),
    [
        (0, True, "", ""),
        (4, True, "", ""),  # 99.6 % alike
        (9, True, "", "agrees with XNNPACK on 99.1% of images (99.3% wanted)"),
        (9, False, "", ""),
        (210, True, "agrees with XNNPACK on 79.0% of images", ""),
        (260, False, "agrees with XNNPACK on 74.0% of images", ""),
    ],
)
def test_how_far_the_two_have_to_agree(n_lost: int, labelled: bool, failure: str, remark: str) -> None:
    alike = pair(1000, 0, 0)
    apart = pair(1000, n_lost, 0)
    verdict = check_arithmetic(Arithmetic(alike, apart), Limits(), labelled=labelled)
    assert failure in "".join(verdict.failures) and bool(verdict.failures) == bool(failure)
    assert remark in "".join(verdict.remarks) and bool(verdict.remarks) == bool(remark)


def test_accuracy_on_the_reference_kernels_is_gated() -> None:
    worse = pair(1000, lost=30, gained=0)
    verdict = check_arithmetic(Arithmetic(worse, pair(1000, 0, 0)), Limits(), labelled=True)
    assert f"{REFERENCE_NAME}: accuracy drops by 3.00 points" in verdict.failures[0]


def test_figures_for_the_manifest() -> None:
    labels = np.arange(4) % 7
    one = evaluation(labels, labels)
    probabilities = one.probabilities.copy()
    probabilities[0] = np.roll(probabilities[0], 1)
    other = Evaluation("validation", probabilities, labels)
    figures = Arithmetic(Comparison(one, other), Comparison(one, other)).as_dict()
    assert figures["n_images"] == 4
    assert figures["accuracy"] == 0.75
    assert figures["identical_outputs"] == 0.75
    assert figures["largest_probability_difference"] == pytest.approx(0.65)
