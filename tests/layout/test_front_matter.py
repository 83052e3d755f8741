"""Issue forms, CITATION.cff, SECURITY.md and the pre-commit configuration are what their readers expect."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
KINDS = {"input", "textarea", "dropdown", "checkboxes", "markdown"}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_there_are_issue_forms() -> None:
    assert {path.stem for path in FORMS} >= {"bug", "board-result"}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_form_is_one_that_github_takes(path: Path) -> None:
    """https://docs.github.com/en/communities/using-templates-to-encourage-useful-issues-and-pull-requests."""
    form = load(path)
    assert form["name"] and form["description"] and form["body"]
    names = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(names) == len(set(names)) > 0
    for field in form["body"]:
        assert field["type"] in KINDS
        assert isinstance(field["attributes"].get("label", field["attributes"].get("value")), str)


def test_workflows_and_pre_commit_parse() -> None:
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        assert load(path)["jobs"], path.name
    hooks = [hook for repo in load(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert {"ruff", "ruff-format", "codespell", "layers"} <= {hook["id"] for hook in hooks}


def test_citation_is_of_this_version() -> None:
    citation = load(ROOT / "CITATION.cff")
    assert {"cff-version", "title", "message", "authors", "version"} <= set(citation)
    version = re.search(r'^__version__ = "([^"]+)"', (ROOT / "edge/fer_edge/_version.py").read_text(), re.M)
    assert version is not None and str(citation["version"]) == version.group(1)


def test_security_says_how_to_report() -> None:
    assert re.search(r"report", (ROOT / "SECURITY.md").read_text(encoding="utf-8"), re.I)
