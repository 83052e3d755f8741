from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fer_train.commands.input_speed import main, measure
from fer_train.runs.recipe import Recipe

SIZE = 32


def small_network(keras: Any, input_size: int, **_: Any) -> Any:
    inputs = keras.layers.Input((input_size, input_size, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, strides=4)(inputs))
    return keras.Model(inputs, keras.layers.Dense(7, activation="softmax", name="emotion")(x))


def test_loop_and_bare_step_train_the_same_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow", reason="the [train] extra is not installed")
    from fer_train.training import float_stage as fit

    monkeypatch.setattr("fer_train.runs.network_of.build_network", small_network)
    stages: list[Any] = []
    get_ready = fit.FloatStage.get_ready

    def remember(stage: Any) -> None:
        stages.append(stage)
        get_ready(stage)

    monkeypatch.setattr(fit.FloatStage, "get_ready", remember)
    config = Recipe(input_size=SIZE, backbone=None, batch_size=8, head_epochs=0, mixup=0.2)
    record = measure(config, precisions=["float32"], steps=3, rounds=2)
    # Warm-up and two rounds, each of three steps in the loop and three bare ones.
    assert [int(stage.trainer.optimizer.iterations) for stage in stages] == [18]
    (result,) = record["results"]
    assert len(result["loop_round_s"]) == len(result["bare_round_s"]) == 2
    assert result["ratio_min"] <= result["ratio"] <= result["ratio_max"]
    ratios = [b / a for a, b in zip(result["loop_round_s"], result["bare_round_s"], strict=True)]
    assert result["ratio"] == pytest.approx(sum(ratios) / 2)
    assert result["loop_images_per_s"] == pytest.approx(48 / sum(result["loop_round_s"]))
    assert (record["steps_per_round"], record["batch_size"], record["mixup_alpha"]) == (3, 8, 0.2)


def test_bad_usage_is_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--steps", "0"], ["--rounds", "x"], ["--precision", "half"], ["--input-size", "97"]):
        assert main([*arguments, "--json", str(tmp_path / "f.json")]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []
