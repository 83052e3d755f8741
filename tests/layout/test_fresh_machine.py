"""All six commands on poorer machines than this one: no home folder, no network, no extra packages.

Each runs in a process of its own, in an empty folder, with the environment of a new user; ``guard/sitecustomize.py``
takes the network and the packages away.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.benchmarks.report_examples import a_report, a_result

from fer_bench.report_file import write_report
from fer_edge.extras import EXTRAS
from fer_train.synthetic.faces import draw_scene
from fer_train.synthetic.folder import write_synthetic

ROOT = Path(__file__).parents[2]
GUARD = Path(__file__).parent / "guard"
ONNX_MODEL = ROOT / "models" / "fer_int8.onnx"
MODULES = {
    "fer-analyze": "fer_edge.analysis.cli",
    "fer-camera": "fer_edge.app.cli",
    "fer-data": "fer_train.commands.data",
    "fer-train": "fer_train.commands.train",
    "fer-export": "fer_export.cli",
    "fer-bench": "fer_bench.cli",
}
EXTRA_MODULES = (
    "tensorflow keras tf_keras tensorflow_model_optimization tensorboard matplotlib rich jinja2 onnx onnxruntime "
    "tf2onnx psutil starlette uvicorn paho cleanlab sklearn torch jax absl pandas scipy pyarrow dask distributed "
    "fsspec s3fs"
)
BASE_ONLY = {"FER_TEST_HIDE": EXTRA_MODULES}


@dataclass
class Ended:
    """How a command ended and what it left."""

    code: int
    out: str
    err: str
    asked: list[str]
    """Hosts outside this machine that it asked for."""
    left: set[str] = field(default_factory=set)
    """Files in the home folder, the temporary one and the working folder, as ``home/...``, ``tmp/...``, ``cwd/...``."""


class User:
    """A new user with an empty home folder; ``home``: ``empty``, ``unset`` or ``unwritable``."""

    def __init__(self, folder: Path, home: str = "empty") -> None:
        self.folder = folder
        for name in ("home", "tmp", "cwd"):
            (folder / name).mkdir(parents=True)
        self.environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "TMPDIR": str(folder / "tmp"),
            "PYTHONPATH": str(GUARD),
            "PYTHONDONTWRITEBYTECODE": "1",
            "FER_TEST_NETWORK": str(folder / "asked"),
            "COLUMNS": "200",
        }
        if home == "empty":
            self.environment["HOME"] = str(folder / "home")
        elif home == "unset":
            self.environment["FER_TEST_NOBODY"] = "1"
        else:  # not even root can make a folder below a file
            (folder / "file").write_text("")
            self.environment["HOME"] = str(folder / "file" / "home")

    def command(self, *arguments: str | Path, prefix: Sequence[str] = (), **variables: str) -> Ended:
        name, *rest = map(str, arguments)
        code = f"import sys; sys.argv[0] = {name!r}; from {MODULES[name]} import main; sys.exit(main())"
        done = subprocess.run(
            [*prefix, sys.executable, "-c", code, *rest],
            cwd=self.folder / "cwd",
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=540,
        )
        file = self.folder / "asked"
        asked = file.read_text().split() if file.exists() else []
        left = {
            str(path.relative_to(self.folder))
            for top in ("home", "tmp", "cwd")
            for path in (self.folder / top).rglob("*")
            if path.is_file()
        }
        assert "Traceback" not in done.stderr, done.stderr
        return Ended(done.returncode, done.stdout, done.stderr, asked, left)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scene = draw_scene("happy", np.random.default_rng(3), 320, 240)[0]
    path = tmp_path_factory.mktemp("video") / "scene.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (320, 240))
    for _ in range(5):
        writer.write(scene)
    writer.release()
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "drawn"
    write_synthetic(folder, {"train": 6, "validation": 3, "test": 3}, size=48, seed=0)
    return folder


def camera(video: Path, *more: str | Path) -> tuple[str | Path, ...]:
    return ("fer-camera", "--source", video, "--headless", "--jsonl", "faces.jsonl", *more)


HAAR = ("--detector", "haar")


# -- nothing is left, nothing is sent -------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(cv2, "CascadeClassifier"), reason="OpenCV 5 has no Haar cascade")
def test_the_camera_leaves_and_asks_nothing(video: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    user = User(tmp_path)
    ended = user.command(*camera(video, *HAAR, "--model", ONNX_MODEL))
    assert (ended.code, ended.asked, ended.left) == (0, [], {"cwd/faces.jsonl"}), ended.err


@pytest.mark.skipif(not hasattr(cv2, "CascadeClassifier"), reason="OpenCV 5 has no Haar cascade")
def test_the_user_may_want_telemetry(video: Path, tmp_path: Path) -> None:
    """A default, no order; and if this finds no file, the test above proves nothing any more."""
    ort = pytest.importorskip("onnxruntime")
    if tuple(map(int, ort.__version__.split(".")[:2])) < (1, 32) or not sys.platform.startswith("linux"):
        pytest.skip("older versions leave nothing")
    ended = User(tmp_path).command(*camera(video, *HAAR, "--model", ONNX_MODEL), ORT_DISABLE_TELEMETRY="0")
    assert ended.code == 0, ended.err
    assert any("onnxruntime" in name for name in ended.left), ended.left


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here")
@pytest.mark.skipif(not hasattr(cv2, "CascadeClassifier"), reason="OpenCV 5 has no Haar cascade")
def test_no_network_call_below_python_either(video: Path, tmp_path: Path) -> None:
    """onnxruntime speaks from C++, where Python's audit hooks hear nothing."""
    pytest.importorskip("onnxruntime")
    trace = tmp_path / "trace"
    prefix = ["strace", "-f", "-qq", "-e", "trace=network", "-o", str(trace)]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")
    ended = User(tmp_path).command(*camera(video, *HAAR, "--model", ONNX_MODEL), prefix=prefix)
    assert ended.code == 0, ended.err
    assert not re.findall(r".*AF_INET.*", trace.read_text())


