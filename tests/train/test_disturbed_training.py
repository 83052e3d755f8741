"""Training on disturbed faces: what is drawn, what the teacher sees, what is minimised, and that it resumes exactly."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.train import networks
from tests.train.networks import RECIPE, SIZE, run_with_weights, training_data
from tests.train.test_stages import CrashError, arrays, small_network

from fer_edge.errors import UsageError
from fer_edge.preprocess import resize_gray
from fer_train.commands.recipe import recipe_from
from fer_train.disturbances import FOR_TRAINING, HELD_OUT
from fer_train.inputs import disturbing as module
from fer_train.inputs.batches import Batches
from fer_train.inputs.disturbing import Disturbing, disturbed_validation
from fer_train.inputs.mixing import Mixing
from fer_train.runs.history import read_metrics
from fer_train.runs.plots import draw_curves
from fer_train.runs.recipe import Recipe
from fer_train.runs.run_folder import RunFolder
from fer_train.training.judging import judge
from fer_train.training.objective import Objective, divergence

pytest.importorskip("tensorflow_model_optimization", reason="the [train] extra is not installed")
DATA = training_data()
ROBUST = dataclasses.replace(
    RECIPE, disturb=0.8, consistency=2.0, epochs=2, head_epochs=0, checkpoint_steps=2, disturbed_images=12, mixup=0.2
)
"""Three batches per epoch, a checkpoint behind the second of them."""


def batches(disturbing: Disturbing, epoch: int = 3, mixing: Mixing | None = None) -> Batches:
    given: dict[str, Any] = {"input_size": SIZE, "batch_size": 16, "seed": 9, "epoch": epoch}
    return Batches(DATA.images, DATA.targets, DATA.weights, **given, mixing=mixing, disturbing=disturbing)


def test_disturbed_batches_follow_from_seed_epoch_and_number_alone() -> None:
    disturbing = Disturbing(0.5)
    in_order = [batches(disturbing)[i][0] for i in range(3)]
    for index in (2, 0, 1):  # any order, as threads ask
        np.testing.assert_array_equal(batches(disturbing)[index][0], in_order[index])
    np.testing.assert_array_equal(batches(disturbing).piece(1, 9)[0][0], in_order[1])
    assert len(batches(disturbing).piece(1, 9)) == 2
    for one, other in zip(batches(disturbing), in_order, strict=True):
        np.testing.assert_array_equal(one[0], other)
    assert not np.array_equal(batches(disturbing, 4)[0][0], in_order[0])


def test_as_many_are_disturbed_as_wanted_and_the_clean_face_comes_along() -> None:
    changed = 0
    for index in range(3):
        plain = batches(Disturbing())[index]
        faces, targets, weights = batches(Disturbing(0.5, with_clean=True))[index]
        assert faces.shape == (16, 2, SIZE, SIZE)
        np.testing.assert_array_equal(faces[:, 1], plain[0])
        np.testing.assert_array_equal(faces[:, 0], batches(Disturbing(0.5))[index][0])
        np.testing.assert_array_equal(targets, plain[1])
        np.testing.assert_array_equal(weights, plain[2])
        changed += int((faces[:, 0] != plain[0]).any(axis=(1, 2)).sum())
    assert 14 <= changed <= 34  # of 48


def test_both_views_are_mixed_with_the_same_face() -> None:
    mixing = Mixing(mixup=0.4, cutmix=1.0)
    faces, targets, _ = batches(Disturbing(1.0, with_clean=True), mixing=mixing)[0]
    clean, plain_targets, _ = batches(Disturbing(), mixing=mixing)[0]
    np.testing.assert_array_equal(faces[:, 1], clean)
    np.testing.assert_array_equal(targets, plain_targets)
    assert (faces[:, 0] != clean).any()


def test_training_never_uses_the_kinds_that_are_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[tuple[str, float]] = []

    def note(face: Any, kind: Any, strength: float, _: Any) -> Any:
        used.append((kind.name, strength))
        return face

    monkeypatch.setattr(module, "disturb", note)
    disturbing = Disturbing.of(Recipe(disturb=1.0, disturb_weakest=1.5, disturb_strongest=2.5), with_clean=False)
    for epoch in range(4):
        for _ in batches(disturbing, epoch):
            pass
    assert {name for name, _ in used} == {*FOR_TRAINING}
    assert 1.5 <= min(strength for _, strength in used) < 1.7
    assert 2.3 < max(strength for _, strength in used) <= 2.5
    used.clear()
    disturbed_validation(Recipe(disturb=1.0), DATA)
    assert {name for name, _ in used[:21]} <= {*FOR_TRAINING}
    assert {name for name, _ in used[21:]} == {*HELD_OUT}


def test_disturbed_validation_faces_are_always_the_same() -> None:
    assert disturbed_validation(Recipe(), DATA) is None
    found = disturbed_validation(Recipe(disturb=0.1, disturbed_images=9), DATA)
    again = disturbed_validation(Recipe(disturb=0.9, disturbed_images=9, seed=7, disturb_kinds=("noise",)), DATA)
    assert found is not None
    assert again is not None
    np.testing.assert_array_equal(found.trained, again.trained)
    np.testing.assert_array_equal(found.held_out, again.held_out)
    rows = np.linspace(0, 20, 9).astype(int)
    np.testing.assert_array_equal(found.labels, DATA.validation_labels[rows])
    for faces in (found.trained, found.held_out):
        small = np.stack([resize_gray(DATA.validation_images[row], 48) for row in rows])
        assert faces.shape == small.shape
        assert (faces != small).any(axis=(1, 2)).sum() >= 8


def test_views_of_a_face_are_changed_alike() -> None:
    from fer_train.inputs.augment import Augment

    faces = np.random.default_rng(0).integers(0, 256, (6, 2, SIZE, SIZE), dtype=np.uint8)
    faces[3:, 0] = faces[3:, 1]
    both = np.asarray(Augment(RECIPE)(faces, training=True))
    assert both.shape == (6, 2, SIZE, SIZE, 3)
    np.testing.assert_allclose(both[:, 1], np.asarray(Augment(RECIPE)(faces[:, 1], training=True)), atol=1e-6)
    np.testing.assert_array_equal(both[3:, 0], both[3:, 1])
    assert np.abs(both[:3, 0] - both[:3, 1]).mean() > 0.1


def test_loss_of_both_views() -> None:
    rng = np.random.default_rng(0)
    seen, clean, taught, targets = (rng.dirichlet(np.ones(7), 5).astype(np.float32) for _ in range(4))
    wanted = 0.2 * targets + 0.8 * taught
    entropy = -0.5 * (wanted * (np.log(seen) + np.log(clean))).sum(axis=1)
    mean = (seen + clean) / 2
    apart = 0.5 * ((seen * np.log(seen / mean)).sum(axis=1) + (clean * np.log(clean / mean)).sum(axis=1))
    loss = Objective(taught=True, teacher_weight=0.8, consistency=3.0).loss(
        targets, np.concatenate([seen, clean, taught], axis=1)
    )
    np.testing.assert_allclose(np.asarray(loss), entropy + 3.0 * apart, rtol=1e-4)

    def measured(one: Any, other: Any) -> Any:
        return divergence(one, other, np.log, lambda x: x.sum(axis=-1))

    np.testing.assert_allclose(measured(seen, seen), 0.0, atol=1e-7)
    np.testing.assert_allclose(measured(np.eye(7)[:3], np.eye(7)[3:6]), np.log(2), rtol=1e-4)


def test_qat_minimises_the_same() -> None:
    from fer_train.training.qat_stage import consistent_cross_entropy

    rng = np.random.default_rng(1)
    seen, clean, targets = (rng.dirichlet(np.ones(7), 5).astype(np.float32) for _ in range(3))
    in_turn = np.stack([seen, clean], axis=1).reshape(10, 7)
    rows = np.asarray(consistent_cross_entropy(4.0)(np.repeat(targets, 2, axis=0), in_turn))
    expected = np.asarray(Objective(consistency=4.0).loss(targets, np.concatenate([seen, clean], axis=1)))
    np.testing.assert_allclose(rows.reshape(5, 2).mean(axis=1), expected, rtol=1e-4)


def test_frozen_batchnorm_stays_where_the_rest_learns() -> None:
    import keras

    from fer_train.networks.build import set_trainable_blocks

    network = small_network(keras, SIZE)
    for freeze, learning in ((True, 3), (False, 5)):
        set_trainable_blocks(network, 17, freeze_batchnorm=freeze)
        assert len(network.trainable_variables) == learning  # kernel, dense kernel and bias; gamma and beta
    assert recipe_from({"freeze_batchnorm": True}).freeze_batchnorm


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"disturb": 0.5, "disturb_kinds": ["noise", "motion"]}, "motion: this kind is held out of training"),
        ({"disturb": 0.5, "disturb_kinds": ["nois"]}, "did you mean noise"),
        ({"disturb": 0.5, "disturb_weakest": 2.5, "disturb_strongest": 2.0}, "2.5 is above --disturb-strongest 2"),
        ({"consistency": 1.0}, "give --disturb"),
    ],
)
def test_options_that_make_no_sense_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        recipe_from(given)


def state(stage: Any) -> list[npt.NDArray[Any]]:
    return [*arrays(stage), *(np.asarray(variable) for variable in stage.trainer.optimizer.variables)]


def crash_within(stage: Any, epoch: int) -> None:
    """Let a stage end behind the checkpoint within an epoch, counted from 0."""
    save = stage._save_checkpoint

    def save_and_crash(epochs_done: int) -> None:
        save(epochs_done)
        if stage._so_far.steps and epochs_done == epoch:
            raise CrashError

    stage._save_checkpoint = save_and_crash
    with pytest.raises(CrashError):
        stage.run(resume=True)


@pytest.mark.slow
def test_a_run_killed_within_an_epoch_equals_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_train.training import float_stage

    monkeypatch.setattr(networks, "first_blocks", small_network)
    monkeypatch.setattr("fer_train.runs.network_of.build_network", small_network)
    teacher = run_with_weights(tmp_path / "teacher", RECIPE, seed=7)
    recipe = dataclasses.replace(ROBUST, teacher=(str(teacher),), teacher_weight=0.8)

    def stage_in(name: str) -> Any:
        (tmp_path / name).mkdir(exist_ok=True)
        return float_stage.FloatStage(recipe, DATA, RunFolder(tmp_path / name))

    whole = stage_in("whole")
    whole.run(resume=True)
    crash_within(stage_in("halves"), epoch=1)
    resumed = stage_in("halves")
    resumed.run(resume=True)
    assert [row.epoch for row in resumed.history] == [1, 2]
    for one, other in zip(whole.history, resumed.history, strict=True):
        assert other.loss == pytest.approx(one.loss, rel=1e-5)
        assert other.accuracy == pytest.approx(one.accuracy)
        assert (other.val_accuracy_disturbed, other.val_accuracy_held_out) == pytest.approx(
            (one.val_accuracy_disturbed, one.val_accuracy_held_out)
        )
    for first, second in zip(state(whole), state(resumed), strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-4, atol=1e-6)
    judged = whole.judge()
    assert judged.disturbed is not None
    assert judged.disturbed.n_images == 12
    assert judged.score == pytest.approx((judged.clean.accuracy + judged.disturbed.accuracy) / 2)
    assert "held-out kinds" in judged.words
    assert read_metrics(whole.folder.metrics) == whole.history
    draw_curves(whole.history, tmp_path)


def test_older_tables_are_read_without_the_new_columns() -> None:
    rows = read_metrics(Path(__file__).parents[2] / "models/metrics.csv")
    assert rows[0].val_accuracy_disturbed is None


@pytest.mark.slow
def test_a_qat_stage_killed_within_an_epoch_equals_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    from fer_train.networks.keras_classifier import KerasClassifier
    from fer_train.training import qat_stage as qat

    monkeypatch.setattr("fer_train.runs.network_of.build_network", networks.first_blocks)
    monkeypatch.setattr(  # conversion is for other tests
        qat.QatStage,
        "_judge_int8",
        lambda stage: judge(KerasClassifier(stage.network), stage.data, stage.disturbed),
    )
    keras.utils.set_random_seed(1)
    network = networks.first_blocks(keras, SIZE)
    recipe = dataclasses.replace(ROBUST, qat_epochs=2, qat_distill=0.8)

    def stage_in(name: str) -> Any:
        (tmp_path / name).mkdir(exist_ok=True)
        return qat.QatStage(recipe, DATA, RunFolder(tmp_path / name), network, [], np.zeros(21, np.int64))

    whole = stage_in("whole")
    whole.run(resume=True)
    crash_within(stage_in("halves"), epoch=1)
    resumed = stage_in("halves")
    resumed.run(resume=True)
    assert [row.epoch for row in resumed.history] == [0, 1, 2]
    for one, other in zip(whole.history[1:], resumed.history[1:], strict=True):
        assert other.loss == pytest.approx(one.loss, rel=1e-5)
        assert other.accuracy == pytest.approx(one.accuracy)
        assert other.val_accuracy_disturbed == pytest.approx(one.val_accuracy_disturbed)
    for first, second in zip(whole.network.get_weights(), resumed.network.get_weights(), strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-4, atol=1e-6)
