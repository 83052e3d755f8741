from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fer_edge.errors import DeviceError, ModelError
from fer_edge.inference.backends import coral
from fer_edge.loading.open import open_classifier

MODEL = (Path(__file__).parents[2] / "models" / "fer_int8.tflite").read_bytes()
COMPILED = MODEL + b".. edgetpu-custom-op .."


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    path = tmp_path / "fer_int8_edgetpu.tflite"
    path.write_bytes(COMPILED)
    return path


@pytest.fixture
def no_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(coral, "_USB_DEVICES", tmp_path / "none")
    monkeypatch.setattr(coral, "_PCIE_DEVICE", tmp_path / "apex_0")


@pytest.mark.usefixtures("no_device")
@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (
            "Traceback ...\nOSError: libedgetpu.so.1: cannot open shared object file: No such file or directory",
            "libedgetpu.so.1 is not installed",
        ),
        (
            "OSError: libusb-1.0.so.0: cannot open shared object file: No such file or directory",
            "needs libusb-1.0.so.0, which is not installed",
        ),
        ("OSError: /lib/libedgetpu.so.1: undefined symbol: _ZN6tflite", "does not fit this TFLite runtime"),
        (
            "RuntimeError: Internal: Unsupported data type in custom op handler: 0Node number 1 "
            "(EdgeTpuDelegateForCustomOp) failed to prepare.",
            "does not fit this TFLite runtime or this model (RuntimeError: Internal: Unsupported data type",
        ),
        ("OSError: libc.so.6: version `GLIBC_2.38' not found", "does not fit"),
        ("Operation not permitted", "may not be opened by this user; install edge/install/60-coral.rules"),
        ("ValueError: Failed to load delegate from libedgetpu.so.1\n", "no Edge TPU is connected"),
        ("", "no Edge TPU is connected"),
    ],
)
def test_each_known_failure_has_its_line(reason: str, expected: str) -> None:
    line = coral.explain_delegate_failure(reason)
    assert expected in line and "\n" not in line
    assert "coral" in line  # where to read on


def plug_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = folder / "2-1"
    device.mkdir(parents=True)
    for name, value in {"idVendor": "18d1", "idProduct": "9302", "busnum": "2", "devnum": "7"}.items():
        (device / name).write_text(f"{value}\n")
    (folder / "usb1").mkdir()  # a hub: no such files
    monkeypatch.setattr(coral, "_USB_DEVICES", folder)


def test_a_connected_stick_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(tmp_path / "usb", monkeypatch)
    assert coral.edge_tpu_node() == Path("/dev/bus/usb/002/007")
    line = coral.explain_delegate_failure("ValueError: Failed to load delegate from libedgetpu.so.1")
    assert "/dev/bus/usb/002/007 cannot be opened: No such file" in line


@pytest.mark.parametrize(
    ("error", "expected"),
    [(PermissionError(13, "denied"), "may not be opened by this user"), (None, "is busy or does")],
)
def test_silent_failures_are_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError | None, expected: str
) -> None:
    node = tmp_path / "node"
    node.touch()
    monkeypatch.setattr(coral, "edge_tpu_node", lambda: node)
    if error is not None:

        def refuse(*_: Any, **__: Any) -> Any:
            raise error

        monkeypatch.setattr(Path, "open", refuse)
    assert expected in coral.explain_delegate_failure("Failed to load delegate")


def test_a_library_that_crashes_is_survived(compiled: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crashing))
    with pytest.raises(DeviceError, match=r"crashes with .* \(signal 11\).*table") as caught:
        open_classifier(compiled)
    assert caught.value.exit_code == 3


def test_a_device_that_hangs(compiled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: Any, **__: Any) -> Any:
        raise subprocess.TimeoutExpired("python", coral.PROBE_SECONDS)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(DeviceError, match="did not answer within 30 s"):
        open_classifier(compiled)


def test_without_the_library_the_line_says_so(compiled: Path) -> None:
    # Real: this machine has no libedgetpu, and where one is, some other failure of the device must be told.
    with pytest.raises((DeviceError, ModelError)) as caught:
        open_classifier(compiled)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3 or "libedgetpu" not in str(caught.value)


def test_uncompiled_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fer_int8.tflite"
    path.write_bytes(MODEL)
    with pytest.raises(ModelError, match="not compiled for the Edge TPU; compile it with"):
        open_classifier(path, backend="coral")


def test_compiled_model_on_the_cpu_is_one_clear_line(compiled: Path) -> None:
    with pytest.raises(ModelError, match="compiled for the Edge TPU and runs only there"):
        open_classifier(compiled, backend="litert")
