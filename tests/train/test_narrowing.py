"""A narrower network begins at what a wider one makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fer_edge.errors import ModelError, UsageError
from fer_edge.preprocess import resize_gray, to_float_input
from fer_train.commands.recipe import recipe_from
from fer_train.commands.train import build_parser
from fer_train.networks.build import build_network
from fer_train.runs.recipe import Recipe, load_recipe
from fer_train.synthetic import synthetic_split

keras = pytest.importorskip("keras", reason="the [train] extra is not installed")


def batches(size: int = 64) -> list[np.ndarray]:
    faces = np.stack([resize_gray(image, size) for image in synthetic_split(4, 0).images])
    return [to_float_input(faces)]


@pytest.mark.slow
def test_with_as_many_channels_it_computes_the_same_and_with_fewer_nearly() -> None:
    from fer_train.networks.narrowing import narrow_weights

    keras.utils.set_random_seed(3)
    wide = build_network(keras, 64, width=0.5, last_channels=64)
    rng = np.random.default_rng(0)
    for layer in wide.layers:  # statistics as a trained network has them: no two channels alike
        if type(layer).__name__ == "BatchNormalization":
            n = layer.get_weights()[0].size
            layer.set_weights(
                [rng.uniform(0.5, 2, n), rng.normal(0, 0.5, n), rng.normal(0, 0.1, n), rng.uniform(0.05, 2, n)]
            )
    (faces,) = batches()
    expected = wide.predict_on_batch(faces)
    errors = []
    for width, last in ((0.5, 64), (0.5, 48), (0.35, 32)):
        narrow = build_network(keras, 64, width=width, last_channels=last)
        random = np.abs(narrow.predict_on_batch(faces) - expected).mean()
        narrow_weights(wide, narrow, [faces])
        errors.append(np.abs(narrow.predict_on_batch(faces) - expected).mean())
        assert errors[-1] < random
    assert errors[0] < 0.02 < expected.std()
    assert errors[0] <= errors[1] + 1e-3


def test_wider_or_other_networks_are_refused() -> None:
    from fer_train.networks.narrowing import narrow_weights

    narrow = build_network(keras, 64, width=0.35)
    with pytest.raises(ModelError, match=r"wider than .* of the run to begin with"):
        narrow_weights(narrow, build_network(keras, 64, width=0.5), batches())
    with pytest.raises(ModelError, match="only a MobileNetV2"):
        narrow_weights(build_network(keras, 64, network="vgg"), narrow, batches())
    with pytest.raises(ModelError, match="at least one batch"):
        narrow_weights(build_network(keras, 64, width=0.5), narrow, [])


def test_the_network_of_a_recipe_is_in_its_config(tmp_path: Path) -> None:
    from fer_train.runs.network_of import network_of

    recipe = Recipe(input_size=64, width=0.35, last_channels=448)
    recipe.save(tmp_path / "config.json")
    assert '"architecture": "mobilenetv2-0.35"' in (tmp_path / "config.json").read_text(encoding="utf-8")
    again = load_recipe(tmp_path / "config.json")
    assert again == recipe
    network = network_of(again, keras)
    assert network.get_layer("Conv_1").filters == 448
    assert network.get_layer("block_16_project").filters == 112
    assert network_of(Recipe(), keras).count_params() == 2_266_951
    wider = build_network(keras, 64, width=1.4)
    assert wider.get_layer("Conv_1").filters == 1280


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--width", "0"], "width must be 0.1 to 1.4"),
        (["--last-channels", "5"], "last-channels must be a multiple of 8"),
        (["--network", "vgg", "--width", "0.5"], "--width and --last-channels are of MobileNetV2"),
        (["--width", "0.4"], "no ImageNet weights for --width 0.4"),
    ],
)
def test_widths_that_do_not_work_are_refused(options: list[str], expected: str, tmp_path: Path) -> None:
    given = vars(build_parser().parse_args(["--data", "d", "--run", str(tmp_path), *options]))
    with pytest.raises(UsageError, match=expected):
        recipe_from(given)
