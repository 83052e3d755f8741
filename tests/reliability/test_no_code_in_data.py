"""Nothing that is read may be run: no unpickling, no shell, no evaluation; and what is fetched is pinned."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from fer_edge.faces import yunet_file as detector_file
from fer_edge.faces.yunet_file import YUNET, PinnedFile

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("edge/fer_edge", "train/fer_train", "export/fer_export", "benchmarks/fer_bench")
MODULES = frozenset({"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "telnetlib"})
CALLS = frozenset({"eval", "exec", "compile", "os.system", "os.popen", "yaml.load", "torch.load", "tempfile.mktemp"})
FETCHING = frozenset({"edge/fer_edge/faces/yunet_file.py"})
"""The only files that may ask another machine for something."""


def offences(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"import {name.name}" for name in node.names if name.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield f"from {node.module}"
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in CALLS:
                yield name
            for keyword in node.keywords:
                value = ast.unparse(keyword.value)
                if keyword.arg == "allow_pickle" and value != "False":
                    yield f"{name}(allow_pickle={value})"
                if keyword.arg == "shell" and value != "False":
                    yield f"{name}(shell={value})"
                if keyword.arg == "safe_mode" and value == "False":  # Keras: run code that a model file holds
                    yield f"{name}(safe_mode=False)"
                if keyword.arg in ("verify", "check_hostname") and value == "False":
                    yield f"{name}({keyword.arg}=False)"
            if name in ("np.load", "numpy.load") and not any(k.arg == "allow_pickle" for k in node.keywords):
                yield f"{name} without allow_pickle=False"


def product_files() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((CHECKOUT / package).rglob("*.py"))]


def test_no_product_file_runs_what_it_reads() -> None:
    files = product_files()
    assert len(files) > 80
    found = [
        f"{path.relative_to(CHECKOUT)}: {offence}"
        for path in files
        for offence in offences(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(line, shell=True)",
        "eval(text)",
        "keras.models.load_model(path, safe_mode=False)",
        "requests.get(url, verify=False)",
    ],
)
def test_the_search_finds_what_it_is_for(source: str) -> None:
    assert len(list(offences(ast.parse(source)))) == 1


def test_all_that_is_fetched_is_pinned() -> None:
    files = [value for value in vars(detector_file).values() if isinstance(value, PinnedFile)]
    assert files == [YUNET]
    for file in files:
        assert file.url.startswith("https://")
        assert len(file.sha256) == 64
        int(file.sha256, 16)
        assert file.size > 0
    asking = {
        str(path.relative_to(CHECKOUT))
        for path in product_files()
        if "urlopen" in path.read_text(encoding="utf-8") or "urlretrieve" in path.read_text(encoding="utf-8")
    }
    assert asking == FETCHING
