"""Versions and the commit, from one place."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fer_edge.versions import package_versions, source_commit, version_text


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "ours.py").write_text("1\n")
    (tmp_path / ".gitignore").write_text("site-packages\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "x")
    return tmp_path


def test_the_commit_says_whether_tracked_files_differ(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert source_commit(checkout / "ours.py") == head
    (checkout / "untracked").write_text("x")
    assert source_commit(checkout / "ours.py") == head
    (checkout / "ours.py").write_text("2\n")
    assert source_commit(checkout / "ours.py") == f"{head}+changes"


def test_a_package_installed_inside_somebodys_checkout_has_no_commit(checkout: Path) -> None:
    installed = checkout / "site-packages" / "ours.py"
    installed.parent.mkdir()
    installed.write_text("1\n")
    assert source_commit(installed) is None


def test_no_git_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert source_commit(checkout / "ours.py") is None


def test_outside_of_a_checkout_the_version_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert version_text("fer-x").splitlines()[0] == f"fer-x {package_versions()['fer-edge-toolkit']}"


def test_packages_that_are_not_installed_are_left_out() -> None:
    assert list(package_versions(["numpy", "no-such-package-of-ours"])) == ["fer-edge-toolkit", "numpy"]