def test_data_commands_keep_to_the_one_cache_folder(data: Path, tmp_path: Path) -> None:
    user = User(tmp_path)
    ended = user.command("fer-data", "synth", "--to", "drawn", "--train", "2", "--validation", "1", "--test", "1")
    assert (ended.code, ended.asked) == (0, []), ended.err
    assert all(name.startswith("cwd/drawn/") for name in ended.left)
    ended = user.command("fer-data", "import", data, "--to", "copy")
    assert ended.code == 0, ended.err
    ended = user.command("fer-data", "audit", "--data", data, "--html", "a.html", "--json", "a.json")
    assert (ended.code, ended.asked) == (0, []), ended.err
    rest = {name for name in ended.left if not name.startswith(("cwd/drawn/", "cwd/copy/"))}
    assert {"cwd/a.html", "cwd/a.json"} <= rest
    others = rest - {"cwd/a.html", "cwd/a.json"}
    assert others
    assert all(name.startswith("home/.cache/fer-edge-toolkit/datasets/") for name in others)


def test_bench_keeps_to_the_one_cache_folder(tmp_path: Path) -> None:
    for module in ("onnxruntime", "rich", "matplotlib", "jinja2"):
        pytest.importorskip(module)
    ended = User(tmp_path).command(
        *("fer-bench", "--model", ONNX_MODEL, "--seconds", "0.1", "--processes", "1", "--no-accuracy"),
        *("--html", "b.html"),
    )
    assert (ended.code, ended.asked) == (0, []), ended.err
    assert all(name == "cwd/b.html" or name.startswith("home/.cache/fer-edge-toolkit/") for name in ended.left)


# -- no home folder, no network ---------------------------------------------------------------------------------------

homes = pytest.mark.parametrize("home", ["unset", "unwritable"])


