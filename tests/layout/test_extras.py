"""What an extra installs is used, and what is written down once is not written down again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = {
    "ethos-u-vela": "ethosu",
    "opencv-python": "cv2",
    "paho-mqtt": "paho",
    "scikit-learn": "sklearn",
}
CHOSEN_BY_NAME = {"jax"}
"""Imported by the name that Keras' backend has."""

tomllib = pytest.importorskip("tomllib", reason="pyproject.toml is read with tomllib, from Python 3.11 on")


def product_code() -> dict[Path, str]:
    folders = ("edge/fer_edge", "train/fer_train", "export/fer_export", "benchmarks/fer_bench")
    return {path: path.read_text(encoding="utf-8") for name in folders for path in (ROOT / name).rglob("*.py")}


def test_every_package_of_an_extra_is_imported_somewhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [line for name, wanted in extras.items() if name not in ("dev", "all") for line in wanted]
    packages = {re.split(r"[\[<>=!~; ]", line)[0] for line in lines} - {"fer-edge-toolkit"}
    code = "\n".join(product_code().values())
    unused = []
    for package in sorted(packages - CHOSEN_BY_NAME):
        module = MODULES.get(package, package.replace("-", "_"))
        if not re.search(rf"(import|from) {module}\b|[\"']{module}(\.\w+)*[\"']", code):
            unused.append(package)
    assert not unused


@pytest.mark.parametrize("constant", [r"1\.95996", r"SYNTHETIC_PER_CLASS\b.* = ", r"SYNTHETIC_SPLIT\b.* = "])
def test_a_constant_stands_in_one_place(constant: str) -> None:
    assert len([path for path, text in product_code().items() if re.search(constant, text)]) == 1
