"""Runs on the Python of the environment ``rknn``: build for a Rockchip NPU, and compute faces in the simulator.

One process builds, because rknn-toolkit2 simulates only what it has just built; copies of it, one per processor, share
the faces. It writes what it finds in the
folder in which it is started: ``request.json`` and ``faces.npy`` in, ``answer.json`` and ``answers.npy`` out.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
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
    processes = min(request["processes"], len(faces))
    children = [_child(rknn, faces[start::processes], start) for start in range(processes)]
    endings = [os.waitpid(child, 0)[1] for child in children]
    if any(endings):
        return {"error": f"inference fails ({_last_error() or 'see above'})"}
    parts = [np.load(f"part{start}.npy", allow_pickle=False) for start in range(processes)]
    answers = np.empty((len(faces), parts[0].shape[1]), parts[0].dtype)
    for start, part in enumerate(parts):
        answers[start::processes] = part
    np.save("answers.npy", answers)
    return {"ok": True}


def _child(rknn: Any, faces: Any, start: int) -> int:
    """A copy of this process that computes these faces; returns its number."""
    import numpy as np

    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        answers = [rknn.inference([faces[i : i + 1]], data_format=["nhwc"])[0] for i in range(len(faces))]
        np.save(f"part{start}.npy", np.concatenate([np.asarray(one).reshape(1, -1) for one in answers]))
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)  # what the parent would do at its end is the parent's


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
