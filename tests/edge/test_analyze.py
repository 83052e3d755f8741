"""One call for one picture, the same defaults everywhere, and notices that a Python program can have."""

from __future__ import annotations

import inspect
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tomllib

import fer_edge
from fer_edge import stills
from fer_edge.app.cli import main
from fer_edge.app.options import build_parser
from fer_edge.arrays import Image
from fer_edge.errors import MissingDependencyError, SourceError
from fer_edge.faces import yunet_file as detector_file
from fer_edge.faces.detectors import open_detector
from fer_edge.loading.open import open_classifier
from fer_edge.pipeline import FacePipeline

ROOT = Path(__file__).parents[2]
haar_only_in_4 = pytest.mark.skipif(not hasattr(cv2, "CascadeClassifier"), reason="OpenCV 5 has no Haar cascade")


def no_network(*_: object) -> Path:
    raise MissingDependencyError("cannot fetch: no network")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Haar everywhere, whatever this machine has in its cache."""
    monkeypatch.setattr(detector_file, "yunet_file", no_network)
    stills._default_detector.cache_clear()


def dicts(faces: Any) -> list[dict[str, Any]]:
    return [face.as_dict() for face in faces]


@haar_only_in_4
def test_a_path_and_an_array_give_what_the_command_gives(
    scene: Image, tmp_path: Path, capsys: pytest.CaptureFixture[str], notices: list[str]
) -> None:
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), scene)
    [face] = fer_edge.analyze(path)
    assert dicts(fer_edge.analyze(str(path))) == dicts([face])
    assert dicts(fer_edge.analyze(scene)) == dicts([face])
    assert len(notices) == 1, "that Haar is used is worth one line, not one a picture"
    assert main(["--source", str(path), "--headless", "--quiet", "--jsonl", "-"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["faces"] == dicts([face])


@haar_only_in_4
def test_grey_views_and_no_face(scene: Image) -> None:
    gray = np.asarray(cv2.cvtColor(scene, cv2.COLOR_BGR2GRAY), np.uint8)
    [face] = fer_edge.analyze(gray)
    assert face.box == fer_edge.analyze(scene)[0].box
    larger = np.zeros((scene.shape[0], 2 * scene.shape[1], 3), np.uint8)
    larger[:, ::2] = scene
    assert dicts(fer_edge.analyze(larger[:, ::2])) == dicts(fer_edge.analyze(scene))  # a view with gaps
    assert fer_edge.analyze(np.zeros((48, 48, 3), np.uint8)) == []
    assert fer_edge.analyze(np.zeros((1, 1), np.uint8)) == []


@haar_only_in_4
def test_options_and_several_threads(scene: Image) -> None:
    classifier, detector = open_classifier(), open_detector("haar")
    [face] = fer_edge.analyze(scene, classifier, detector, min_confidence=1.0)
    assert face.emotion is None
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(dicts(fer_edge.analyze(scene)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((48, 48, 3), np.float32), "got float32 of shape \\(48, 48, 3\\)"),
        (np.zeros((48, 48, 4), np.uint8), "got uint8 of shape \\(48, 48, 4\\)"),
        (np.zeros((1, 48, 48, 3), np.uint8), "expected a path, or uint8 of shape"),
        (np.zeros((0, 48, 3), np.uint8), "empty"),
        (b"\xff\xd8", "got bytes"),
        (0, "got int"),
        (None, "got NoneType"),
        ("0", "cannot be read: No such file"),
        ("https://example.org/face.jpg", "cannot be read: No such file"),
        (ROOT, "is a folder; analyze takes one image, FacePipeline folders and videos"),
        (Path(__file__), "cannot be decoded as an image"),
    ],
)
def test_what_is_no_picture(given: Any, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        fer_edge.analyze(given)


def test_python_and_the_command_have_the_same_defaults() -> None:
    parsed = vars(build_parser().parse_args([]))
    for function in (FacePipeline.__init__, open_detector, open_classifier, fer_edge.analyze):
        given = inspect.signature(function).parameters
        renamed = {"width": "detect_width", "name": "detector"} if function is open_detector else {}
        shared = {
            renamed.get(name, name): one.default for name, one in given.items() if name not in ("classifier", "source")
        }
        # None is decided later: --detect-width by what is looked at
        same = {name for name, value in shared.items() if parsed.get(name) is not None and value is not None}
        assert same, function
        assert {name: shared[name] for name in same} == {name: parsed[name] for name in same}
    assert {"margin", "min_confidence", "smoothing_s", "hysteresis", "detect_every"} <= parsed.keys()
    assert inspect.signature(FacePipeline.__init__).parameters["min_confidence"].default == 0.35
    assert parsed["smoothing"] is True


@haar_only_in_4
def test_a_pipeline_without_options_gives_what_the_command_gives(
    video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.dumps(result.as_dict()) for result in FacePipeline(video)]
    assert any('"track_id"' in line for line in lines)
    assert main(["--source", str(video), "--headless", "--quiet", "--jsonl", "-"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [json.loads(line) for line in lines]


def test_version_is_that_of_the_package_also_in_a_copied_folder(tmp_path: Path) -> None:
    from importlib import metadata

    assert fer_edge.__version__ == metadata.version("fer-edge-toolkit")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in project["project"]["dynamic"]
    (tmp_path / "fer_edge").symlink_to(ROOT / "edge" / "fer_edge")
    code = "import sys; sys.path.insert(0, sys.argv[1]); import fer_edge; print(fer_edge.__version__)"
    said = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.strip() == fer_edge.__version__


@haar_only_in_4
def test_notices_are_records_of_the_package_logger(scene: Image, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "fer_edge"):
        fer_edge.analyze(scene)
    [record] = caplog.records
    assert (record.name, record.levelname) == ("fer_edge", "WARNING")
    assert "Haar" in record.getMessage()


@haar_only_in_4
@pytest.mark.parametrize(
    ("options", "expected"),
    [([], ["fer-camera: warning: faces are found by Haar", "fer-camera: 12 frames"]), (["--quiet"], [])],
)
def test_the_command_shows_notices_on_stderr(
    options: list[str], expected: list[str], video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logging.getLogger("fer_edge")
    before = (list(log.handlers), log.level, log.propagate)
    assert main(["--source", str(video), "--headless", *options]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(expected), lines
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True)), lines
    assert (log.handlers, log.level, log.propagate) == before  # nothing is left behind


def test_a_python_user_sees_nothing_below_warning(tmp_path: Path) -> None:
    code = (
        "import logging, fer_edge; from fer_edge.logs import LOG\n"
        "LOG.info('camera is back'); LOG.warning('camera is lost')"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path
    )
    assert said.stderr == "camera is lost\n"


def test_quiet_still_tells_of_an_output_that_ended(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code says that something went wrong; so must a line."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    options = ["--headless", "--quiet", "--backend", "fake", "--detector", "haar", "--jsonl", "/dev/full"]
    assert main(["--source", str(video), *options]) == 2
    assert "error: output" in capsys.readouterr().err


def test_of_several_pictures_the_first_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    page = np.zeros((48, 48, 3), np.uint8)
    cv2.imwritemulti(str(tmp_path / "two.tiff"), [page, page])
    cv2.imwrite(str(tmp_path / "one.tiff"), page)
    classifier, detector = open_classifier(backend="fake"), open_detector("haar")
    assert fer_edge.analyze(tmp_path / "one.tiff", classifier, detector) == []
    assert caplog.messages == []
    assert fer_edge.analyze(tmp_path / "two.tiff", classifier, detector) == []
    assert caplog.messages == [
        f"{tmp_path / 'two.tiff'} holds several pictures: analyze looks at the first, FacePipeline at all"
    ]


def test_a_video_is_named_as_one(video: Path) -> None:
    with pytest.raises(SourceError, match="is a video; analyze takes one image, FacePipeline folders and videos"):
        fer_edge.analyze(video)
