"""``__all__`` of every package and room names what it offers: no more, no less."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "fer_edge": ROOT / "edge/fer_edge",
    "fer_train": ROOT / "train/fer_train",
    "fer_export": ROOT / "export/fer_export",
    "fer_bench": ROOT / "benchmarks/fer_bench",
}
DEMANDED = {"fer_edge", "fer_train", "fer_export", "fer_bench"}
"""Packages in which every room, and every module that another package or room uses, has to have an ``__all__``."""


LAZY = "fer_edge.lazy"  # the means, not a name to hand on


def module_name(package: str, path: Path) -> str:
    parts = path.relative_to(PACKAGES[package]).with_suffix("").parts
    return ".".join([package, *parts]).removesuffix(".__init__")


TREES = {
    module_name(package, path): (path, ast.parse(path.read_text(encoding="utf-8")))
    for package, folder in PACKAGES.items()
    for path in sorted(folder.rglob("*.py"))
}
IS_PACKAGE = {name for name, (path, _) in TREES.items() if path.name == "__init__.py"}


def assigned(node: ast.stmt) -> list[str]:
    """Names that a statement on the top level of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    flat = [name for target in targets for name in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [name.id for name in flat if isinstance(name, ast.Name)]


def declared(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and "__all__" in assigned(node) and node.value is not None:
            return list(ast.literal_eval(node.value))
    return None


def guarded(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def defined(tree: ast.Module) -> set[str]:
    """The public names that a module defines itself, also inside ``if`` and ``try``."""
    found: set[str] = set()
    for node in tree.body:
        inner = [] if not isinstance(node, ast.If | ast.Try) else ast.walk(node)
        for statement in [node, *(part for part in inner if isinstance(part, ast.stmt))]:
            found.update(assigned(statement))
    types = {
        name
        for node in tree.body
        if isinstance(node, ast.Assign) and _is_type_variable(node)
        for name in assigned(node)
    }
    return {name for name in found - types - {"TYPE_CHECKING"} if not name.startswith("_")}


def _is_type_variable(node: ast.Assign) -> bool:
    return isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in ("TypeVar", "ParamSpec")


def handed_on(name: str, tree: ast.Module) -> set[str]:
    """What a package imports for others from its own modules, lazily or at once."""
    blocks = [node for node in tree.body if guarded(node)]
    statements = [part for block in blocks for part in getattr(block, "body", [])] + tree.body
    return {
        alias.asname or alias.name
        for node in statements
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{name}.") and node.module != LAZY
        for alias in node.names
    }


def room(name: str) -> str:
    """``fer_edge.capture`` for what lies in that folder, ``fer_edge.files`` for a module beside the rooms."""
    return ".".join(name.split(".")[:2])


def used_from_outside() -> set[str]:
    """Modules of which another package or room imports a name."""
    found = set()
    for user, (_, tree) in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in TREES and room(node.module) != room(user):
                found.add(node.module)
    return found


WITH_LIST = sorted(name for name, (_, tree) in TREES.items() if declared(tree) is not None)
ROOMS = sorted(name for name in IS_PACKAGE if name.count(".") < 2 and name.split(".")[0] in DEMANDED)
USED = sorted(name for name in used_from_outside() if name.split(".")[0] in DEMANDED and not name.endswith("._version"))


def test_every_room_and_every_module_used_from_outside_lists_its_names() -> None:
    without = [name for name in sorted({*ROOMS, *USED}) if not declared(TREES[name][1])]
    assert without == [], "they need an __all__: other packages or rooms use them"


def test_the_lists_are_what_the_modules_offer() -> None:
    assert WITH_LIST
    for name in WITH_LIST:
        tree = TREES[name][1]
        names = declared(tree)
        assert names is not None
        offered = defined(tree) | (handed_on(name, tree) if name in ROOMS else set())
        assert {*names} - {"__version__"} == offered - {"__version__"}, name
        assert len({*names}) == len(names), name


@pytest.mark.parametrize("name", [name for name in ROOMS if handed_on(name, TREES[name][1])])
def test_a_room_hands_on_names_of_their_own_modules(name: str) -> None:
    """Read, not imported: some of the modules need a training framework."""
    tree = TREES[name][1]
    homes: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and assigned(node) == ["_HOMES"] and node.value is not None:
            homes = ast.literal_eval(node.value)
    imported = {
        alias.name: node.module
        for block in tree.body
        if guarded(block)
        for node in getattr(block, "body", [])
        if isinstance(node, ast.ImportFrom) and node.module != "typing"
        for alias in node.names
    }
    assert homes == imported, "type checkers and Python must find the same"
    for listed, home in homes.items():
        assert listed in defined(TREES[home][1]), f"{home} has no {listed}"


def test_every_listed_name_is_there() -> None:
    for name in [name for name in WITH_LIST if name.split(".")[0] == "fer_edge"]:
        module = importlib.import_module(name)
        for listed in declared(TREES[name][1]) or []:
            assert not isinstance(getattr(module, listed), ModuleType), (name, listed)
            assert listed in dir(module), (name, listed)


@pytest.mark.parametrize("name", ROOMS)
def test_no_listed_name_is_that_of_a_module_of_the_room(name: str) -> None:
    modules = {other.rpartition(".")[2] for other in TREES if other.rpartition(".")[0] == name}
    assert not modules & {*(declared(TREES[name][1]) or [])}, "what the name means would depend on what was imported"


def test_array_types_are_defined_once() -> None:
    owners = {
        (name, node.targets[0].id)
        for name, (_, tree) in TREES.items()
        if name.split(".")[0] in DEMANDED
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and ast.unparse(node.value) in ("npt.NDArray[np.uint8]", "npt.NDArray[np.float32]")
    }
    assert owners == {("fer_edge.arrays", "Image"), ("fer_edge.arrays", "FloatArray")}


def test_a_room_does_not_load_what_it_hands_on() -> None:
    code = "; ".join(f"import {name}" for name in ROOMS) + "; import sys; print({'numpy', 'cv2'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_names_of_the_training_package_are_loaded_when_they_are_used() -> None:
    code = "import sys, fer_train; before = 'numpy' in sys.modules; print(before, fer_train.Split.__name__, 'keras' in "
    code += "sys.modules, 'train' in dir(fer_train))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "Split", "False", "True"]


def test_an_unknown_name_of_a_room_is_an_attribute_error() -> None:
    capture = importlib.import_module("fer_edge.capture")
    with pytest.raises(AttributeError, match=r"module 'fer_edge\.capture' has no attribute 'nothing'"):
        _ = capture.nothing
