"""The PyTorch engine computes what Keras' layers do. Keras has one engine a process: these run in one of their own."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.train.networks import drawn_training_data, first_blocks, run_with_weights, use_first_blocks

from fer_edge.errors import CheckFailedError, ModelError
from fer_train.runs.recipe import Recipe
from fer_train.runs.run_folder import RunFolder
from fer_train.training.keras_optimizer import averages, moments

if importlib.util.find_spec("torch") is None or importlib.util.find_spec("keras") is None:
    pytest.skip("the [torch] extra is not installed", allow_module_level=True)

ON_TORCH = os.environ.get("KERAS_BACKEND") == "torch"
on_torch = pytest.mark.skipif(not ON_TORCH, reason="needs KERAS_BACKEND=torch")
SIZE, BATCH = 32, 4


@pytest.mark.skipif(ON_TORCH, reason="is in that process already")
def test_all_of_these_pass_on_pytorch() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(
        command, env=os.environ | {"KERAS_BACKEND": "torch"}, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    # All of them ran: this one alone is left out, or KERAS_BACKEND reached nobody and the rest skipped themselves.
    assert re.search(r"^[1-9]\d* passed, 1 skipped", done.stdout, re.MULTILINE), done.stdout[-1000:]


def network_with_statistics(rng: np.random.Generator) -> Any:
    """Blocks of MobileNetV2 with BatchNorm values as training leaves them: no two channels alike."""
    import keras

    keras.utils.set_random_seed(1)
    network = first_blocks(keras, SIZE)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape[0]
            layer.set_weights(
                [rng.uniform(0.5, 1.5, n), rng.normal(0, 0.3, n), rng.normal(0, 0.1, n), rng.uniform(0.5, 2, n)]
            )
    return network


@on_torch
def test_answers_gradients_and_statistics_are_those_of_keras_layers() -> None:
    import keras
    import torch

    from fer_train.networks.torch_fused import fused_network

    rng = np.random.default_rng(0)
    network = network_with_statistics(rng)
    fused = fused_network(network)
    assert [v.path for v in fused.variables] == [v.path for v in network.variables]
    x = rng.uniform(-1, 1, (BATCH, SIZE, SIZE, 3)).astype(np.float32)
    np.testing.assert_allclose(fused.predict_on_batch(x), network.predict_on_batch(x), atol=1e-5)

    for layer in network.layers:  # frozen ones come first: their BatchNorm goes into the kernels
        layer.trainable = layer.name.startswith(("block_2_", "emotion"))
    before = network.get_weights()
    results = []
    for model in (network, fused):
        network.set_weights(before)
        model.zero_grad()
        answers = model(torch.tensor(x), training=True)
        (answers[:, 2].log().sum()).backward()
        gradients = [np.array(v.value.grad) for v in network.trainable_variables]
        results.append((answers.detach().numpy(), gradients, network.get_weights()))
    (answers, gradients, after), (fused_answers, fused_gradients, fused_after) = results
    np.testing.assert_allclose(fused_answers, answers, rtol=1e-3)
    for one, other in zip(gradients, fused_gradients, strict=True):
        np.testing.assert_allclose(other, one, atol=2e-3 * np.abs(one).max() + 1e-6)
    counts = {
        layer.moving_variance.path: BATCH * layer.input.shape[1] * layer.input.shape[2]
        for layer in network.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    }
    moved = 0
    for variable, old, one, other in zip(network.weights, before, after, fused_after, strict=True):
        expected = one
        if (n := counts.get(variable.path)) is not None:  # the unbiased variance of n values
            kept = np.float32(0.95) * old
            expected = kept + (one - kept) * n / (n - 1)
            moved += int(np.abs(one - old).max() > 1e-4)
        np.testing.assert_allclose(other, expected, rtol=2e-3, atol=1e-5, err_msg=variable.path)
    assert moved == len(counts) == 3


@on_torch
@pytest.mark.parametrize("name", ["vgg", "resnet", "convnext"])
def test_networks_that_teach_answer_as_keras_layers_do(name: str) -> None:
    import keras

    from fer_train.networks.build import build_network
    from fer_train.networks.torch_fused import fused_network

    keras.utils.set_random_seed(1)
    network = build_network(keras, SIZE, network=name)
    x = np.random.default_rng(0).uniform(-1, 1, (BATCH, SIZE, SIZE, 3)).astype(np.float32)
    fused = fused_network(network)
    np.testing.assert_allclose(fused.predict_on_batch(x), network.predict_on_batch(x), atol=1e-5)
    # In bfloat16 the convolutions have three digits, and the statistics of BatchNorm must still move in float32.
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        half = fused_network(network)
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_allclose(half.predict_on_batch(x), network.predict_on_batch(x), atol=0.025)
    norm = network.get_layer("stem_BN")
    before = np.array(norm.moving_mean)
    half(x, training=True)
    assert str(norm.moving_mean.dtype) == "float32"
    assert 0 < np.abs(np.array(norm.moving_mean) - before).max() < 1


@on_torch
def test_other_layers_are_refused() -> None:
    import keras

    from fer_train.networks.torch_fused import fused_network

    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(4, 3)(inputs)
    with pytest.raises(ModelError, match="conv2d"):
        fused_network(keras.Model(inputs, keras.layers.Activation("tanh")(x)))
    with pytest.raises(ModelError, match="Flatten"):
        fused_network(keras.Model(inputs, keras.layers.Flatten()(inputs)))


@on_torch
def test_affine_sampling_is_that_of_keras() -> None:
    import keras
    import torch

    from fer_train.networks.torch_fused import sample_affine

    rng = np.random.default_rng(0)
    images = rng.random((5, SIZE, SIZE, 1)).astype(np.float32)
    near_identity = np.array([1, 0, 0, 0, 1, 0, 0, 0]) + rng.normal(0, [0.3, 0.3, 9, 0.3, 0.3, 9, 0, 0], (5, 8))
    maps = near_identity.astype(np.float32)
    expected = keras.ops.image.affine_transform(
        images, maps, interpolation="bilinear", fill_mode="nearest", data_format="channels_last"
    )
    sampled = sample_affine(torch.tensor(images), torch.tensor(maps))
    np.testing.assert_allclose(sampled.numpy(), np.asarray(expected), atol=1e-4)


@on_torch
def test_gradients_of_a_taught_student_do_not_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras clears gradients by the paths of variables, which a teacher of the same architecture has too."""
    from fer_train.training.float_stage import FloatStage

    use_first_blocks(monkeypatch)
    recipe = Recipe(input_size=SIZE, backbone=None, epochs=1, head_epochs=0, batch_size=14)
    teacher = run_with_weights(tmp_path / "teacher", recipe, seed=1)
    student = RunFolder(tmp_path / "student")
    student.root.mkdir()
    # SGD, since steps in plain PyTorch, which AdamW takes, leave Keras' clearing out.
    taught = dataclasses.replace(recipe, teacher=(str(teacher),), optimizer="sgd")
    stage = FloatStage(taught, drawn_training_data(4, 1), student)
    stage.run(resume=False)
    variables = stage.trainer.trainable_variables
    assert variables
    assert all(variable.value.grad is not None for variable in variables)
    stage.trainer.zero_grad()
    assert all(variable.value.grad is None for variable in variables)


