"""The layout that the user fixed, and promises of the repository as a whole."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MIB = 1 << 20


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_top_level_is_as_fixed() -> None:
    for name in ("train", "export", "edge", "benchmarks", "models", "data", "tests"):
        assert (ROOT / name).is_dir(), name
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile", ".ci/run"):
        assert (ROOT / name).is_file(), name


def test_repository_stays_small() -> None:
    sizes = {path: path.stat().st_size for path in tracked_files()}
    assert max(sizes.values()) < 10 * MIB
    assert sum(sizes.values()) < 30 * MIB


def test_no_python_packages_where_data_lives() -> None:
    assert not [path for folder in ("models", "data") for path in (ROOT / folder).rglob("*.py")]


def test_emotions_are_written_down_once() -> None:
    """A second list of the seven classes in product code would be a second label order."""
    pattern = re.compile(r"[\"']angry[\"'],\s*[\"']disgust[\"'],\s*[\"']fear[\"']")
    sources = [path for name in ("edge", "train", "export", "benchmarks") for path in (ROOT / name).rglob("*.py")]
    found = {path.name for path in sources if pattern.search(path.read_text(encoding="utf-8"))}
    # The others hold orders of other projects, which are brought into ours on reading.
    assert found == {
        "labels.py",
        "class_names.py",
        "class_order.py",
        "labels_beside.py",
    }  # the latter holds the numbering of fer2013.csv, mapped on reading


def test_links_in_the_documents_lead_somewhere() -> None:
    missing = []
    for document in [path for path in tracked_files() if path.suffix == ".md"]:
        for target in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8")):
            if not target.startswith(("http://", "https://", "mailto:")) and not (document.parent / target).exists():
                missing.append(f"{document.relative_to(ROOT)}: {target}")
    assert not missing
