"""Runs on the Python of the environment ``tpu-mlir``: build for a Sophgo chip, and compute faces in its model.

In its folder: ``request.json`` and ``faces.npy`` (float32 NCHW) in, ``answer.json`` and ``answers.npy`` out. The tool
finds its libraries by environment variables that it sets when it is imported, too late for its own process; so the
second half runs in a child.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

NETWORK, TABLE = "network.mlir", "calibration_table"


def main() -> None:
    """Carry the request out; a step that fails is named in the answer."""
    request = json.loads(Path("request.json").read_text())
    if sys.argv[1:] == ["compute"]:
        _compute(request)
        return
    Path("answer.json").write_text(json.dumps(_carry_out(request)))


def _carry_out(request: dict[str, Any]) -> dict[str, Any]:
    import tpu_mlir  # sets PATH, PYTHONPATH and LD_LIBRARY_PATH for what is started from here  # noqa: F401

    tools = Path(request["tools"])
    size = request["size"]
    shape = f"[[1,3,{size},{size}]]"
    transform = ["--model_name", "fer", "--model_def", request["model"], "--input_shapes", shape, "--mlir", NETWORK]
    faces = ["--dataset", request["calibration"], "--input_num", str(request["n_calibration"])]
    deploy = ["--mlir", NETWORK, "--quantize", "INT8", "--calibration_table", TABLE, "--chip", request["chip"]]
    steps = (
        ["model_transform", *transform],
        ["run_calibration", NETWORK, *faces, "--cali_method", "use_mse", "-o", TABLE],
        ["model_deploy", *deploy, "--quant_input", "--quant_output", "--model", request["result"]],
    )
    for name, *arguments in steps:
        done = subprocess.run([str(tools / name), *arguments], check=False)
        if done.returncode != 0:
            return {"failed": name, "code": done.returncode}
    facts = subprocess.run([str(tools / "model_tool"), "--info", request["result"]], check=False, capture_output=True)
    subprocess.run([sys.executable, __file__, "compute"], check=True)
    return {"ok": True, "info": facts.stdout.decode(errors="replace")}


def _compute(request: dict[str, Any]) -> None:
    import numpy as np
    from tpu_mlir.python.tools.model_runner import model_inference

    faces = np.load("faces.npy", allow_pickle=False)
    answers = []
    for face in faces:
        outputs = model_inference({"input": face[None]}, request["result"], dump_all=False)
        answers.append(np.asarray(next(iter(outputs.values())), np.float32).reshape(1, -1))
    np.save("answers.npy", np.concatenate(answers))


if __name__ == "__main__":
    main()
