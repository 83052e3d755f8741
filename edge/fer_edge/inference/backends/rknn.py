"""Models for Rockchip NPUs (``.rknn``: RK3588, RK3576, RK3566 ...) through RKNN-Toolkit-Lite2 on the board."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fer_edge.errors import DeviceError, MissingDependencyError
from fer_edge.inference.backend import BackendSpec, Tolerance
from fer_edge.logs import LOG

if TYPE_CHECKING:
    import numpy.typing as npt

    from fer_edge.inference.classifier import Classifier
    from fer_edge.inference.rknn_file import RknnFile

PROBE_SECONDS: Final[float] = 60.0
_COMPATIBLE: Path = Path("/proc/device-tree/compatible")
_SAME_NPU: Final[tuple[frozenset[str], ...]] = (
    frozenset({"rk3566", "rk3568"}),
    frozenset({"rk3588", "rk3588s", "rk3582"}),
)
"""Chips with one NPU, which run each other's files."""
_PROBE: Final[str] = """
import sys
from rknnlite.api import RKNNLite
runtime = RKNNLite(verbose=False)
code = runtime.load_rknn(sys.argv[1]) or runtime.init_runtime()
runtime.release()
sys.exit(1 if code else 0)
"""


def open_model(model_path: Path, *, threads: int = 1) -> Classifier:
    """One ``.rknn`` model on the board's NPU. The NPU computes; ``threads`` changes nothing.

    Raises:
        ModelError: no such file, or not an emotion model.
        MissingDependencyError: rknn-toolkit-lite2 is not installed.
        DeviceError: no Rockchip board, another chip than the file is for, no driver, or versions that do not fit.
    """
    from fer_edge.inference.rknn_file import read_rknn

    del threads
    file = read_rknn(model_path)
    _check_chip(file, board_chip())
    runtime = _start(model_path, file)
    return _classifier(model_path, file, runtime)


def _classifier(model_path: Path, file: RknnFile, runtime: Any) -> Classifier:
    from fer_edge.inference.classifier import ClassifierBase
    from fer_edge.inference.rknn_file import stored_answers

    class RknnClassifier(ClassifierBase):
        backend = BACKEND.name

        def infer(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
            outputs = runtime.inference(inputs=[tensor], data_format=["nhwc"])
            if not outputs:
                raise DeviceError(f"{model_path}: the NPU gave no answer; is another program using it?")
            return stored_answers(outputs[0], self.output_spec)

        def close(self) -> None:
            runtime.release()

    return RknnClassifier(model_path, file.input_spec, file.output_spec, lambda: _versions(runtime, file))


def board_chip(compatible: Path | None = None) -> str | None:
    """The chip of this board, by its device tree.

    Args:
        compatible: the device tree's list of names.

    Returns:
        Such as ``rk3588``; None where this is no Rockchip board.
    """
    try:
        names = (compatible or _COMPATIBLE).read_bytes().decode("ascii", "replace").split("\0")
    except OSError:
        return None
    chips = [name.partition(",")[2] for name in names if name.startswith("rockchip,")]
    return next((chip for chip in reversed(chips) if chip.startswith(("rk", "rv"))), None)


def _check_chip(file: RknnFile, chip: str | None) -> None:
    made_for = " or ".join(file.platforms) or "a Rockchip NPU"
    if chip is None:
        raise DeviceError(
            f"{file.path} runs on the NPU of {made_for}, and this machine is no Rockchip board; "
            "here use the .tflite file of the same export"
        )
    if file.platforms and not any(_is_same_npu(platform, chip) for platform in file.platforms):
        raise DeviceError(
            f"{file.path} was made for {made_for}, this board has {chip}; export it for this one: "
            f"fer-export --int8 --target {chip}"
        )


def _is_same_npu(platform: str, chip: str) -> bool:
    return platform == chip or any(platform in group and chip in group for group in _SAME_NPU)


def _start(model_path: Path, file: RknnFile) -> Any:
    """A started runtime. It logs why it fails and does not raise, so another process is asked first."""
    try:
        from rknnlite.api import RKNNLite
    except ImportError as error:
        raise MissingDependencyError(
            f"rknn-toolkit-lite2 cannot be imported ({error}); install it with: pip install rknn-toolkit-lite2 "
            "(Linux on 64-bit Arm, Python 3.7 to 3.12)"
        ) from error
    _probe(model_path, file)
    with _nothing_on_stdout():
        runtime = RKNNLite(verbose=False)
        started = runtime.load_rknn(str(model_path)) == 0 and runtime.init_runtime() == 0
    if not started:
        runtime.release()
        raise DeviceError(f"{model_path}: the NPU answered once and then no more; is another program using it?")
    return runtime


@contextlib.contextmanager
def _nothing_on_stdout() -> Iterator[None]:
    """The library writes notices to descriptor 1, among the answers that ``--jsonl -`` writes there."""
    import os

    try:
        sys.stdout.flush()
        real = os.dup(1)
    except (OSError, ValueError, AttributeError):  # closed: then nobody reads there
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(real, 1)
        os.close(real)


def _probe(model_path: Path, file: RknnFile) -> None:
    """Start the runtime in a child process: what it and the library print tells why it fails, or that it crashes.

    Raises :class:`DeviceError` when the child fails, is killed or hangs.
    """
    import subprocess  # late: every start reads this file

    command = [sys.executable, "-c", _PROBE, str(model_path)]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"the NPU did not answer within {PROBE_SECONDS:.0f} s; end other programs that use it, or restart the board"
        ) from error
    printed = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        from fer_edge.inference.rknn_failures import explain_failure

        raise DeviceError(explain_failure(printed, file, done.returncode))
    _notice_versions(printed, file)


def _notice_versions(printed: str, file: RknnFile) -> None:
    import re

    library = re.search(r"librknnrt version:\s*([\d.]+)", printed)
    if library and file.version and library[1].split(".")[:2] != file.version.split(".")[:2]:
        LOG.warning(
            "%s was made by rknn-toolkit2 %s, this board has librknnrt.so %s: check it with fer-camera --verify",
            file.path.name,
            file.version,
            library[1],
        )


def _versions(runtime: Any, file: RknnFile) -> str:
    from importlib import metadata

    try:
        package = metadata.version("rknn-toolkit-lite2")
    except metadata.PackageNotFoundError:
        package = "of unknown version"
    import re

    said = re.search(r"rknnrt\s*(?:version)?:?\s*([\d.]+)", str(runtime.get_sdk_version() or ""))
    library = f" + librknnrt.so {said[1]}" if said else ""
    return f"rknn-toolkit-lite2 {package}{library} (file of {file.version or 'unknown version'})"


BACKEND = BackendSpec(
    name="rknn",
    open=open_model,
    runtime_module="rknnlite.api",
    package="rknn-toolkit-lite2",
    suffixes=(".rknn",),
    rank=35,
    install_hint="rknn-toolkit-lite2",
    # The maker's simulator strays by 0.006 on average and decides 98.3 % of 3,589 faces as LiteRT does.
    tolerance=Tolerance(0.012, 0.95),
    owns_device=True,
)
