"""A backend, an output and a face detector are each one new file: toys of all three, used from the command line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.errors import FerError
from fer_edge.inference.backend import BackendSpec
from fer_edge.registry import find_records

ROOT = Path(__file__).parents[2]
TOML = pytest.mark.skipif(sys.version_info < (3, 11), reason="--config needs Python 3.11")

BACKEND = '''
"""A toy: the emotion is what the model file says, whatever the face."""
import os
from pathlib import Path

from fer_edge.inference.backend import BackendSpec, Tolerance


def open_model(model_path, *, threads=1):
    import numpy as np
    from fer_edge.inference.classifier import FunctionClassifier
    from fer_edge.inference.tensors import TensorSpec

    size, emotion = map(int, model_path.read_text().split())
    if emotion > 6:
        os.abort()
    with Path(f"{model_path}.opened").open("a") as log:
        log.write(f"{os.getpid()}\\n")
    answer = np.full((1, 7), -128, np.int8)
    answer[0, emotion] = 127
    source = TensorSpec("in", (1, size, size, 3), np.dtype(np.int8), 1 / 128, 0)
    sink = TensorSpec("out", (1, 7), np.dtype(np.int8), 1 / 256, -128)
    return FunctionClassifier("NAME", model_path, source, sink, "toy 1.0", lambda tensor: answer.copy())


BACKEND = BackendSpec(name="NAME", open=open_model, suffixes=(".NAME",), MORE)
'''
OUTPUT = '''
"""A toy: how many faces there were."""
from pathlib import Path

from fer_edge.outputs.output import OutputSpec, option


class Count:
    name, lossless = "count", True

    def __init__(self, path, word):
        self.path, self.word, self.n = path, word, 0

    def write(self, result):
        self.n += len(result.faces)

    def close(self):
        self.path.write_text(f"{self.n} {self.word}")


OUTPUT = OutputSpec(
    name="count",
    options=(
        option("--count", metavar="FILE", help="write how many faces there were"),
        option("--count-word", metavar="W", default="faces", help="what they are called (default: faces)"),
    ),
    open=lambda wanted: Count(Path(wanted.arguments.count), wanted.arguments.count_word),
    writes_file=True,
)
'''
DETECTOR = '''
"""A toy: two faces in each picture, its halves."""
from fer_edge.faces.detection import DetectedFace
from fer_edge.faces.detector import DetectorSpec


class Halves:
    name = "halves"

    def detect(self, image, small=None):
        height, width = image.shape[:2]
        return [DetectedFace((x, 0, width // 2, height), 1.0) for x in (0, width // 2)]


DETECTOR = DetectorSpec(name="halves", open=lambda model=None, *, width: Halves())
'''


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The device side with four more files in it, and nothing else changed."""
    home = tmp_path_factory.mktemp("edge")
    package = home / "fer_edge"
    shutil.copytree(ROOT / "edge" / "fer_edge", package, ignore=shutil.ignore_patterns("__pycache__"))
    backends = package / "inference" / "backends"
    loose = "tolerance=Tolerance(1.0, 0.0)"
    (backends / "toy.py").write_text(BACKEND.replace("NAME", "toy").replace("MORE", loose))
    (backends / "board.py").write_text(BACKEND.replace("NAME", "board").replace("MORE", "owns_device=True"))
    (package / "outputs" / "available" / "count.py").write_text(OUTPUT)
    (package / "faces" / "detectors" / "halves.py").write_text(DETECTOR)
    return home


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Models for the toys, golden vectors beside them, and a picture."""
    golden = ROOT / "models" / "golden.npz"
    shutil.copy(golden, tmp_path)
    with np.load(golden) as stored:
        size = stored["tensors"].shape[1]
    for name in ("m.toy", "m.board"):
        (tmp_path / name).write_text(f"{size} 3")
    cv2.imwrite(str(tmp_path / "scene.png"), np.full((60, 80, 3), 128, np.uint8))
    return tmp_path


def run(edge: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "COLUMNS": "200"}
    environment["PYTHONPATH"] = os.pathsep.join([str(edge), str(ROOT / "benchmarks"), str(ROOT / "train")])
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=60, env=environment, check=False, cwd=folder
    )


def camera(edge: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(edge, folder, "-m", "fer_edge", *arguments)


WATCH = ("--source", "scene.png", "--headless", "--model", "m.toy", "--detector", "halves")


def test_all_three_are_in_the_help(edge: Path, folder: Path) -> None:
    shown = " ".join(camera(edge, folder, "--help").stdout.split())
    assert re.search(r"runtime: auto, litert, .*\btoy\b", shown)
    assert "--detector {auto,yunet,haar,yunet-float,yunet-opencv,halves}" in shown
    assert "--count FILE write how many faces there were" in shown
    assert "fake" not in shown  # is not for users
    bench = " ".join(run(edge, folder, "-m", "fer_bench", "--help").stdout.split())
    assert "face detector for --end-to-end: auto, yunet, haar, yunet-float, yunet-opencv, halves" in bench
    assert re.search(r"runtime of models without @BACKEND: litert, .*\btoy\b", bench)


def test_all_three_work_together(edge: Path, folder: Path) -> None:
    done = camera(edge, folder, *WATCH, "--count", "n.txt", "--jsonl", "r.jsonl")
    assert done.returncode == 0, done.stderr
    assert (folder / "n.txt").read_text() == "2 faces"
    assert (folder / "r.jsonl").read_text().count('"happy"') >= 2
    assert "2 faces (halves)" in done.stderr


@TOML
def test_the_configuration_file_knows_the_output(edge: Path, folder: Path) -> None:
    printed = camera(edge, folder, *WATCH, "--count", "n.txt", "--print-config").stdout
    (folder / "c.toml").write_text(printed.replace('count-word = "faces"', 'count-word = "people"'))
    done = camera(edge, folder, "--config", "c.toml")
    assert done.returncode == 0, done.stderr
    assert (folder / "n.txt").read_text() == "2 people"


def test_two_outputs_are_not_led_into_one_file(edge: Path, folder: Path) -> None:
    done = camera(edge, folder, *WATCH, "--count", "n.txt", "--jsonl", "n.txt")
    assert done.returncode == 2
    assert "--jsonl and --count both name n.txt" in done.stderr
    done = camera(edge, folder, *WATCH, "--count", "scene.png")
    assert "--count scene.png would write over the source" in done.stderr


def test_verify_holds_a_backend_to_its_own_tolerance(edge: Path, folder: Path) -> None:
    """And a model is tried in a process of its own first, unless the backend owns a device."""
    done = camera(edge, folder, "--verify", "--model", "m.toy")
    assert done.returncode == 0, done.stderr
    assert "allowed: 0% alike, 1.0 on average" in done.stdout
    assert len(set((folder / "m.toy.opened").read_text().split())) == 2
    done = camera(edge, folder, "--verify", "--model", "m.board")
    assert done.returncode == 1
    assert "every output must be identical on this runtime" in done.stdout
    assert len(set((folder / "m.board.opened").read_text().split())) == 1


def test_a_model_that_crashes_the_runtime_is_one_line(edge: Path, folder: Path) -> None:
    (folder / "bad.toy").write_text("96 7")
    done = camera(edge, folder, *WATCH, "--model", "bad.toy")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "bad.toy makes the runtime toy crash (SIGABRT)" in done.stderr


def test_the_benchmark_measures_it(edge: Path, folder: Path) -> None:
    code = (
        "from fer_bench.measure.choose_models import choose_contenders\n"
        "from fer_bench.measure.worker_client import Remote\n"
        "[(_, contender)] = choose_contenders(['m.toy'], 'auto', 1)\n"
        "with Remote(contender) as remote:\n"
        "    print(contender.backend, remote.opened.runtime_version)\n"
    )
    done = run(edge, folder, "-c", code)
    assert done.stdout == "toy toy 1.0\n", done.stderr


def test_a_start_that_goes_well_loads_nothing_that_only_failures_need(edge: Path, folder: Path) -> None:
    """These took a tenth of the time to the first result, and 5 MiB."""
    pytest.importorskip("ai_edge_litert")
    code = (
        "import sys\n"
        "import numpy, cv2, ai_edge_litert.interpreter\n"
        "before = set(sys.modules)\n"
        "from fer_edge import FacePipeline, open_classifier\n"
        "from fer_edge.faces.yunet_engines import open_engine\n"
        f"classifier = open_classifier({str(ROOT / 'models' / 'fer_int8.tflite')!r})\n"
        "for_failures = {'argparse', 'difflib', 'email.message', 'importlib.metadata', 'subprocess', 'tempfile'}\n"
        "writers = {f'fer_edge.faces.{name}' for name in ('yunet_int8', 'yunet_tflite', 'yunet_weights', 'tiles')}\n"
        "print(sorted((for_failures | writers) & (set(sys.modules) - before)))\n"
        "print(classifier.runtime_version.split()[0])\n"
    )
    done = run(edge, folder, "-c", code)
    assert done.stdout == "[]\nai-edge-litert\n", done.stdout + done.stderr


def test_records_are_read_without_numpy_and_opencv(edge: Path, folder: Path) -> None:
    """What --help reads; the package's own front module is left out here, so that only the records count."""
    code = (
        "import sys, types\n"
        f"package = types.ModuleType('fer_edge'); package.__path__ = [{str(edge / 'fer_edge')!r}]\n"
        "sys.modules['fer_edge'] = package\n"
        "from fer_edge.inference.backends import backends\n"
        "from fer_edge.faces.detectors import detectors\n"
        "from fer_edge.outputs.available import outputs\n"
        "assert len(backends()) == 7 and len(detectors()) == 5 and len(outputs()) == 9\n"
        "heavy = ('numpy', 'cv2', 'asyncio', 'ssl', 'ai_edge_litert', 'onnxruntime', 'paho')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = run(edge, folder, "-c", code)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("import no_such_runtime", "ModuleNotFoundError: No module named 'no_such_runtime'"),
        ("BACKEND = 1/", "SyntaxError"),
        ("", "expected BACKEND = BackendSpec"),
        ("from fer_edge.inference.backends.onnx import BACKEND", None),
    ],
)
def test_a_file_that_is_not_right_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, words: str | None
) -> None:
    name = f"records_{abs(hash(content))}"
    (tmp_path / name).mkdir()
    for file in ("__init__", "_helper"):
        (tmp_path / name / f"{file}.py").touch()
    (tmp_path / name / "one.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    if words is None:
        assert list(find_records(name, "BACKEND", BackendSpec)) == ["onnx"]
        (tmp_path / name / "two.py").write_text(content)
        words = "the name 'onnx' is taken"
    with pytest.raises(FerError, match=re.escape(words)) as caught:
        find_records(name, "BACKEND", BackendSpec)
    assert f"{name}." in str(caught.value)
    assert "\n" not in str(caught.value)
