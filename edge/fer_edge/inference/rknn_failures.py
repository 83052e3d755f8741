"""Why Rockchip's runtime does not start, in one line: it returns a code, and prints its reasons."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fer_edge.inference.rknn_file import RknnFile

__all__ = ["GUIDE", "LIBRARY", "explain_failure"]

GUIDE: Final[str] = "docs/how-to/rockchip.md"
LIBRARY: Final[str] = "librknnrt.so"
_DEVICES: Path = Path("/dev")
_NODES: Final[tuple[str, ...]] = ("rknpu", "dri/by-path/platform-*npu*-render")


def explain_failure(printed: str, file: RknnFile, code: int = 1) -> str:
    """One line for a runtime that does not start.

    Args:
        printed: what it and ``librknnrt.so`` printed.
        file: the model file.
        code: exit code of the process; negative for a signal.

    Returns:
        What is missing or does not fit, and what to do.
    """
    text = printed.lower()
    for marks, explain in _KNOWN:
        if all(any(mark in text for mark in alternatives) for alternatives in marks):
            return explain(printed, file)
    if code < 0:
        return (
            f"the NPU's runtime crashes (signal {-code}) with {file.path.name}; {LIBRARY}, rknn-toolkit-lite2 and the "
            f"driver must fit together, see {GUIDE}"
        )
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"E\s|\w*(Error|Exception):", line)]
    last = (telling or lines or ["no reason given"])[-1][:200]
    return f"{file.path} cannot be started on the NPU: {last}; see {GUIDE}"


def _no_driver(printed: str, file: RknnFile) -> str:
    """Without driver and without permission the library says the same; look ourselves."""
    del printed, file
    nodes = [node for pattern in _NODES for node in sorted(_DEVICES.glob(pattern))]
    if not nodes:
        return (
            "the system has no driver for the NPU (rknpu): use the image of the board's maker, or Armbian with the "
            f"vendor kernel; mainline kernels do not fit this runtime, see {GUIDE}"
        )
    if not any(os.access(node, os.R_OK | os.W_OK) for node in nodes):
        return (
            f"the NPU may not be opened by this user ({nodes[0]}): sudo usermod -aG render,video $USER, "
            "and log in again"
        )
    return f"the NPU's driver does not answer ({nodes[0]}); restart the board, see {GUIDE}"


def _no_library(printed: str, file: RknnFile) -> str:
    del printed
    return f"{LIBRARY} is not installed; copy the one of rknn-toolkit2 {file.version} to /usr/lib, see {GUIDE}"


def _older_library(printed: str, file: RknnFile) -> str:
    version = re.search(r"librknnrt version:\s*([\d.]+)", printed)
    library = f"{LIBRARY} {version[1]}" if version else f"the installed {LIBRARY}"
    return (
        f"{library} does not know files of rknn-toolkit2 {file.version}, with which {file.path.name} was made; "
        f"replace /usr/lib/{LIBRARY} by that of {file.version} or later, see {GUIDE}"
    )


def _other_npu(printed: str, file: RknnFile) -> str:
    del printed
    made_for = " or ".join(file.platforms) or "another chip"
    return f"{file.path} was made for {made_for}, and this board has another NPU; export it for the board's chip"


def _old_driver(printed: str, file: RknnFile) -> str:
    version = re.search(r"driver (?:information: )?version:\s*([\d.]+)", printed, re.IGNORECASE)
    driver = f" {version[1]}" if version else ""
    return f"the NPU's driver{driver} is too old for {file.path.name}; update the board's system, see {GUIDE}"


def _busy(printed: str, file: RknnFile) -> str:
    del printed, file
    return "the NPU is busy or has no memory left; end other programs that use it"


_KNOWN: Final[tuple[tuple[tuple[tuple[str, ...], ...], Callable[[str, RknnFile], str]], ...]] = (
    ((("failed to open rknpu", "failed to open rknn device"),), _no_driver),
    (((LIBRARY,), ("can not find", "cannot open", "not found", "please download")), _no_library),
    ((("invalid rknn model version", "invalid rknn format", "model_invalid"),), _older_library),
    ((("platform_unmatch", "device_unmatch", "target platform"),), _other_npu),
    ((("driver",), ("too low", "too old", "upgrade", "update")), _old_driver),
    ((("device_unavailable", "malloc_fail", "out of memory"),), _busy),
)
"""What is printed (one of each group, in small letters), and what it means; the first that fits counts."""
