"""Runs on the Python of the environment ``tpu-mlir``: build for a Sophgo chip, and compute faces in its model.

In its folder: ``request.json``, ``faces.npy`` and ``trial.npz`` in, ``answer.json`` and ``answers.npy`` out. Each way
of calibrating is tried; the one whose answers to the trial faces are nearest to those expected is built.

Some operators compute in BF16: sums of residual branches, which the chip's symmetric INT8 rounds coarsest, and the
first block, whose errors go through the whole network. The calibration table names them, after the ONNX file.

The tool finds its libraries by environment variables that it sets when it is imported, too late for its own process; so
what computes runs in children, as many as there are processors.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

NETWORK = "network.mlir"
PRECISIONS = "quantize_table"
FIRST_OPERATORS = 8
"""Within so many the first block ends, in a convolution without an activation."""


class StepError(Exception):
    """A command of the tool failed; its name."""


def main() -> None:
    """Carry the request out; a step that fails is named in the answer."""
    if sys.argv[1:2] == ["compute"]:
        _compute(*sys.argv[2:])
        return
    request = json.loads(Path("request.json").read_text())
    try:
        answer = _carry_out(request)
    except StepError as step:
        answer = {"failed": str(step)}
    Path("answer.json").write_text(json.dumps(answer))


def _carry_out(request: dict[str, Any]) -> dict[str, Any]:
    import numpy as np
    import tpu_mlir  # sets PATH, PYTHONPATH and LD_LIBRARY_PATH for what is started from here  # noqa: F401

    size, processes = request["size"], request["processes"]
    shape = f"[[1,3,{size},{size}]]"
    transform = ["--model_name", "fer", "--model_def", request["model"], "--input_shapes", shape, "--mlir", NETWORK]
    faces = ["--dataset", request["calibration"], "--input_num", str(request["n_calibration"])]
    deploy = ["--mlir", NETWORK, "--quantize", "INT8", "--chip", request["chip"], "--quant_input", "--quant_output"]
    with np.load("trial.npz", allow_pickle=False) as file:
        np.save("trial.npy", file["faces"])
        expected = file["expected"]
    divergences = {}
    precise: list[str] = []

    def run(name: str, arguments: list[str]) -> None:
        done = subprocess.run([str(Path(request["tools"]) / name), *arguments], check=False)
        if done.returncode != 0:
            raise StepError(name)

    run("model_transform", transform)
    for method in request["methods"]:
        table = Path(f"{method}.table")
        run("run_calibration", [NETWORK, *faces, "--cali_method", method, "-o", str(table)])
        precise = _precise(table.read_text())
        Path(PRECISIONS).write_text("".join(f"{name} BF16\n" for name in precise))
        given = ["--calibration_table", str(table), *(["--quantize_table", PRECISIONS] if precise else [])]
        run("model_deploy", [*deploy, *given, "--model", f"{method}.cvimodel"])
        divergences[method] = _divergence(expected, _computed(f"{method}.cvimodel", "trial.npy", processes))
    best = min(divergences, key=divergences.__getitem__)
    shutil.move(f"{best}.cvimodel", request["result"])
    tell = [str(Path(request["tools"]) / "model_tool"), "--info", request["result"]]
    facts = subprocess.run(tell, check=False, capture_output=True)
    np.save("answers.npy", _computed(request["result"], "faces.npy", processes))
    info = facts.stdout.decode(errors="replace")
    return {"method": best, "divergences": divergences, "bf16": precise, "info": info}


def _precise(table: str) -> list[str]:
    """The operators of a calibration table that are to compute in BF16.

    Its lines are ``name threshold min max`` in the order of the network, names those of our ONNX file, such as
    ``t73_Add``.
    """
    names = [line.split()[0] for line in table.splitlines() if line.strip() and not line.startswith("#")]
    operators = [name for name in names if re.fullmatch(r"t\d+_\w+", name)]
    ends = [i for i, name in enumerate(operators[:FIRST_OPERATORS]) if name.endswith("_Conv")]
    block = operators[: ends[0] + 1] if ends else []
    return block + [name for name in operators if name.endswith("_Add")]


def _divergence(expected: Any, answers: Any) -> float:
    """Mean Kullback-Leibler divergence of the answers from those expected, both at least half a step of INT8."""
    import numpy as np

    wanted, own = (np.maximum(each.astype(np.float64), 1 / 512) for each in (expected, answers))
    return float((wanted * np.log(wanted / own)).sum(axis=1).mean())


def _computed(model: str, faces: str, processes: int) -> Any:
    """The chip's answers, each child's faces as far apart as there are children."""
    import numpy as np

    processes = min(processes, len(np.load(faces, allow_pickle=False)))
    children = [
        subprocess.Popen([sys.executable, __file__, "compute", model, faces, str(start), str(processes)])
        for start in range(processes)
    ]
    codes = [child.wait() for child in children]
    if any(codes):
        raise SystemExit(f"Error: the chip's model ended with {next(code for code in codes if code)}")
    parts = [np.load(f"part{start}.npy", allow_pickle=False) for start in range(processes)]
    answers = np.empty((sum(map(len, parts)), parts[0].shape[1]), np.float32)
    for start, part in enumerate(parts):
        answers[start::processes] = part
    return answers


def _compute(model: str, faces: str, start: str, step: str) -> None:
    import numpy as np
    from tpu_mlir.python.tools.model_runner import model_inference

    answers = []
    for face in np.load(faces, allow_pickle=False)[int(start) :: int(step)]:
        outputs = model_inference({"input": face[None]}, model, dump_all=False)
        answers.append(np.asarray(next(iter(outputs.values())), np.float32).reshape(-1))
    np.save(f"part{start}.npy", np.stack(answers))


if __name__ == "__main__":
    main()
