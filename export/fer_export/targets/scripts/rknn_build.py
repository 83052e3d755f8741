"""Runs on the Python of the environment ``rknn``: build for a Rockchip NPU, and compute faces in the simulator.

One process for both, because rknn-toolkit2 simulates only what it has just built. It writes what it finds in the
folder in which it is started: ``request.json`` and ``faces.npy`` in, ``answer.json`` and ``answers.npy`` out.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    """Carry the request out; a step that fails is named in the answer."""
    request = json.loads(Path("request.json").read_text())
    Path("answer.json").write_text(json.dumps(_carry_out(request)))


def _carry_out(request: dict[str, Any]) -> dict[str, Any]:
    import numpy as np
    from rknn.api import RKNN

    rknn = RKNN(verbose=True, verbose_file="rknn.log")
    steps = (
        (
            "config",
            lambda: rknn.config(target_platform=request["platform"], optimization_level=request["optimization_level"]),
        ),
        ("load_tflite", lambda: rknn.load_tflite(request["model"])),
        ("build", lambda: rknn.build(do_quantization=False)),
        ("export_rknn", lambda: rknn.export_rknn(request["result"])),
        ("init_runtime", rknn.init_runtime),
    )
    for name, step in steps:
        code = step()
        sys.stdout.flush()
        if code != 0:
            return {"error": f"{name} fails ({_last_error() or f'code {code}'})"}
    faces = np.load("faces.npy", allow_pickle=False)
    answers = [rknn.inference([faces[i : i + 1]], data_format=["nhwc"])[0] for i in range(len(faces))]
    np.save("answers.npy", np.concatenate([np.asarray(one).reshape(1, -1) for one in answers]))
    return {"ok": True}


def _last_error() -> str:
    """The tool's own words, from its log: the last line that it marks as an error."""
    try:
        lines = Path("rknn.log").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    errors = [line.strip() for line in lines if line.startswith("E ") or "Error:" in line]
    return errors[-1][:300] if errors else ""


if __name__ == "__main__":
    main()
