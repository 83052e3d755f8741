"""TFLite models compiled for the Edge TPU (Coral USB Accelerator, Dev Board, M.2), through libedgetpu."""

from __future__ import annotations

import importlib
from importlib import metadata
from pathlib import Path
from typing import Any

from fer_edge.backends.tflite import EDGE_TPU_CUSTOM_OP, _TFLiteClassifier, installed_backend
from fer_edge.errors import DeviceError, ModelError

LIBRARY = "libedgetpu.so.1"


class CoralClassifier(_TFLiteClassifier):
    """One compiled model on the first Edge TPU found."""

    backend = "coral"

    def __init__(self, model_path: Path, *, threads: int = 1) -> None:
        if EDGE_TPU_CUSTOM_OP not in model_path.read_bytes():
            raise ModelError(
                f"{model_path} is not compiled for the Edge TPU; compile it with: fer-export --int8 --coral, "
                "or run it on the CPU (--backend litert)"
            )
        self.package = {"litert": "ai-edge-litert", "tflite-runtime": "tflite-runtime"}[installed_backend()]
        super().__init__(model_path, threads=threads)
        self.runtime_version = f"{self.package} {metadata.version(self.package)} + {LIBRARY}"

    def _load(self, content: bytes, threads: int) -> Any:
        module = importlib.import_module(
            "ai_edge_litert.interpreter" if self.package == "ai-edge-litert" else "tflite_runtime.interpreter"
        )
        try:
            delegate = module.load_delegate(LIBRARY)
        except (ValueError, OSError) as error:
            raise DeviceError(explain_delegate_failure(str(error))) from error
        return module.Interpreter(model_content=content, experimental_delegates=[delegate], num_threads=threads)


def explain_delegate_failure(reason: str) -> str:
    """One line for a failure of ``load_delegate``: library missing, no device, no permission, version mismatch."""
    text = reason.lower()
    if "cannot open shared object" in text or "no such file" in text:
        return f"{LIBRARY} is not installed; see edge/install/coral.md for the package that fits this system"
    if "undefined symbol" in text or "version" in text:
        return f"{LIBRARY} does not fit this TFLite runtime ({reason.strip()}); see the table in edge/install/coral.md"
    if "permission" in text or "access" in text:
        return "the Edge TPU may not be opened by this user; install edge/install/60-coral.rules and replug the stick"
    return (
        "no Edge TPU answers; is the stick plugged in (lsusb: 1a6e:089a or 18d1:9302) and its udev rule installed? "
        "See edge/install/coral.md"
    )
