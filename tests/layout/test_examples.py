"""Every script in ``examples/`` runs as its first line says, in a plain environment."""

from __future__ import annotations

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge import EMOTIONS
from fer_train.synthetic.faces import draw_face, draw_scene

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


def plain(home: Path) -> dict[str, str]:
    """What a new user's shell has; no network, so that nothing is fetched."""
    commands = str(Path(sys.executable).parent)
    return {
        "HOME": str(home),
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "https_proxy": "http://127.0.0.1:9",
    }


def run(name: str, *arguments: object, home: Path) -> str:
    """Standard output of an example."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        cwd=home,
        env=plain(home),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frame, _ = draw_scene("happy", np.random.default_rng(3), 320, 240)
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    assert cv2.imwrite(str(path), frame)
    return path


@pytest.fixture(scope="module")
def video(photo: Path) -> Path:
    """Twelve frames at ten per second, the face in all of them."""
    frame = cv2.imread(str(photo))
    assert frame is not None
    path = photo.with_name("video.avi")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240))
    for _ in range(12):
        writer.write(frame)
    writer.release()
    return path


def test_examples_are_eight_short_ones_that_name_their_command() -> None:
    paths = sorted(EXAMPLES.glob("*.py"))
    assert len(paths) == 8
    for path in paths:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) < 40, path.name
        assert f"python examples/{path.name} " in "".join(lines[:3]), path.name


def test_image_to_json(photo: Path, tmp_path: Path) -> None:
    [face] = json.loads(run("image_to_json.py", photo, home=tmp_path))
    assert set(face["probabilities"]) == set(EMOTIONS)
    assert sum(face["probabilities"].values()) == pytest.approx(1.0, abs=0.02)


def test_own_drawing(video: Path, tmp_path: Path) -> None:
    run("own_drawing.py", video, tmp_path / "out.mp4", home=tmp_path)
    drawn = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    plain_video = cv2.VideoCapture(str(video))
    frames = 0
    while True:
        more, picture = drawn.read()
        if not more:
            break
        _, before = plain_video.read()
        difference = np.abs(np.asarray(picture, np.int16) - np.asarray(before, np.int16))
        assert difference.max() > 60, "nothing was drawn"
        frames += 1
    assert frames == 12


def test_count_emotions(video: Path, tmp_path: Path) -> None:
    run("count_emotions.py", video, tmp_path / "counts.csv", home=tmp_path)
    with (tmp_path / "counts.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["second"] for row in rows] == ["0", "1"]
    assert [sum(int(row[name]) for name in (*EMOTIONS, "uncertain")) for row in rows] == [10, 2]


@pytest.mark.slow
def test_plot_emotions(video: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra table is not installed")
    if not hasattr(cv2, "CascadeClassifier"):
        pytest.skip("OpenCV 5 has no Haar cascades")
    (tmp_path / "clips").mkdir()
    shutil.copy(video, tmp_path / "clips" / "one.avi")
    shutil.copy(video, tmp_path / "clips" / "two.avi")
    out = run("plot_emotions.py", "clips", "plot.png", "--detector", "haar", home=tmp_path)
    assert "clips/one.avi" in out and "clips/two.avi" in out and "seconds_happy" in out
    plot = cv2.imread(str(tmp_path / "plot.png"))
    assert plot is not None and len(np.unique(plot.reshape(-1, 3), axis=0)) > 10, "areas in several colours"


def test_own_detector(photo: Path, tmp_path: Path) -> None:
    if not hasattr(cv2, "CascadeClassifier"):
        pytest.skip("OpenCV 5 has no Haar cascades")
    [line] = run("own_detector.py", photo, home=tmp_path).splitlines()
    box, emotion, probability = line.split()
    assert len(box.split(",")) == 4 and emotion in EMOTIONS and 0 < float(probability) <= 1


def test_mqtt_subscriber(video: Path, tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt", reason="the extra mqtt is not installed")
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "broker.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    broker = subprocess.Popen([MOSQUITTO, "-c", str(tmp_path / "broker.conf")], stderr=subprocess.DEVNULL)
    seen = tmp_path / "seen.txt"
    listener = None
    try:
        wait_until_it_listens(port)
        with seen.open("w") as file:
            command = [sys.executable, str(EXAMPLES / "mqtt_subscriber.py"), "127.0.0.1", str(port), "fer"]
            listener = subprocess.Popen(command, stdout=file, env=plain(tmp_path))
        for _ in range(10):  # until the listener has subscribed and a face has come
            camera = [
                sys.executable,
                "-m",
                "fer_edge",
                str(video),
                "--headless",
                "--mqtt",
                f"mqtt://127.0.0.1:{port}/fer",
            ]
            subprocess.run(camera, env=plain(tmp_path), cwd=tmp_path, capture_output=True, timeout=60, check=True)
            if seen.stat().st_size:
                break
        number, emotion, *_ = seen.read_text().splitlines()[0].split()
        assert int(number) >= 1 and emotion in (*EMOTIONS, "None")
    finally:
        for process in (listener, broker):
            if process is not None:
                process.kill()
                process.wait()


def wait_until_it_listens(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("mosquitto did not start")


@pytest.mark.slow
def test_own_keras_model(photo: Path, tmp_path: Path) -> None:
    assets, data = os.environ.get("FER_ASSETS"), os.environ.get("FER2013")
    if not assets or not data:
        pytest.skip("FER_ASSETS and FER2013 name no folder with cases/ and no data")
    pytest.importorskip("tf_keras", reason="the extra export is not installed")
    model = Path(assets) / "cases" / "keras_plain.h5"
    # The case is an untrained network: the gate rightly finds it no better than chance, and counts what INT8 costs it.
    more = ("--allow-chance", "--max-recall-loss", 20, "--min-agreement", 0.5)
    run("own_keras_model.py", model, data, photo, *more, home=tmp_path)
    assert (tmp_path / "out" / "mine" / "fer_int8.tflite").is_file()


def test_openvino_int8(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    face = draw_face("happy", np.random.default_rng(3), 96)
    assert cv2.imwrite(str(tmp_path / "face.png"), face)
    printed = run("openvino_int8.py", ROOT / "models" / "fer_int8.onnx", tmp_path / "face.png", home=tmp_path)
    assert printed.startswith("{'angry': ") and "'happy': " in printed