@homes
@pytest.mark.skipif(not hasattr(cv2, "CascadeClassifier"), reason="OpenCV 5 has no Haar cascade")
def test_the_camera_without_a_home_folder_and_a_network(home: str, video: Path, tmp_path: Path) -> None:
    ended = User(tmp_path, home).command(*camera(video))
    assert ended.code == 0, ended.err
    assert ended.left == {"cwd/faces.jsonl"}
    assert ended.asked == ["github.com"]
    lines = ended.err.splitlines()
    assert len(lines) == 3, ended.err
    assert "faces are found by Haar" in lines[0]
    assert "--detector-model" in lines[0]


@homes
def test_the_audit_without_a_home_folder(home: str, data: Path, tmp_path: Path) -> None:
    ended = User(tmp_path, home).command("fer-data", "audit", "--data", data)
    assert ended.code == 0, ended.err
    [line] = ended.err.splitlines()
    assert "home" in line
    assert f"caches go to {tmp_path / 'tmp' / 'fer-edge-toolkit-'}" in line
    assert "XDG_CACHE_HOME" in line


def test_a_cache_folder_that_was_named_and_cannot_be_written(data: Path, tmp_path: Path) -> None:
    user = User(tmp_path)
    (tmp_path / "file").write_text("")
    ended = user.command("fer-data", "audit", "--data", data, "--cache-dir", tmp_path / "file" / "cache")
    assert (ended.code, ended.left) == (2, set())
    [line] = ended.err.splitlines()
    assert line.startswith("fer-data: error: decoded images cannot be kept in ")
    assert line.endswith("name another folder with --cache-dir")


def test_no_place_for_caches_at_all(data: Path, tmp_path: Path) -> None:
    """Somebody else's folder has the name that ours would have: it is not trusted."""
    user = User(tmp_path, "unset")
    (tmp_path / "tmp" / f"fer-edge-toolkit-{os.getuid()}").write_text("not a folder")
    ended = user.command("fer-data", "audit", "--data", data)
    assert ended.code == 2
    [line] = ended.err.splitlines()
    assert line.startswith("fer-data: error: no folder for caches")
    assert "XDG_CACHE_HOME" in line


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="needs root to become another user")
def test_a_user_that_the_system_does_not_know(data: Path, video: Path, tmp_path: Path) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("no setpriv here")
    prefix = [setpriv, "--reuid", "54321", "--regid", "54321", "--clear-groups"]
    probe = subprocess.run(
        [*prefix, sys.executable, "-c", "import fer_train, cv2"], capture_output=True, check=False, cwd="/"
    )
    if probe.returncode:
        pytest.skip("others may not read this checkout or its environment")
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)  # pytest makes its folders private
    for folder in (data.parent, data.parent.parent):
        folder.chmod(0o755)
    user = User(tmp_path / "user", "unset")
    del user.environment["FER_TEST_NOBODY"]
    del user.environment["FER_TEST_NETWORK"]  # in a folder that this user may not write
    for folder in (user.folder, *user.folder.iterdir()):
        os.chown(folder, 54321, 54321)
    ended = user.command("fer-data", "audit", "--data", data, prefix=prefix)
    assert ended.code == 0, ended.err
    assert "there is no home folder" in ended.err
    assert "fer-edge-toolkit-54321" in ended.err


