"""Figures in documents are those of the files in models/, which one command writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fer_edge.errors import ModelError
from fer_export.describe.figures import DOCUMENTS, FIGURES, read_released, update_documents, updated

ROOT = Path(__file__).parents[2]


def folders() -> list[str]:
    return [name for name in ("models", "models/small") if (ROOT / name / "summary.json").is_file()]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_figures_are_up_to_date(name: str) -> None:
    path = ROOT / name
    if not path.is_file():
        pytest.skip(f"{name} is not there")
    text = path.read_text(encoding="utf-8")
    assert "<!-- figures: " in text
    assert updated(text, ROOT) == text, "fer-export release --figures-only --data fer2013.zip writes them anew"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for folder in folders():
        shutil.copytree(ROOT / folder, tmp_path / folder, dirs_exist_ok=True)
    for name in DOCUMENTS:
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_another_model_gives_other_figures_everywhere(checkout: Path) -> None:
    assert update_documents(checkout) == []
    path = checkout / "models/manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    entry = manifest["models"]["fer_int8.tflite"]
    entry["accuracy"], entry["bytes"] = 0.7654, 2_345_678
    path.write_text(json.dumps(manifest), encoding="utf-8")
    changed = update_documents(checkout)
    assert checkout / "README.md" in changed and checkout / "models/README.md" in changed
    front = (checkout / "README.md").read_text(encoding="utf-8")
    assert "2.35 MB" in front and "76.5 %" in front and "| 2.35 | 76.54 % |" in front
    assert "76.54 %" in (checkout / "models/README.md").read_text(encoding="utf-8")
    assert update_documents(checkout) == []


def test_every_figure_can_be_written(checkout: Path) -> None:
    for folder in folders():
        released = read_released(checkout / folder)
        for name, figure in FIGURES.items():
            text = figure(released)
            assert text is None or text.strip(), name
            assert text is not None or name == "arithmetic"


def test_figures_of_another_file_and_unknown_ones_are_refused(checkout: Path) -> None:
    with pytest.raises(ModelError, match="unknown figure 'speed'"):
        updated("<!-- figures: speed of models --><!-- /figures -->", checkout)
    with pytest.raises(ModelError, match=r"robustness\.json"):
        (checkout / "models/robustness.json").unlink()
        updated("<!-- figures: disturbed of models --><!-- /figures -->", checkout)
    shutil.copy(ROOT / "models/robustness.json", checkout / "models")
    path = checkout / "models/manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"sha256": "', '"sha256": "0'), encoding="utf-8")
    with pytest.raises(ModelError, match=r"measured on another file than fer_int8\.tflite"):
        read_released(checkout / "models")
