"""What the toolkit says about packages of others, and how it treats them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from tests.layout.test_house import tracked_files

from fer_edge.dependencies import ENVIRONMENT
from fer_edge.errors import MissingDependencyError
from fer_edge.extras import EXTRAS, missing_packages

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomllib")

ROOT = Path(__file__).parents[2]
PRODUCT = [path for name in ("edge", "train", "export", "benchmarks") for path in (ROOT / name).rglob("*.py")]
ONE_PLACE = "dependencies.py"


def declared() -> dict[str, list[str]]:
    document: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras: dict[str, list[str]] = document["project"]["optional-dependencies"]
    return extras


def packages_of(extra: str) -> list[str]:
    """All packages of an extra, those of the extras in it included."""
    found: list[str] = []
    for requirement in declared()[extra]:
        nested = re.fullmatch(r"fer-edge-toolkit\[(.+)\]", requirement)
        if nested:
            found += [package for name in nested[1].split(",") for package in packages_of(name)]
        else:
            found.append(re.split(r"[<>=!~ ;\[]", requirement)[0])
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("extra", EXTRAS)
def test_advice_names_exactly_the_packages_of_the_extra(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(EXTRAS[extra]) == packages_of(extra)
    monkeypatch.setattr("fer_edge.extras._is_there", lambda module: False)
    message = str(MissingDependencyError.for_extra("something", extra))
    assert message == f"something is not installed; install it with: pip install {' '.join(packages_of(extra))}"


def test_every_extra_for_users_has_advice() -> None:
    assert set(EXTRAS) == set(declared()) - {"all", "dev"}


def test_advice_names_only_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.extras._is_there", lambda module: module != "uvicorn")
    assert missing_packages("web") == ("uvicorn",)
    assert str(MissingDependencyError.for_extra("uvicorn", "web")).endswith("pip install uvicorn")


def test_names_of_modules_are_those_of_the_packages() -> None:
    """A wrong one would call a package missing that is there."""
    for extra, packages in EXTRAS.items():
        for package in packages:
            try:
                metadata.version(package)
            except metadata.PackageNotFoundError:
                continue
            assert package not in missing_packages(extra)


def test_nothing_advises_to_install_by_a_name_that_is_on_no_index() -> None:
    asks = re.compile(r"install [^\n]*fer-edge-toolkit|fer-edge-toolkit\\?\[")
    wrong = []
    for path in tracked_files():
        if "tests" in path.relative_to(ROOT).parts or path.name in ("pyproject.toml", "CHANGELOG.md"):
            continue  # in pyproject.toml extras hold others: pip resolves the toolkit's name within the toolkit
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if asks.search(line) and "git+" not in line:
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:150]}")
    assert not wrong


def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__"):
                names.add("import_module")
    return names


def test_onnxruntime_is_imported_in_one_place() -> None:
    """There its telemetry is turned off before. ``import_module`` takes names from elsewhere: it may not take this."""
    imports = {path: imported_modules(path) for path in PRODUCT}
    assert {p.name for p, names in imports.items() if "onnxruntime" in {n.split(".")[0] for n in names}} == {ONE_PLACE}
    by_name = {path for path, names in imports.items() if "import_module" in names}
    naming = {path for path in PRODUCT if re.search(r"[\"']onnxruntime[\"'.]", path.read_text(encoding="utf-8"))}
    assert ONE_PLACE in {path.name for path in by_name}
    assert {path.name for path in by_name & naming} <= {ONE_PLACE}


@pytest.mark.parametrize("package", ["fer_edge.inference.backends.onnx", "fer_train", "fer_export", "fer_bench"])
def test_defaults_are_set_before_and_may_be_overridden(package: str, tmp_path: Path) -> None:
    code = (
        f"import os, {package}; from fer_edge.dependencies import import_onnxruntime\n"
        "try: import_onnxruntime()\n"
        "except Exception: pass\n"
        "print(os.environ['ORT_DISABLE_TELEMETRY'], os.environ.get('KERAS_HOME'), os.environ.get('MPLCONFIGDIR'))"
    )

    def said(**variables: str) -> list[str]:
        environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"} | variables
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout.split()

    assert ENVIRONMENT["ORT_DISABLE_TELEMETRY"] == "1"
    telemetry, keras, matplotlib = said()
    assert telemetry == "1"
    if package == "fer_edge.inference.backends.onnx":  # the device side imports neither
        return
    own = tmp_path / ".cache" / "fer-edge-toolkit"
    assert (keras, matplotlib) == (str(own / "keras"), str(own / "matplotlib"))
    assert not own.exists(), "an import makes no folder"
    (tmp_path / ".keras").mkdir()
    chosen = said(ORT_DISABLE_TELEMETRY="0", MPLCONFIGDIR="/elsewhere")
    assert chosen == ["0", "None", "/elsewhere"], "what the user has stays in use"
