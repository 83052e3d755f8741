"""Docstrings of the public API say what goes in, what comes out and what is raised (Google style)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FER_EDGE = ROOT / "edge/fer_edge"
PACKAGES = {
    "fer_edge": FER_EDGE,
    "fer_train": ROOT / "train/fer_train",
    "fer_export": ROOT / "export/fer_export",
    "fer_bench": ROOT / "benchmarks/fer_bench",
}
"""Packages in which every listed function, method and class is documented in full."""
ERRORS = {
    node.name
    for node in ast.parse((FER_EDGE / "errors.py").read_text(encoding="utf-8")).body
    if isinstance(node, ast.ClassDef)
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def listed(tree: ast.Module) -> set[str]:
    """``__all__`` of a module, empty without one."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def modules() -> Iterator[tuple[str, ast.Module]]:
    """``package/path.py`` and content of every module of the packages."""
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            where = f"{package}/{path.relative_to(folder).as_posix()}"
            yield where, ast.parse(path.read_text(encoding="utf-8"))


def public_classes() -> Iterator[tuple[str, ast.ClassDef]]:
    """Classes that are listed."""
    for where, tree in modules():
        names = listed(tree)
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name in names:
                yield f"{where}:{node.name}", node


def public_functions() -> Iterator[tuple[str, Function]]:
    """Functions that are listed, and public methods of classes that are."""
    for where, tree in modules():
        names = listed(tree)
        for node in tree.body:
            if isinstance(node, Function) and node.name in names:
                yield f"{where}:{node.name}", node
            elif isinstance(node, ast.ClassDef) and node.name in names:
                for method in node.body:
                    if isinstance(method, Function) and not method.name.startswith("_"):
                        yield f"{where}:{node.name}.{method.name}", method


def sections(docstring: str) -> dict[str, str]:
    """``{"Args": text, ...}`` of a Google-style docstring, without its running text."""
    parts = re.split(r"^(Args|Returns|Yields|Raises):$", docstring, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def parameters(function: Function) -> list[str]:
    given = function.args
    names = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return [name.arg for name in names if name is not None and name.arg not in ("self", "cls")]


def raised(node: ast.AST) -> set[str]:
    """Errors of the toolkit that a body raises itself; functions and classes inside it left out."""
    found: set[str] = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Raise) and child.exc is not None:
            error = child.exc.func if isinstance(child.exc, ast.Call) else child.exc
            found |= {ast.unparse(error).rpartition(".")[2]} & ERRORS
        if not isinstance(child, Function | ast.ClassDef | ast.Lambda):
            found |= raised(child)
    return found


def faults(function: Function) -> list[str]:
    """What the docstring of a function lacks."""
    docstring = ast.get_docstring(function) or ""
    if re.search(r"\bSee :(meth|attr):`", docstring):  # an override, described where the interface is
        return []
    found = sections(docstring)
    decorators = {ast.unparse(decorator) for decorator in function.decorator_list}
    is_attribute = bool(decorators & {"property", "functools.cached_property"})
    lacking = [f"Args: {name}" for name in parameters(function) if not _is_told(name, found.get("Args", ""))]
    answer = ast.unparse(function.returns) if function.returns else "None"
    if answer not in ("None", "NoReturn") and not is_attribute and not {"Returns", "Yields"} & found.keys():
        lacking.append("Returns")
    return lacking + [
        f"Raises: {name}" for name in sorted(raised(function)) if f"{name}: " not in found.get("Raises", "")
    ]


def class_faults(node: ast.ClassDef) -> list[str]:
    """Parameters and errors of a constructor that the class does not tell, and fields without a line of their own."""
    found = sections(ast.get_docstring(node) or "")
    lacking = []
    for member, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            lacking += [f"Args: {p}" for p in parameters(member) if not _is_told(p, found.get("Args", ""))]
            lacking += [f"Raises: {e}" for e in sorted(raised(member)) if f"{e}: " not in found.get("Raises", "")]
        if isinstance(member, ast.AnnAssign) and not ast.unparse(member.target).startswith("_"):
            told = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            # A field of the recipe has its words in it: option(default, "help", ...).
            told = told or (isinstance(member.value, ast.Call) and ast.unparse(member.value.func) == "option")
            lacking += [] if told else [f"field: {ast.unparse(member.target)}"]
    return lacking


def _is_told(parameter: str, arguments: str) -> bool:
    return re.search(rf"^ {{4}}\*{{0,2}}{parameter}: \S", arguments, re.MULTILINE) is not None


CLASSES = dict(public_classes())
PUBLIC = dict(public_functions())


# One test for all: a thousand tests of a millisecond each cost every worker seconds to collect.
def test_docstrings_say_what_goes_in_what_comes_out_and_what_is_raised() -> None:
    assert {name: found for name, function in PUBLIC.items() if (found := faults(function))} == {}


def test_docstrings_of_classes_say_what_they_take_and_what_their_fields_are() -> None:
    assert {name: found for name, node in CLASSES.items() if (found := class_faults(node))} == {}


def test_what_is_lacking_is_found() -> None:
    docstring = '"""Do it.\n\n    Args:\n        a: one.\n    """'
    source = f"def f(a, *b, c=1, **d) -> int:\n    {docstring}\n    raise ModelError(a)\n"
    [function] = ast.parse(source).body
    assert isinstance(function, Function)
    assert faults(function) == ["Args: c", "Args: b", "Args: d", "Returns", "Raises: ModelError"]


def test_the_public_functions_of_the_front_door_are_among_them() -> None:
    front = {"stills.py:analyze", "loading/open.py:open_classifier", "capture/open.py:open_source"}
    front |= {"pipeline.py:FacePipeline.poll", "inference/classifier.py:Classifier.predict"}
    assert {f"fer_edge/{name}" for name in front} <= PUBLIC.keys()
    assert {"fer_export/export.py:export_models", "fer_bench/measure/measurement.py:measure_models"} <= PUBLIC.keys()
    assert {
        f"fer_train/{name}" for name in ("data/dataset.py:load_dataset", "training/session.py:train")
    } <= PUBLIC.keys()
