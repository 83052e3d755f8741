"""Without a data set, export and benchmark judge models on the same synthetic faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fer_bench.measure.accuracy import load_faces, warn_where_stuck
from fer_bench.measure.worker_client import Contender
from fer_export.cli import _parser, _request
from fer_export.convert.class_order import ORDERS, OWN_ORDER
from fer_train.evaluation.evaluate import Evaluation
from fer_train.synthetic.faces import SYNTHETIC_SPLIT


@pytest.mark.slow
def test_export_and_benchmark_judge_on_the_same_faces() -> None:
    request = _request(_parser().parse_args(["--int8"]), Path("models"), ORDERS[OWN_ORDER])
    faces = load_faces(None, "validation")
    assert faces.name == request.split.name == SYNTHETIC_SPLIT
    assert not request.labelled
    np.testing.assert_array_equal(faces.images, request.split.images)
    np.testing.assert_array_equal(faces.labels, request.split.labels)
    judged = {image.tobytes() for image in request.split.images}
    assert not judged & {image.tobytes() for image in request.representatives.images}


def test_some_of_them_are_spread_over_all_classes() -> None:
    some = load_faces(None, "validation", limit=20)
    assert len(some) == len(some.names) == len(some.images) == 20
    assert len(set(some.labels.tolist())) == 7


def test_a_model_that_answers_one_class_is_named(caplog: pytest.LogCaptureFixture) -> None:
    labels = np.arange(70) % 7
    right = Evaluation("synthetic", np.eye(7, dtype=np.float32)[labels], labels)
    stuck = Evaluation("synthetic", np.tile(np.eye(7, dtype=np.float32)[3], (70, 1)), labels)
    warn_where_stuck([Contender(Path("a.tflite"), "litert"), Contender(Path("b.tflite"), "litert")], [right, stuck])
    assert len(caplog.messages) == 1 and caplog.messages[0].startswith("b.tflite on litert answers happy for 100 % of")
