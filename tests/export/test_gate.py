from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.errors import DataError
from fer_edge.labels import NUM_EMOTIONS
from fer_export.check.gate import (
    Comparison,
    Limits,
    Verdict,
    accepting_options,
    check_quantized,
    check_same_network,
    merge,
)
from fer_train.evaluation.evaluate import Evaluation
from fer_train.evaluation.paired_interval import paired_drop


def evaluation(decisions: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> Evaluation:
    probabilities = np.full((len(labels), NUM_EMOTIONS), 0.05, np.float32)
    probabilities[np.arange(len(labels)), decisions] = 0.7
    return Evaluation("validation", probabilities, labels)


def pair(n: int, lost: int, gained: int) -> Comparison:
    """Two models over ``n`` images: half right in both; one loses the first ones and gains others."""
    labels = np.arange(n, dtype=np.int64) % NUM_EMOTIONS
    wrong = (labels + 1) % NUM_EMOTIONS
    right = np.arange(n) < n // 2
    other = right.copy()
    other[:lost] = False
    other[n // 2 : n // 2 + gained] = True
    return Comparison(
        evaluation(np.where(right, labels, wrong), labels), evaluation(np.where(other, labels, wrong), labels)
    )


def test_drop_and_its_interval_by_hand() -> None:
    drop = pair(1000, lost=30, gained=10).drop
    assert drop.value == pytest.approx(2.0)
    # Bonett and Price: (31 - 11) / 1002 +- 1.96 sqrt((42/1002 - (20/1002)^2) / 1002)
    assert drop.low == pytest.approx(100 * (0.019960 - 0.012606), abs=0.002)
    assert drop.high == pytest.approx(100 * (0.019960 + 0.012606), abs=0.002)


def test_interval_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(400):
        kind = rng.choice(3, size=600, p=[0.06, 0.03, 0.91])  # lost, gained, alike: a true drop of 3 points
        reference = kind != 1
        drop = paired_drop(reference, kind != 0)
        covered += drop.low <= 3.0 <= drop.high
    assert 0.92 <= covered / 400 <= 0.98


def test_pairing_makes_the_interval_narrow() -> None:
    # 40 of 4,000 images differ; two independent proportions of 50 % would give +-2.2 points.
    assert pair(4000, 20, 20).drop.half_width < 0.35


def test_agreement_recall_and_difference() -> None:
    comparison = pair(700, lost=7, gained=0)
    assert comparison.agreement == pytest.approx(0.99)
    name, loss = comparison.largest_recall_loss
    assert (name, round(loss.value, 2)) == ("angry", 1.0)
    assert comparison.mean_probability_difference == pytest.approx(7 * 2 * 0.65 / (700 * 7))
    assert comparison.as_dict()["drop_points"] == pytest.approx(1.0)


def test_good_model_passes() -> None:
    assert check_quantized("m", pair(3589, 20, 15), Limits(), labelled=True) == Verdict((), ())


def test_all_failures_at_once() -> None:
    comparison = pair(700, lost=200, gained=0)
    verdict = check_quantized("m.tflite", comparison, Limits(max_recall_loss=20), labelled=True)
    text = "\n".join(verdict.failures)
    assert "agrees with float on 71.4%" in text
    assert "accuracy drops by 28.57 points" in text and "at most 1.00 allowed" in text
    assert sum("recall of" in line for line in verdict.failures) == NUM_EMOTIONS
    assert not verdict.passed


def test_the_point_estimate_decides_and_few_images_are_said() -> None:
    verdict = check_quantized("m", pair(100, lost=1, gained=2), Limits(), labelled=True)
    assert verdict.passed
    assert len(verdict.remarks) == 1 and "too few images" in verdict.remarks[0] and "100 images" in verdict.remarks[0]
    wide = pair(100, lost=3, gained=1)
    assert wide.drop.low < 0 < wide.drop.value
    assert not check_quantized("m", wide, Limits(max_drop=1.0), labelled=True).passed


def test_recall_of_a_tiny_class_may_scatter() -> None:
    # One of five images lost is 20 points, and chance.
    labels = np.array([1] * 5 + [3] * 995, dtype=np.int64)
    other = labels.copy()
    other[0] = 3
    comparison = Comparison(evaluation(labels, labels), evaluation(other, labels))
    assert comparison.largest_recall_loss[1].value == pytest.approx(20.0)
    assert check_quantized("m", comparison, Limits(), labelled=True).passed


def test_negative_max_drop_demands_a_gain() -> None:
    assert not check_quantized("m", pair(3589, 0, 50), Limits(max_drop=-5), labelled=True).passed
    assert check_quantized("m", pair(3589, 0, 200), Limits(max_drop=-5), labelled=True).passed


def test_qat_may_learn_what_float_had_not() -> None:
    better = pair(1000, lost=50, gained=300)
    verdict = check_quantized("m", better, Limits(), labelled=True)
    assert verdict.passed and "65.0% of images" in verdict.remarks[0] and "more accurate" in verdict.remarks[0]
    assert not check_quantized("m", better, Limits(strict_agreement=True), labelled=True).passed
    assert not check_quantized("m", better, Limits(), labelled=False).passed


def test_without_labels_only_agreement_counts() -> None:
    comparison = pair(280, lost=100, gained=0)
    assert check_quantized("m", comparison, Limits(min_agreement_synthetic=0.6), labelled=False).passed
    assert not check_quantized("m", comparison, Limits(min_agreement_synthetic=0.7), labelled=False).passed


def test_twins_are_held_to_more() -> None:
    verdict = check_same_network("m.onnx", pair(1000, 10, 0), Limits(), labelled=True)
    assert len(verdict.failures) == 2 and "99.00%" in verdict.failures[0]
    assert check_same_network("m.onnx", pair(3589, 3, 3), Limits(), labelled=True).passed


def test_other_images_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="same images"):
        _ = Comparison(pair(10, 0, 0).reference, pair(12, 0, 0).other).agreement


def test_merge_keeps_order_and_drops_repetitions() -> None:
    merged = merge([Verdict(("a",), ("r",)), Verdict(("b", "a"), ("r",))])
    assert merged == Verdict(("a", "b"), ("r",))


def test_a_refusal_names_the_options_with_which_these_models_pass() -> None:
    # Three limits are missed at once: each has its option, and with them (and no others) nothing is left to say.
    worse = [pair(700, lost=200, gained=3), pair(700, lost=210, gained=3)]
    limits = Limits()
    assert not check_quantized("m", worse[0], limits, labelled=True).passed
    words = accepting_options(worse, limits, labelled=True).split()
    given = dict(zip(words[::2], map(float, words[1::2]), strict=True))
    assert sorted(given) == ["--max-drop", "--max-recall-loss", "--min-agreement"]
    accepting = Limits(
        max_drop=given["--max-drop"],
        min_agreement=given["--min-agreement"],
        strict_agreement=True,
        max_recall_loss=given["--max-recall-loss"],
    )
    assert all(check_quantized("m", each, accepting, labelled=True).passed for each in worse)
    assert accepting_options(worse, accepting, labelled=True) == ""
    assert given["--max-drop"] <= worse[1].drop.value + 0.1, "no more than needed"
