"""The maps for contributors name every room, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

tomllib = pytest.importorskip("tomllib")  # Python 3.11
ROOT: Final[Path] = Path(__file__).parents[2]
PACKAGES: Final[tuple[str, ...]] = ("edge/fer_edge", "train/fer_train", "export/fer_export", "benchmarks/fer_bench")
_CODE: Final[re.Pattern[str]] = re.compile(r"`([^`]+)`")


def rooms(package: str) -> list[str]:
    return sorted(path.parent.name for path in (ROOT / package).glob("*/__init__.py"))


def map_rows() -> list[list[str]]:
    """The places that each row of CONTRIBUTING's map names, with the folder that a bare name is in."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.split("## Where things are")[1].split("## Adding something")[0]
    rows = [line.rsplit("|", 2)[1] for line in table.splitlines() if line.startswith("|") and "`" in line]
    return [_CODE.findall(row) for row in rows]


def test_contributing_names_every_room() -> None:
    named = {place.rstrip("/") for row in map_rows() for place in row}
    missing = [
        f"{package}/{room}"
        for package in PACKAGES
        for room in rooms(package)
        if not any(f"{place}/".startswith(f"{package}/{room}/") for place in named)
    ]
    assert not missing


def test_contributing_names_nothing_that_is_not_there() -> None:
    for first, *others in map_rows():
        parents = [ROOT, *(ROOT / first).parents[:3], ROOT / first]
        for place in (first, *others):
            if place != "LOG":
                assert any(list(parent.glob(place.rstrip("/"))) for parent in parents), place


@pytest.mark.parametrize("package", PACKAGES)
def test_the_rooms_of_architecture_are_those_of_the_contract(package: str) -> None:
    """In the same order: imports point from left to right."""
    name = Path(package).name
    contracts: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract.get("containers") == [name])
    level = {room: number for number, layer in enumerate(layers) for room in layer.split(" | ")}
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (row,) = (line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
    shown = _CODE.findall(row)[1:]
    assert set(rooms(package)) <= set(shown) <= set(level)
    assert [level[room] for room in shown] == sorted(level[room] for room in shown)