def test_training_without_a_network_ends_in_one_line(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow_model_optimization")
    ended = User(tmp_path, "unset").command("fer-train", "--data", data, "--run", "run", "--epochs", "1")
    assert ended.code == 2, ended.err
    error = [line for line in ended.err.splitlines() if "error" in line]
    assert ended.err.splitlines()[-1:] == error, ended.err
    assert "give the weights with --backbone FILE" in error[0]
    assert ended.asked == ["storage.googleapis.com"]
    assert all(name.startswith(("cwd/run/", "tmp/fer-edge-toolkit-")) for name in ended.left)
    assert len(ended.err.splitlines()) <= 4, ended.err


@pytest.mark.slow
@pytest.mark.parametrize("home", ["empty", "unset", "unwritable"])
def test_train_and_export_anywhere(home: str, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow_model_optimization")
    user = User(tmp_path, home)
    options = ("--backbone", "none", "--epochs", "1", "--qat-epochs", "0", "--input-size", "64")
    ended = user.command("fer-train", "--data", data, "--run", "run", *options)
    assert ended.code == 0, ended.err
    limits = ("--max-drop", "100", "--max-recall-loss", "100", "--min-agreement", "0")
    ended = user.command("fer-export", "--int8", "--run", "run", "--data", data, "--out", "out", *limits)
    assert ended.code in (0, 1), ended.err  # what the gate says of such a network is not the question
    assert ended.asked == []
    cache = ("home/.cache/fer-edge-toolkit/",) if home == "empty" else ("tmp/fer-edge-toolkit-",)
    assert all(name.startswith(("cwd/run/", "cwd/out/", *cache)) for name in ended.left), ended.left


# -- the base installation alone --------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(cv2, "CascadeClassifier"), reason="OpenCV 5 has no Haar cascade")
def test_the_base_installation_runs_camera_and_data(data: Path, video: Path, tmp_path: Path) -> None:
    user = User(tmp_path)
    assert user.command(*camera(video, *HAAR), **BASE_ONLY).code == 0
    ended = user.command("fer-data", "synth", "--to", "drawn", "--train", "1", "--validation", "1", "--test", "1")
    assert ended.code == 0, ended.err
    ended = user.command("fer-data", "audit", "--data", data, "--json", "a.json", **BASE_ONLY)
    assert ended.code == 0, ended.err
    assert "exact" in ended.out.lower()
    assert "cwd/a.json" in ended.left
    ended = user.command("fer-data", "audit", "--data", data, "--html", "a.html", **BASE_ONLY)
    assert ended.code == 3
    assert ended.err.strip().endswith("pip install jinja2")


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("fer-train", "--data", "DATA", "--run", "run"), "train"),
        (("fer-export", "--int8", "--out", "out"), "export"),
        (("fer-export", "--int8", "--out", "out", "--data", "DATA"), "export"),
        (("fer-bench",), "bench"),
        (("fer-bench", "compare", "RESULT", "RESULT"), "bench"),
        (("fer-bench", "--end-to-end", "--source", "VIDEO"), "bench"),
        (("fer-data", "audit", "--data", "DATA", "--label-errors"), "audit"),
        (("fer-analyze", "VIDEO", "--out", "results", *HAAR), "table"),
        (("fer-camera", "--source", "VIDEO", "--headless", *HAAR, "--web", "127.0.0.1:0"), "web"),
        (("fer-camera", "--source", "VIDEO", "--headless", *HAAR, "--mqtt", "mqtt://127.0.0.1"), "mqtt"),
    ],
)
def test_the_base_installation_names_what_is_missing(
    arguments: tuple[str, ...], extra: str, data: Path, video: Path, tmp_path: Path
) -> None:
    result = tmp_path / "result.json"
    write_report(a_report([a_result()]), result)
    places = {"DATA": str(data), "VIDEO": str(video), "RESULT": str(result)}
    given = [places.get(part, part) for part in arguments]
    if arguments[0] == "fer-export":
        given += ["--weights", str(ROOT / "models")]
    ended = User(tmp_path / "user").command(*given, **BASE_ONLY)
    assert ended.code == 3, ended.err
    [line] = ended.err.splitlines()
    assert line.endswith("pip install " + " ".join(EXTRAS[extra])), line
    assert not {name for name in ended.left if not name.startswith("home/.cache/fer-edge-toolkit/")}


def test_an_onnx_model_without_its_runtime(video: Path, tmp_path: Path) -> None:
    ended = User(tmp_path).command(*camera(video, "--model", ONNX_MODEL), **BASE_ONLY)
    assert ended.code == 3
    assert ended.err.splitlines()[-1].endswith("pip install onnxruntime")
    assert ended.left == set()


@pytest.mark.parametrize("command", MODULES)
def test_help_everywhere(command: str, tmp_path: Path) -> None:
    ended = User(tmp_path, "unset").command(command, "--help", **BASE_ONLY)
    assert (ended.code, ended.err, ended.asked, ended.left) == (0, "", [], set())
    assert command in ended.out
