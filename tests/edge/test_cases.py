"""The inputs of ``FER_ASSETS/cases``: what people brought, through the command as they start it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fer_edge.app.cli import main


@pytest.fixture
def cases(assets: Path) -> Path:
    if not (assets / "cases").is_dir():
        pytest.skip("FER_ASSETS holds no folder cases/")
    return assets / "cases"


@pytest.fixture
def camera(yunet_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[Any]]:
    def run(source: object, *options: str) -> list[Any]:
        lines = tmp_path / "out.jsonl"
        arguments = ["--source", str(source), "--headless", "--detector-model", str(yunet_model)]
        code = main([*arguments, "--jsonl", str(lines), *options])
        said = capsys.readouterr().err
        assert code == 0, said
        rows = [json.loads(line) for line in lines.read_text().splitlines()]
        return [row["faces"] for row in rows if "faces" in row]  # others tell when the camera began

    return run


def is_one_happy_face(faces: list[Any]) -> bool:
    return len(faces) == 1 and faces[0]["emotion"] == "happy" and bool(faces[0]["probabilities"]["happy"] > 0.7)


def test_heic_of_an_iphone(cases: Path, camera: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    path = cases / "heic_iphone_tiles_2048x1536.heic"
    if importlib.util.find_spec("pillow_heif") is None and importlib.util.find_spec("pi_heif") is None:
        assert main(["--source", str(path), "--headless"]) == 3
        assert "pip install pillow-heif" in capsys.readouterr().err
        return
    [whole], [reference] = camera(path), camera(cases / "heic_iphone_tiles_reference.jpg")
    assert is_one_happy_face(whole)
    assert whole[0]["box"] == pytest.approx(reference[0]["box"], abs=8)


@pytest.mark.parametrize("name", ["jpeg_exif6.jfif", "jpeg_exif6_without_suffix"])
def test_exif_whatever_the_name(cases: Path, name: str, camera: Callable[..., list[Any]], tmp_path: Path) -> None:
    [faces] = camera(cases / name)
    assert is_one_happy_face(faces)
    (tmp_path / "folder").mkdir()
    shutil.copy(cases / name, tmp_path / "folder")
    [faces] = camera(tmp_path / "folder")
    assert is_one_happy_face(faces)


def test_a_camera_that_hangs_upside_down(cases: Path, camera: Callable[..., list[Any]]) -> None:
    [faces] = camera(cases / "face_upside_down.jpg", "--rotate", "180")
    assert is_one_happy_face(faces)


def test_a_mirrored_film(cases: Path, camera: Callable[..., list[Any]]) -> None:
    mirrored, upright = camera(cases / "video_mirrored_matrix.mp4"), camera(cases / "video_upright_reference.mp4")
    assert len(mirrored) == len(upright) == 24
    for here, there in zip(mirrored, upright, strict=True):  # what is stored is the mirror image of the reference
        assert len(here) == len(there) == 1
        assert here[0]["box"] == pytest.approx(there[0]["box"], abs=6)
    width = 596
    for here, there in zip(camera(cases / "video_mirrored_matrix.mp4", "--flip"), upright, strict=True):
        [box], [other] = ([face["box"] for face in faces] for faces in (here, there))
        assert box[0] == pytest.approx(width - other[0] - other[2], abs=14)  # of 105; unmirrored: 80


def test_a_transport_stream_again_and_again(cases: Path, camera: Callable[..., list[Any]]) -> None:
    assert len(camera(cases / "loop.ts", "--loop", "--max-frames", "60")) == 60


def test_a_small_face_in_a_large_photo(
    cases: Path, yunet_model: Path, camera: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    [faces] = camera(cases / "photo_12mp_face_100px.jpg")
    assert is_one_happy_face(faces)
    assert 90 < faces[0]["box"][2] < 110
    photo = str(cases / "jpeg_exif6.jfif")
    assert main(["--source", photo, "--headless", "--detector-model", str(yunet_model)]) == 0
    assert "pixels and larger" in capsys.readouterr().err


def test_an_animation(cases: Path, camera: Callable[..., list[Any]]) -> None:
    without, one, several = camera(cases / "animated_face_in_2nd_frame.webp")
    assert (without, len(several)) == ([], 4)
    assert is_one_happy_face(one)


@pytest.fixture
def mjpeg_server(cases: Path, assets: Path) -> Iterator[Callable[[str], str]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(dialect: str) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        face = assets / "faces" / "one_happy_face.jpg"
        command = [sys.executable, str(cases / "mjpeg_server.py"), dialect, str(port), str(face)]
        started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return f"http://127.0.0.1:{port}/live"
            time.sleep(0.05)
        raise AssertionError("the server did not start")

    yield start
    for process in started:
        process.kill()
        process.wait()


DIALECTS = ["trailing", "jpg", "lf", "chunked", "nodash", "nolength", "wronglength", "raw", "bare", "octet", "snapshot"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_cameras_of_every_dialect(
    dialect: str, mjpeg_server: Callable[[str], str], camera: Callable[..., list[Any]]
) -> None:
    seen = camera(mjpeg_server(dialect), "--max-frames", "2", "--fps", "10")
    assert len(seen) == 2
    for faces in seen:
        assert is_one_happy_face(faces)