@on_torch
@pytest.mark.parametrize("how", ["of two views", "taught"])
def test_plain_steps_train_as_keras_does(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fer_train.training.float_stage import FloatStage

    use_first_blocks(monkeypatch)
    # At a low rate, since Adam makes full steps of gradients that are nothing but rounding, and they differ.
    rate = 1e-4
    recipe = Recipe(
        input_size=SIZE, backbone=None, epochs=2, head_epochs=0, batch_size=14, ema_decay=0.9, mixup=0.2, erase=0.3
    )
    recipe = dataclasses.replace(recipe, learning_rate=rate, head_learning_rate=rate)
    recipe = dataclasses.replace(recipe, disturb=0.7, checkpoint_steps=2)
    if how == "of two views":
        recipe = dataclasses.replace(recipe, consistency=2.0, freeze_batchnorm=True)
    else:
        teacher = run_with_weights(tmp_path / "teacher", recipe, seed=1)
        recipe = dataclasses.replace(recipe, teacher=(str(teacher),), teacher_weight=0.7, teacher_temperature=2.0)
    ends = []
    for plain in (False, True):
        folder = RunFolder(tmp_path / str(plain))
        folder.root.mkdir()
        stage = FloatStage(recipe, drawn_training_data(6, 1), folder)
        if not plain:
            monkeypatch.setattr(stage, "plain_steps", lambda: None)
        stage.get_ready()
        before = [np.array(variable) for variable in stage.network.trainable_variables]
        stage.run(resume=False)
        optimizer = stage.trainer.optimizer
        moves = [np.array(now) - old for now, old in zip(stage.network.trainable_variables, before, strict=True)]
        lists = (*zip(*moments(optimizer), strict=True), averages(optimizer))
        ends.append((stage.history, moves, [[np.array(v) for v in each] for each in lists], int(optimizer.iterations)))
    (history, moves, state, steps), (plain_history, plain_moves, plain_state, plain_steps) = ends
    assert plain_steps == steps == 6
    for row, plain_row in zip(history, plain_history, strict=True):
        assert plain_row.loss == pytest.approx(row.loss, rel=1e-3)
        assert plain_row.accuracy == pytest.approx(row.accuracy, abs=0.03)  # one image of 42
        assert plain_row.val_loss == pytest.approx(row.val_loss, rel=1e-3)
        assert plain_row.learning_rate == pytest.approx(row.learning_rate)
    for kind, other_kind in zip(state[:2], plain_state[:2], strict=True):
        for one, other in zip(kind, other_kind, strict=True):
            np.testing.assert_allclose(other, one, atol=0.05 * float(np.abs(one).max()) + 1e-7)
    firm = [velocity > max(1e-2 * velocity.max(), 1e-11) for velocity in state[1]]
    for one, other, where in zip(moves + state[2], plain_moves + plain_state[2], firm + firm, strict=True):
        if where.any():
            assert np.quantile(np.abs(other - one)[where], 0.9) < 0.1 * rate


@on_torch
def test_a_loss_that_is_no_number_ends_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fer_train.training.float_stage import FloatStage

    use_first_blocks(monkeypatch)
    data = drawn_training_data(2, 1)
    data = dataclasses.replace(data, weights=np.full_like(data.weights, np.nan))
    recipe = Recipe(input_size=SIZE, backbone=None, epochs=1, head_epochs=0, batch_size=14)
    with pytest.raises(CheckFailedError, match="the loss became nan in epoch 1"):
        FloatStage(recipe, data, RunFolder(tmp_path)).run(resume=False)
    assert not RunFolder(tmp_path).float_weights.exists()


@on_torch
def test_a_run_killed_within_an_epoch_equals_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_train.training.float_stage import FloatStage

    monkeypatch.setattr("fer_train.runs.network_of.build_network", first_blocks)
    data = drawn_training_data(4, 1)
    recipe = Recipe(
        input_size=SIZE, backbone=None, epochs=2, head_epochs=0, batch_size=14, ema_decay=0.9, erase=0.3, mixup=0.2
    )
    recipe = dataclasses.replace(recipe, disturb=0.7, checkpoint_steps=1)
    histories = []
    for name, stops in (("whole", (2,)), ("halves", (1, 2))):
        folder = RunFolder(tmp_path / name)
        folder.root.mkdir()
        for stop in stops:
            stage = FloatStage(recipe, data, folder)
            save = stage._save_checkpoint

            def save_and_stop(done: int, stage: Any = stage, save: Any = save, stop: int = stop) -> None:
                save(done)
                if done == stop and stop < 2 and stage._so_far.steps:
                    raise KeyboardInterrupt

            stage._save_checkpoint = save_and_stop  # type: ignore[assignment, method-assign]
            try:
                stage.run(resume=True)
            except KeyboardInterrupt:
                continue
        histories.append(np.array([(row.epoch, row.loss, row.val_loss) for row in stage.history], np.float64))
    np.testing.assert_allclose(histories[1], histories[0], rtol=2e-3)


@on_torch
def test_gradients_are_clipped_by_the_norm_of_all_together() -> None:
    import torch

    from fer_train.training.torch_steps import _clipped

    gradients = [torch.full((2, 2), 3.0), torch.full((4,), -2.0)]  # of norm sqrt(4 * 9 + 4 * 4)
    norm = float(np.sqrt(52.0))
    for most, factor in ((1.0, 1.0 / norm), (100.0, 1.0)):
        for one, scaled in zip(gradients, _clipped(gradients, most), strict=True):
            np.testing.assert_allclose(scaled.numpy(), factor * one.numpy(), rtol=1e-4)
