"""Networks of other people: fed and read as they were trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.export.kinds import KINDS, network
from tests.export.tiny import TINY_SIZE, Tiny

from fer_edge.errors import UsageError
from fer_edge.preprocess import resize_gray, to_float_input
from fer_export.check.plausible import ignores_its_input, knows_nothing
from fer_export.convert.class_order import ORDERS, class_order
from fer_export.convert.keras_model import INPUT_RANGES, UserModel, load_weights
from fer_export.judge import plausible as _plausible
from fer_export.request import ExportRequest, Steps
from fer_train.data.dataset import Split
from fer_train.evaluation.evaluate import Evaluation
from fer_train.synthetic.faces import SYNTHETIC_SPLIT, judging_split, synthetic_split

SEEN: dict[str, tuple[float, float]] = {
    "ours": (1.0, 0.0),
    "keras": (127.5 / 128, 127.5 / 128 - 1),
    "unit": (255 / 128, -1.0),
    "pixels": (1 / 128, -1.0),
}
"""What undoes each input range: ``x * a + b`` is ours again."""


def slow(*values: str) -> Any:
    """A further case of its kind."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def faces() -> Split:
    split = synthetic_split(30, seed=3)
    return Split("validation", split.images, split.labels, split.names)


@pytest.fixture(scope="module")
def able(tiny: Tiny) -> Any:
    """The tiny network, trained until it tells most classes apart: a wrong order must cost it something."""
    import tf_keras

    model = tf_keras.models.clone_model(tiny.model)
    model.set_weights(tiny.model.get_weights())
    model.compile(tf_keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(to_float_input(tiny.faces), synthetic_split(30, seed=3).labels, batch_size=30, epochs=25, verbose=0)
    return model


def trained_otherwise(able: Any, path: Path, input_range: str, order: tuple[int, ...]) -> Path:
    """The tiny network as if it had been trained with another input range and another order of classes."""
    import tf_keras
    from tf_keras import layers

    inputs = layers.Input((TINY_SIZE, TINY_SIZE, 3))
    features = tf_keras.Model(able.inputs, able.layers[-2].output)
    last = layers.Dense(7, activation="softmax")
    model = tf_keras.Model(inputs, last(features(layers.Rescaling(*SEEN[input_range])(inputs))))
    kernel, bias = able.layers[-1].get_weights()
    last.set_weights([kernel[:, list(order)], bias[list(order)]])
    model.save(path)
    return path


def judged(path: Path, split: Split, input_range: str, labels: str) -> tuple[str, ...]:
    """What the gate says of the float network itself: failures, or without labelled data and failures, remarks."""
    order = class_order(labels)
    trained = load_weights(path, input_range, order)
    assert isinstance(trained, UserModel)
    small = np.stack([resize_gray(image, trained.input_size) for image in split.images])
    reference = Evaluation(split.name, trained.predict_with(input_range, small), split.labels)
    request = ExportRequest(path, path.parent, split, split, input_range=input_range, order=order)
    verdict = _plausible(request, trained, reference, Steps())
    return verdict.failures or verdict.remarks


@pytest.mark.parametrize("truth", [slow("keras"), slow("unit"), "pixels"])
def test_a_wrong_input_range_is_refused_and_the_right_one_named(
    able: Any, faces: Split, tmp_path: Path, truth: str
) -> None:
    path = trained_otherwise(able, tmp_path / "m.h5", truth, ORDERS["ours"])
    assert judged(path, faces, truth, "ours") == ()
    if truth != "keras":  # half a grey level from ours: no answer changes
        assert f"--input-range {truth} " in judged(path, faces, "ours", "ours")[-1]


def test_ours_fed_with_pixels_is_refused(able: Any, faces: Split, tmp_path: Path) -> None:
    path = trained_otherwise(able, tmp_path / "m.h5", "ours", ORDERS["ours"])
    assert "--input-range ours " in judged(path, faces, "pixels", "ours")[-1]


@pytest.mark.parametrize(
    ("labels", "input_range"),
    [
        slow("fer2013", "ours"),
        slow("affectnet", "ours"),
        slow("rafdb", "ours"),
        ("sad,happy,neutral,fear,angry,surprise,disgust", "ours"),
        ("fer2013", "pixels"),
    ],
)
def test_another_order_of_classes_is_refused_and_named(
    able: Any, faces: Split, tmp_path: Path, labels: str, input_range: str
) -> None:
    path = trained_otherwise(able, tmp_path / "m.h5", input_range, class_order(labels))
    assert judged(path, faces, input_range, labels) == ()
    line = judged(path, faces, "ours", "ours")[-1]
    assert f"--labels {labels}" in line and (f"--input-range {input_range}" in line) == (input_range != "ours")


@pytest.mark.parametrize(
    ("truth", "asked"), [slow("fer2013", "affectnet"), slow("rafdb", "ferplus"), ("ours", "fer2013")]
)
def test_the_right_order_is_named_whatever_was_asked_for(
    able: Any, faces: Split, tmp_path: Path, truth: str, asked: str
) -> None:
    path = trained_otherwise(able, tmp_path / "m.h5", "ours", class_order(truth))
    assert f"--labels {truth} far better" in judged(path, faces, "ours", asked)[-1]


@pytest.mark.parametrize("name", ["validation", SYNTHETIC_SPLIT])
def test_faces_that_the_network_does_not_know_tell_less(able: Any, faces: Split, tmp_path: Path, name: str) -> None:
    """A network that was trained on people, judged on drawn faces, or the other way round: it fits by luck alone."""
    rng = np.random.default_rng(1)
    chance = rng.permutation(faces.labels)
    some = np.where(rng.random(len(chance)) < 0.2, faces.labels, chance)
    stuck = trained_otherwise(able, tmp_path / "p.h5", "pixels", ORDERS["ours"])
    lines = " ".join(judged(stuck, Split(name, faces.images, chance, faces.names), "ours", "ours"))
    assert "but not with --input-range pixels, and its layer rescaling" in lines
    if name == SYNTHETIC_SPLIT:
        path = trained_otherwise(able, tmp_path / "u.h5", "unit", ORDERS["ours"])
        assert judged(path, Split(name, faces.images, some, faces.names), "ours", "ours") == ()


@pytest.mark.parametrize(
    ("truth", "labels", "asked", "expected"),
    [
        ("pixels", "ours", "ours", "but not with --input-range pixels, and its layer rescaling"),
        slow("pixels", "rafdb", "keras", "but not with --input-range pixels"),
        slow("pixels", "fer2013", "pixels", "synthetic faces fit --labels fer2013 far better"),
        slow("unit", "ours", "ours", "synthetic faces fit --input-range unit far better"),
        ("pixels", "ours", "pixels", ""),
    ],
)
def test_without_data_drawn_faces_tell_what_they_can(
    able: Any, faces: Split, tmp_path: Path, truth: str, labels: str, asked: str, expected: str
) -> None:
    path = trained_otherwise(able, tmp_path / "m.h5", truth, class_order(labels))
    drawn = Split(SYNTHETIC_SPLIT, faces.images, faces.labels, faces.names)
    lines = judged(path, drawn, asked, "ours")
    assert expected in " ".join(lines) and bool(lines) == bool(expected)


@pytest.mark.parametrize("kind", ["untrained", "dull everywhere"])
def test_an_untrained_network_is_exported_without_data(tmp_path: Path, kind: str) -> None:
    """Whoever tries the tools has no trained network yet; one class for all synthetic faces is no proof of anything."""
    import keras

    model = network(keras, KINDS["max pooling"])
    if kind != "untrained":
        kernel, bias = model.layers[-1].get_weights()
        model.layers[-1].set_weights([kernel * 0.05, bias + np.eye(7)[2]])
    path = tmp_path / "m.keras"
    model.save(path)
    assert judged(path, judging_split(per_class=10), "ours", "ours") == ()


def test_worse_than_a_die_is_no_better_than_chance() -> None:
    """Answers that are nearly all of a rare class are "better than chance" by Cohen's count, at 9 % of the images."""
    labels = np.repeat(np.arange(7), [40, 10, 40, 90, 60, 60, 40])
    decided = np.ones(len(labels), np.int64)
    decided[:20] = 0
    rare = Evaluation("validation", np.eye(7, dtype=np.float32)[decided], labels)
    assert rare.accuracy < 0.1
    assert "no better than chance (14.3%)" in str(knows_nothing(rare))


def test_the_exported_network_answers_in_our_order(able: Any, faces: Split, tmp_path: Path) -> None:
    path = trained_otherwise(able, tmp_path / "m.h5", "ours", ORDERS["affectnet"])
    trained = load_weights(path, "ours", class_order("Neutral,happiness,Sadness,surprise,fear,disgust,anger"))
    x = to_float_input(np.stack([resize_gray(image, TINY_SIZE) for image in faces.images[:1]]))
    np.testing.assert_allclose(trained.float_model()(x).numpy(), able(x).numpy(), atol=1e-5)


def test_our_order_has_its_plain_name() -> None:
    assert class_order("alphabetical") == ORDERS["ours"]


@pytest.mark.parametrize(
    "text", ["fer2014", "angry,sad", "angry,angry,fear,happy,neutral,sad,surprise", "a,b,c,d,e,f,g"]
)
def test_an_unknown_order_is_one_line(text: str) -> None:
    with pytest.raises(UsageError, match="--labels: ") as caught:
        class_order(text)
    assert "\n" not in str(caught.value)


def test_chance_and_one_class_are_told(faces: Split) -> None:
    rng = np.random.default_rng(0)
    chance = rng.dirichlet(np.ones(7), len(faces)).astype(np.float32)
    stuck = np.tile(np.eye(7, dtype=np.float32)[3], (len(faces), 1))
    right = np.eye(7, dtype=np.float32)[faces.labels]
    assert "no better than chance (14" in str(knows_nothing(Evaluation("validation", chance, faces.labels)))
    assert "answers happy for 100%" in str(knows_nothing(Evaluation("validation", stuck, faces.labels)))
    assert knows_nothing(Evaluation("validation", right, faces.labels)) is None
    mostly = np.where((np.arange(len(faces)) % 4 == 0)[:, None], right, chance)
    assert knows_nothing(Evaluation("validation", mostly, faces.labels)) is None
    assert ignores_its_input(stuck) and not ignores_its_input(chance)


def test_every_range_is_tried() -> None:
    assert set(INPUT_RANGES) == set(SEEN)
