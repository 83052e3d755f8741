"""Small modules, short functions: what keeps a file readable in one sitting."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_LINES = 400
MAX_FUNCTION_LINES = 60
SOURCES = [
    path
    for folder in ("edge", "train", "export", "benchmarks", "tests", "examples", "docs", "models")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def test_files_and_functions_are_short() -> None:
    faults = []
    for path in SOURCES:
        source, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT)
        lines = source.count("\n")
        if lines > MAX_LINES:
            faults.append(f"{name} has {lines} lines; split it by concern")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                long = (node.end_lineno or node.lineno) - node.lineno + 1
                if long > MAX_FUNCTION_LINES:
                    faults.append(f"{name}:{node.lineno} {node.name} has {long} lines")
    assert SOURCES
    assert faults == []
