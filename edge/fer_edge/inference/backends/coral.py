"""TFLite models compiled for the Edge TPU (Coral USB Accelerator, Dev Board, M.2), through libedgetpu."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fer_edge.errors import DeviceError, ModelError
from fer_edge.inference.backend import BackendSpec, Tolerance

if TYPE_CHECKING:
    from fer_edge.inference.classifier import Classifier

LIBRARY: Final[str] = "libedgetpu.so.1"
GUIDE: Final[str] = "edge/install/coral.md"
PROBE_SECONDS: Final[float] = 30.0
USB_IDS: Final[tuple[tuple[str, str], ...]] = (("1a6e", "089a"), ("18d1", "9302"))
"""Vendor and product of the USB Accelerator before and after its firmware is loaded."""
_USB_DEVICES = Path("/sys/bus/usb/devices")
_PCIE_DEVICE = Path("/dev/apex_0")


def open_model(model_path: Path, *, threads: int = 1) -> Classifier:
    """One compiled model on the first Edge TPU found.

    Raises:
        ModelError: a bad file, or one that is not compiled for the Edge TPU.
        MissingDependencyError: no TFLite runtime is installed.
        DeviceError: the library or the device is missing, or does not fit.
    """
    from importlib import metadata

    from fer_edge.inference.backends import tflite_backend
    from fer_edge.inference.tflite import EDGE_TPU_CUSTOM_OP, TFLiteClassifier

    if EDGE_TPU_CUSTOM_OP not in model_path.read_bytes():
        raise ModelError(
            f"{model_path} is not compiled for the Edge TPU; compile it with: fer-export --int8 --coral, "
            "or run it on the CPU (--backend litert)"
        )
    runtime = tflite_backend()
    module, package = str(runtime.runtime_module), str(runtime.package)
    return TFLiteClassifier(
        BACKEND.name,
        model_path,
        lambda content: _interpreter(content, module, package, threads),
        lambda: f"{package} {metadata.version(package)} + {LIBRARY}",
        accepts_compiled=True,
    )


def _interpreter(content: bytes, module_name: str, package: str, threads: int) -> Any:
    probe_delegate(module_name, package)
    module = importlib.import_module(module_name)
    try:
        delegate = module.load_delegate(LIBRARY)
    except (ValueError, OSError) as error:
        raise DeviceError(explain_delegate_failure(str(error))) from error
    interpreter = module.Interpreter(model_content=content, experimental_delegates=[delegate], num_threads=threads)
    try:
        interpreter.allocate_tensors()
    except RuntimeError as error:  # the delegate's own words; a mismatch of versions shows only here
        raise DeviceError(explain_delegate_failure(str(error))) from error
    return interpreter


def probe_delegate(module_name: str, package: str) -> None:
    """Load libedgetpu in a child process first: built for another TFLite, it crashes the process that loads it.

    Raises :class:`DeviceError` when the child is killed, fails or hangs.
    """
    import subprocess  # late: every start reads this file

    code = f"from {module_name} import load_delegate; load_delegate({LIBRARY!r})"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"the Edge TPU did not answer within {PROBE_SECONDS:.0f} s; replug it, and use a USB 3 port with full power"
        ) from error
    if done.returncode < 0:
        from importlib import metadata

        version = metadata.version(package)
        raise DeviceError(
            f"{LIBRARY} crashes with {package} {version} (signal {-done.returncode}): it was built for another TFLite "
            f"version; see the table in {GUIDE}"
        )
    if done.returncode != 0:
        raise DeviceError(explain_delegate_failure(done.stderr))


def explain_delegate_failure(reason: str) -> str:
    """One line for a failure to load or prepare the delegate.

    ``reason`` is what the loader or libedgetpu reported. Distinguished: library missing, a library that it needs
    missing, version mismatch, no permission, no device.
    """
    text = reason.lower()
    last = next((line.strip() for line in reversed(reason.splitlines()) if line.strip()), "no reason given")
    if "cannot open shared object" in text or "no such file" in text:
        # Read from the loader's own message: "NAME: cannot open shared object file".
        missing = last.split(":")[-3].strip() if last.count(":") >= 2 else LIBRARY
        if "libedgetpu" not in missing:
            return f"{LIBRARY} needs {missing}, which is not installed (apt install libusb-1.0-0?); see {GUIDE}"
        return f"{LIBRARY} is not installed; see {GUIDE} for the package that fits this system"
    mismatches = ("undefined symbol", "custom op handler", "version", "glibc", "batches * single_input_size")
    if any(mark in text for mark in mismatches):
        return f"{LIBRARY} does not fit this TFLite runtime or this model ({last}); see the table in {GUIDE}"
    if "permission" in text or "access" in text or "not permitted" in text:
        return _NO_PERMISSION
    return _explain_silence()


_NO_PERMISSION: Final[str] = (
    "the Edge TPU may not be opened by this user; install edge/install/60-coral.rules, join the group plugdev, "
    "and replug the stick"
)


def _explain_silence() -> str:
    """libedgetpu fails without a word both when no device is there and when it may not be opened; look ourselves."""
    device = edge_tpu_node()
    if device is None:
        return (
            f"no Edge TPU is connected (lsusb shows none of 1a6e:089a, 18d1:9302, and no {_PCIE_DEVICE}); see {GUIDE}"
        )
    try:
        with device.open("r+b", buffering=0):
            pass
    except PermissionError:
        return f"{_NO_PERMISSION} ({device})"
    except OSError as error:
        return f"the Edge TPU at {device} cannot be opened: {error.strerror}; replug it"
    return f"the Edge TPU at {device} is busy or does not answer; does another program use it? Replug it, see {GUIDE}"


def edge_tpu_node() -> Path | None:
    """Device node of the first Edge TPU that the system shows, on USB or PCIe; None without one."""
    for device in sorted(_USB_DEVICES.glob("*")):
        try:
            ids = tuple((device / name).read_text().strip() for name in ("idVendor", "idProduct"))
            if ids in USB_IDS:
                bus, number = (int((device / name).read_text()) for name in ("busnum", "devnum"))
                return Path(f"/dev/bus/usb/{bus:03d}/{number:03d}")
        except (OSError, ValueError):
            continue  # a hub, or a device that has just gone
    return _PCIE_DEVICE if _PCIE_DEVICE.exists() else None


BACKEND = BackendSpec(
    name="coral",
    open=open_model,
    suffixes=("_edgetpu.tflite",),
    rank=30,
    is_tflite=True,
    # It rounds sums otherwise here and there: by one step of 1/256 at first, by more after fifty layers.
    tolerance=Tolerance(0.010, 0.90),
    owns_device=True,
)
