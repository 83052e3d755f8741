"""Rockchip NPUs, without one: a stand-in for rknnlite that behaves as version 2.5.0 does, and files with its ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.errors import DeviceError, MissingDependencyError, ModelError, UsageError
from fer_edge.inference import rknn_failures
from fer_edge.inference.backends import backend_for, backend_spec
from fer_edge.inference.backends import rknn as backend
from fer_edge.inference.rknn_file import read_rknn, stored_answers
from fer_edge.inference.tensors import TensorSpec
from fer_edge.loading.open import open_classifier
from fer_edge.verification.golden import read_golden
from fer_edge.verification.replay import verify

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "models" / "golden.npz"
OUT = TensorSpec("probabilities", (1, 7), np.dtype(np.int8), 1 / 256, -128)

# rknn_lite.py 2.5.0: no exceptions, codes; reasons are printed, those of librknnrt.so straight to descriptor 1.
RKNNLITE = """
import os, sys
import numpy as np

MODE = os.environ.get("FAKE_NPU", "")
GOLDEN = os.environ["FAKE_NPU_GOLDEN"]


class RKNNLite:
    def __init__(self, verbose=False, verbose_file=None):
        self.started = False

    def load_rknn(self, path, key_path=None):
        with open(path, "rb") as file:
            self.data = file.read()
        return 0

    def init_runtime(self, target=None, device_id=None, async_mode=False, core_mask=0):
        os.write(1, b"I RKNN: [05:42:24.170] RKNN Runtime Information: librknnrt version: 2.5.0 (c949ad889d)\\n")
        words = os.environ.get("FAKE_NPU_SAYS", "")
        if words:
            os.write(1, words.encode() + b"\\n")
        if MODE == "crash":
            os.abort()
        if MODE == "fails":
            sys.stderr.write("E Catch exception when init runtime!\\n")
            return -1
        with np.load(GOLDEN) as stored:
            self.tensors, self.outputs = stored["tensors"], stored["outputs"]
        self.started = True
        return 0

    def inference(self, inputs, data_type=None, data_format=None, inputs_pass_through=None, get_frame_id=False,
                  reuse_outputs=False):
        assert self.started and isinstance(inputs, list) and data_format == ["nhwc"]
        [tensor] = inputs
        if MODE == "silent":
            return None
        assert tensor.dtype == np.int8 and tensor.shape == (1, 96, 96, 3)
        index = int(np.abs(self.tensors.astype(int) - tensor).sum(axis=(1, 2, 3)).argmin())
        stored = self.outputs[index : index + 1]
        if MODE == "wrong":
            stored = np.roll(stored, 1, axis=1)
        if MODE == "float":
            return [(stored.astype(np.float32) + 128) / 256]
        if MODE == "float integers":
            return [stored.astype(np.float32).reshape(1, 7, 1, 1)]
        return [stored]

    def get_sdk_version(self):
        return "RKNN VERSION:\\n  API: 2.5.0 (c949ad889d)\\n  DRV: rknnrt: 2.5.0"

    def release(self):
        self.started = False
"""


def rknn_file(
    path: Path,
    *,
    platforms: tuple[str, ...] = ("rk3588",),
    dtype: str = "int8",
    shape: tuple[int, ...] = (1, 3, 96, 96),
    mean: float = 0.0,
    high: float = 127 / 128,
    version: str = "2.5.0",
    padding: int = 100,
) -> Path:
    """A file as rknn-toolkit2 writes it, without the network in the middle."""
    ends = {
        "attrs": {"input": {"mean": [mean], "std": [mean or 1.0]}, "probabilities": {"is_output": True}},
        "quant_tab": {
            "input": {"scale": [1 / 127], "zero_point": [0], "ori_min": [-1.0], "ori_max": [high]},
            "probabilities": {"scale": [1 / 256], "zero_point": [-128]},
        },
    }
    tensors = [
        {"dtype": {"vx_type": dtype}, "size": list(shape), "url": "input"},
        {"dtype": {"vx_type": dtype}, "size": [1, 7], "url": "probabilities"},
    ]
    summary = {
        "graph": [{"left": "input", "right_tensor_id": 0}, {"left": "output", "right_tensor_id": 1}],
        "norm_tensor": tensors,
        "target_platform": list(platforms),
        "version": version,
    }
    middle = repr(ends).encode() + b"\0" * padding
    header = b"RKNN\0\0\0\0" + struct.pack("<QQQ", 6, len(middle), 0) + b"\0" * 32
    path.write_bytes(header + middle + b"\0\x09\x04\0" + json.dumps(summary).encode())
    return path


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This machine as a board with RK3588 on which rknn-toolkit-lite2 is installed; returns a folder with a model."""
    package = tmp_path / "site" / "rknnlite"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "api.py").write_text(RKNNLITE)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("FAKE_NPU_GOLDEN", str(GOLDEN))
    for name in ("rknnlite", "rknnlite.api"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "compatible").write_bytes(b"radxa,rock-5b\0rockchip,rk3588\0")
    monkeypatch.setattr(backend, "_COMPATIBLE", tmp_path / "compatible")
    monkeypatch.setattr(rknn_failures, "_DEVICES", tmp_path)
    rknn_file(tmp_path / "fer_int8_rk3588.rknn")
    return tmp_path


