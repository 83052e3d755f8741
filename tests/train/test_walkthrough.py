"""The notebook: it opens with pictures, calls the public API, and runs."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "train/walkthrough.ipynb"
TIMEOUT_S = 2400

EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], 4)
place = {"metadata": {"path": sys.argv[2]}}
nbclient.NotebookClient(notebook, timeout=1800, kernel_name="python3", resources=place).execute()
outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
print(sum("image/png" in output.get("data", {}) for output in outputs), "pictures")
"""


def cells(kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == kind]


def test_it_is_ten_cells_that_call_the_public_api() -> None:
    code = ["".join(cell["source"]) for cell in cells("code")]
    assert len(code) == 10
    for command in ("fer_data(", "fer_train(", "fer_export(", "fer_bench(", "audit(", "load_dataset("):
        assert any(command in text for text in code), command


def test_it_opens_with_pictures_and_without_errors_or_paths_of_a_machine() -> None:
    outputs = [output for cell in cells("code") for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) >= 5
    stored = json.dumps(outputs)
    assert "/tmp/" not in stored
    assert "/work/" not in stored
    assert "text/html" not in stored, "commands print plain text, not an output per line"
    assert "interrupted" not in stored.lower() and "invalid" not in stored.lower()
    assert "nan" not in stored.lower().split()
    printed = "".join(text for output in outputs for text in output.get("text", ()))
    for word in ("copies", "near dup", "drawn", "calibrated", "MiB"):
        assert word not in printed, f"stored before the commands dropped the word {word!r}: execute it again"
    assert NOTEBOOK.stat().st_size < 1 << 19


def test_it_exports_through_the_gate_as_it_is() -> None:
    """A variable that switches the gate off in CI would hide what every reader of the notebook meets."""
    code = "\n".join("".join(cell["source"]) for cell in cells("code"))
    for option in ("--max-drop", "--min-agreement", "--max-recall-loss", "WALKTHROUGH_SMALL"):
        assert option not in code
    text = json.dumps([output for cell in cells("code") for output in cell["outputs"]])
    assert "Gate passed" in text
    assert "gate failed" not in text and "will probably" not in text


def can_download() -> bool:
    """Whether the host that Keras downloads weights from has an address here."""
    try:
        socket.getaddrinfo("storage.googleapis.com", 443)
    except OSError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("nbclient", "ipykernel", "tensorflow")),
    reason="nbclient, ipykernel and TensorFlow (extra dev) are not installed",
)
def test_it_runs_as_stored_and_leaves_nothing_in_the_tree(tmp_path: Path) -> None:
    before = {path for path in NOTEBOOK.parent.rglob("*") if "__pycache__" not in path.parts}
    # Kernel and Jupyter keep their connection files and histories in tmp_path, in a process of their own.
    places = {"JUPYTER_RUNTIME_DIR": "runtime", "JUPYTER_CONFIG_DIR": "config", "IPYTHONDIR": "ipython"}
    environment = {key: value for key, value in os.environ.items() if key not in ("FER2013", "MPLBACKEND")}
    environment |= {name: str(tmp_path / place) for name, place in places.items()}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "WALKTHROUGH_WORK": str(tmp_path / "work")}
    weights = sorted((Path(os.environ.get("FER_ASSETS", "none")) / "weights").glob("mobilenet_v2*no_top.h5"))
    if weights:  # the same ones as "imagenet", which Keras downloads
        environment["FER_BACKBONE"] = str(weights[0])
    elif not can_download():
        pytest.skip("ImageNet weights: neither in FER_ASSETS nor within reach")
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(NOTEBOOK), str(tmp_path)],
        env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[0]) >= 5
    models = json.loads((tmp_path / "work/out/manifest.json").read_text())["models"]
    assert len(models) == 4
    assert models["fer_int8.tflite"]["accuracy"] > 0.9, "synthetic faces are easy: less means that training is broken"
    assert {path for path in NOTEBOOK.parent.rglob("*") if "__pycache__" not in path.parts} == before
