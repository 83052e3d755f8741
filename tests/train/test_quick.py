"""The first own model: the quick recipe, and what is said when a run is too short for the gate of fer-export."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.errors import UsageError
from fer_edge.labels import EMOTIONS
from fer_train.commands.recipe import QUICK, recipe_from
from fer_train.commands.train import build_parser
from fer_train.evaluation.evaluate import Evaluation
from fer_train.inputs.targets import hard_targets
from fer_train.runs.recipe import Recipe
from fer_train.training.outlook import outlook

ROOT = Path(__file__).parents[2]


def recipe(*arguments: str) -> Recipe:
    return recipe_from(vars(build_parser().parse_args(["--run", "r", "--data", "d", *arguments])))


def test_quick_is_the_recipe_that_its_help_names_and_other_options_win() -> None:
    named = dict(re.findall(r"--([a-z-]+) ([\d.e-]+)", _help_of("--quick")))
    assert {name.replace("-", "_"): float(value) for name, value in named.items()} == QUICK
    quick = recipe("--quick")
    assert {name: getattr(quick, name) for name in QUICK} == QUICK
    assert recipe("--quick", "--epochs", "9", "--input-size", "96") == recipe(
        "--input-size", "96", "--quick", "--epochs", "9"
    )
    assert (recipe("--quick", "--epochs", "9").epochs, recipe("--quick", "--epochs", "9").input_size) == (9, 64)
    assert recipe("--quick", "--start-from", "runs/first").head_epochs == 0
    with pytest.raises(UsageError, match="--quick is a recipe for MobileNetV2"):
        recipe("--quick", "--network", "vgg")


def _help_of(option: str) -> str:
    return next(str(action.help) for action in build_parser()._actions if option in action.option_strings)


def answers(wrong: int, n: int = 700, *, shift: int = 1) -> Evaluation:
    """All right but the first ``wrong`` of ``n`` images, which lie in all classes alike."""
    labels: npt.NDArray[np.int64] = np.arange(n) % len(EMOTIONS)
    said = np.where(np.arange(n) < wrong, (labels + shift) % len(EMOTIONS), labels)
    return Evaluation("validation", hard_targets(said, 0.1), labels)


@pytest.mark.parametrize(
    ("wrong", "steps", "words"),
    [
        (70, 62, ("9.0 points less accurate", "such a short run (62 steps", "--max-drop", "--quick", "Train longer")),
        (70, 5000, ("9.0 points less accurate", "--max-drop")),
        (200, 5000, ("72.4% of the images like float", "recall of happy")),
    ],
)
def test_a_run_that_the_gate_will_refuse_says_so_and_what_to_do(wrong: int, steps: int, words: tuple[str, ...]) -> None:
    said = outlook({"float": answers(7), "int8": answers(wrong)}, steps)
    assert said is not None
    assert all(word in said for word in words), said
    assert ("such a short run" in said) == (steps < 300)
    assert "\n" not in said


def test_a_run_that_the_gate_will_accept_says_nothing() -> None:
    assert outlook({"float": answers(7), "int8": answers(8)}, 60) is None
    assert outlook({"float": answers(300), "int8": answers(8)}, 60) is None, "INT8 is the better one"
    assert outlook({"float": answers(7)}, 10_000) is None


def test_a_short_run_without_qat_is_told_that_nothing_is_known() -> None:
    said = outlook({"float": answers(7)}, 60)
    assert said is not None
    assert "Without a QAT stage" in said and "--qat-epochs" in said and "--max-drop" in said


def test_the_gate_and_this_word_share_their_limits() -> None:
    """Another number in the gate than in the warning would make one of them wrong."""
    text = (ROOT / "export/fer_export/check/gate.py").read_text(encoding="utf-8")
    limits = next(n for n in ast.parse(text).body if isinstance(n, ast.ClassDef) and n.name == "Limits")
    values = {
        n.target.id: n.value for n in limits.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
    }
    for name in ("max_drop", "min_agreement", "max_recall_loss"):
        assert isinstance(values[name], ast.Name), f"{name} is not taken from fer_train.training.outlook"