def behave(monkeypatch: pytest.MonkeyPatch, mode: str, words: str = "") -> None:
    monkeypatch.setenv("FAKE_NPU", mode)
    monkeypatch.setenv("FAKE_NPU_SAYS", words)
    for name in ("rknnlite", "rknnlite.api"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_the_suffix_chooses_it() -> None:
    assert backend_for(Path("fer_int8_rk3588.rknn")) == "rknn"
    with pytest.raises(UsageError, match="does not run"):
        open_classifier(ROOT / "models" / "fer_int8.tflite", backend="rknn")
    assert not backend_spec("rknn").tolerance.is_exact


@pytest.mark.parametrize("mode", ["", "float", "float integers"])
def test_golden_vectors_are_replayed(board: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    behave(monkeypatch, mode)
    report = verify(board / "fer_int8_rk3588.rknn", GOLDEN)
    assert report.passed, report.summary
    assert report.backend == "rknn"
    assert re.fullmatch(r"rknn-toolkit-lite2 .* \+ librknnrt\.so 2\.5\.0 \(file of 2\.5\.0\)", report.runtime)
    golden = read_golden(GOLDEN)
    with open_classifier(board / "fer_int8_rk3588.rknn") as classifier:  # type: ignore[attr-defined]
        answer = classifier.infer(golden.tensors[:1])
    assert np.array_equal(answer, golden.outputs[:1])
    assert answer.dtype == np.int8


def test_an_npu_that_computes_otherwise_fails_verification(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(monkeypatch, "wrong")
    report = verify(board / "fer_int8_rk3588.rknn", GOLDEN)
    assert report.first_difference is not None
    assert report.first_difference.name == "network"
    behave(monkeypatch, "silent")
    with pytest.raises(DeviceError, match="gave no answer"):
        verify(board / "fer_int8_rk3588.rknn", GOLDEN)


def test_the_camera_command_verifies(board: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom fer_edge.inference.backends import rknn\n"
        f"rknn._COMPATIBLE = Path({str(board / 'compatible')!r})\n"
        "from fer_edge.start import fer_camera\nsys.exit(fer_camera())\n"
    )
    (board / "rk3588").mkdir()
    (board / "fer_int8_rk3588.rknn").rename(board / "rk3588" / "fer_int8_rk3588.rknn")
    shutil.copy(GOLDEN, board)  # as fer-export leaves it: one folder above
    model = "rk3588/fer_int8_rk3588.rknn"
    command = [sys.executable, "-c", code, "--verify", "--model", model, "--detector", "haar"]
    done = subprocess.run(
        command,
        cwd=board,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "HOME": str(board)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "on rknn (rknn-toolkit-lite2" in done.stdout
    assert "RKNN:" not in done.stdout  # what the library prints would be among the answers


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            "E RKNN: failed to open rknpu module, need to insmod rknpu dirver!",  # codespell:ignore dirver
            "has no driver for the NPU",
        ),
        (
            "E Can not find dynamic library librknnrt.so\nPlease download the librknnrt.so from https://",
            "librknnrt.so is not installed; copy the one of rknn-toolkit2 2.5.0",
        ),
        (
            "librknnrt version: 1.4.0 (a10f100eb)\nE RKNN: [01:19:04.510] Invalid RKNN model version 6",
            "does not know files of rknn-toolkit2 2.5.0",
        ),
        ("Exception: RKNN init failed. error code: RKNN_ERR_TARGET_PLATFORM_UNMATCH", "was made for rk3588"),
        ("W RKNN: current driver version: 0.7.2 is too low, please upgrade", "driver 0.7.2 is too old"),
        ("Exception: RKNN init failed. error code: RKNN_ERR_DEVICE_UNAVAILABLE", "is busy or has no memory"),
        ("E RKNN: something new", "cannot be started on the NPU: E Catch exception when init runtime!"),
    ],
)
def test_each_known_failure_has_its_line(
    board: Path, monkeypatch: pytest.MonkeyPatch, words: str, expected: str
) -> None:
    behave(monkeypatch, "fails", words)
    with pytest.raises(DeviceError, match=re.escape(expected)) as caught:
        open_classifier(board / "fer_int8_rk3588.rknn")
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


def test_a_driver_that_may_not_be_opened(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (board / "rknpu").touch()
    behave(monkeypatch, "fails", "E RKNN: [1] failed to open rknn device!")
    with pytest.raises(DeviceError, match="driver does not answer"):
        open_classifier(board / "fer_int8_rk3588.rknn")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DeviceError, match=r"may not be opened by this user.*usermod -aG render"):
        open_classifier(board / "fer_int8_rk3588.rknn")


def test_a_runtime_that_crashes_or_hangs_is_survived(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(monkeypatch, "crash")
    with pytest.raises(DeviceError, match=r"crashes \(signal 6\)"):
        open_classifier(board / "fer_int8_rk3588.rknn")

    def hang(*_: Any, **__: Any) -> Any:
        raise subprocess.TimeoutExpired("python", backend.PROBE_SECONDS)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(DeviceError, match="did not answer within 60 s"):
        open_classifier(board / "fer_int8_rk3588.rknn")


def test_another_version_of_the_library_is_noticed(board: Path, notices: list[str]) -> None:
    rknn_file(board / "older.rknn", version="2.3.2")
    open_classifier(board / "older.rknn").close()
    assert any("made by rknn-toolkit2 2.3.2, this board has librknnrt.so 2.5.0" in line for line in notices)


def test_another_chip_is_named(board: Path) -> None:
    rknn_file(board / "other.rknn", platforms=("rk3566",))
    with pytest.raises(DeviceError, match=r"made for rk3566, this board has rk3588; export it.*--target rk3588"):
        open_classifier(board / "other.rknn")
    (board / "compatible").write_bytes(b"radxa,rock-3a\0rockchip,rk3568\0")
    open_classifier(board / "other.rknn").close()  # one NPU in both
    (board / "compatible").unlink()
    with pytest.raises(DeviceError, match=r"no Rockchip board; here use the \.tflite file"):
        open_classifier(board / "other.rknn")


def test_without_the_package(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rknnlite.api", None)
    with pytest.raises(MissingDependencyError, match="pip install rknn-toolkit-lite2"):
        open_classifier(board / "fer_int8_rk3588.rknn")


def test_files_that_are_none_are_refused(board: Path) -> None:
    path = board / "m.rknn"
    whole = (board / "fer_int8_rk3588.rknn").read_bytes()
    for content, words in [
        (b"TFL3" + whole, "is no RKNN file"),
        (whole[:40], "truncated"),
        (whole[:-20], "truncated, damaged"),
        (whole[:300], "truncated, damaged"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ModelError, match=words):
            open_classifier(path)
    for options, words in [
        ({"shape": (1, 3, 96)}, "expected an input of shape"),
        ({"shape": (1, 5, 96, 96)}, "expected an input of shape"),
        ({"dtype": "int16"}, "its input is int16"),
        ({"mean": 100.0}, "normalises pixels by mean"),
        ({"high": 255.0}, "its quantised input takes -1 to 255"),
    ]:
        rknn_file(path, **options)  # type: ignore[arg-type]
        with pytest.raises(ModelError, match=words):
            open_classifier(path)


def test_float16_takes_numbers_and_normalising_files_take_pixels(tmp_path: Path) -> None:
    assert read_rknn(rknn_file(tmp_path / "f.rknn", dtype="float16")).input_spec.dtype == np.float32
    pixels = read_rknn(rknn_file(tmp_path / "p.rknn", mean=128.0)).input_spec
    assert (pixels.dtype.name, pixels.scale, pixels.zero_point) == ("uint8", 1 / 128, 128)


def test_answers_in_each_form() -> None:
    stored = np.array([[-50, -118, -102, -127, -103, -13, -127]], np.int8)
    real = ((stored.astype(np.float32) + 128) / 256)[..., None, None]
    for output in (stored, stored.astype(np.float32), real, real.astype(np.float16)):
        assert np.array_equal(stored_answers(output, OUT), stored)
    floating = TensorSpec("probabilities", (1, 7), np.dtype(np.float32))
    assert stored_answers(real.astype(np.float16), floating).dtype == np.float32
