"""YuNet on LiteRT: the faces of OpenCV, from a file made on the device and kept, and no trace of an earlier view."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.errors import ModelError
from fer_edge.faces.detection import shrink
from fer_edge.faces.detectors import open_detector
from fer_edge.faces.detectors.yunet import YuNetDetector
from fer_edge.faces.yunet_decode import candidates, suppress
from fer_edge.faces.yunet_engines import FloatEngine, Int8Engine, OpenCVEngine, yunet_tflite
from fer_edge.faces.yunet_weights import read_yunet

pytest.importorskip("ai_edge_litert")
Image = npt.NDArray[np.uint8]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def frames(assets: Path, width: int) -> list[Image]:
    capture = cv2.VideoCapture(str(assets / "faces" / "talking_head.mp4"))
    found = []
    while (frame := capture.read())[0]:
        found.append(shrink(np.asarray(frame[1], np.uint8), width))
    capture.release()
    return found


@pytest.mark.parametrize("width", [160, 320, 640])
def test_faces_are_those_of_opencv(assets: Path, yunet_model: Path, width: int) -> None:
    litert, opencv = FloatEngine(yunet_model, 0.7, average=False), OpenCVEngine(yunet_model, 0.7)
    views = frames(assets, width)[:: 8 if width == 640 else 3]
    for name in ("four_faces.jpg", "no_face.jpg", "one_happy_face.jpg"):
        picture = cv2.imread(str(assets / "faces" / name))
        assert picture is not None
        views.append(shrink(np.asarray(picture, np.uint8), width))
    counts = []
    for view in views:
        mine, theirs = litert.find(view), opencv.find(view)
        counts.append(len(theirs))
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(mine, theirs, atol=1e-3)
    assert sum(counts) >= len(views) - 2  # a view without a face among them


@pytest.mark.parametrize("form", [Int8Engine, FloatEngine])
def test_averaged_boxes_are_steadier(assets: Path, yunet_model: Path, form: Any) -> None:
    views = frames(assets, 320)
    shake = {}
    for average in (False, True):
        engine = form(yunet_model, 0.7, average=average)
        rows = [engine.find(view) for view in views]
        assert [len(found) for found in rows] == [1] * 115
        boxes = np.concatenate(rows)[:, :4]
        centres = boxes[:, :2] + boxes[:, 2:] / 2.0
        shake[average] = float(np.abs(np.diff(centres, n=2, axis=0)).mean())
    assert shake[True] < 0.8 * shake[False]


@pytest.mark.parametrize("form", [Int8Engine, FloatEngine])
def test_no_trace_of_an_earlier_view(yunet_model: Path, assets: Path, form: Any) -> None:
    picture = cv2.imread(str(assets / "faces" / "one_happy_face.jpg"))
    assert picture is not None
    face = shrink(np.asarray(picture, np.uint8), 320)
    engine = form(yunet_model, 0.7)
    assert len(engine.find(face)) == 1
    rows, columns = face.shape[0] - 8, face.shape[1] - 8  # the same padded size, less of the picture
    empty = np.zeros((rows, columns, 3), np.uint8)
    assert len(engine.find(empty)) == 0
    assert (engine._network._padded == engine._network._nothing).all()
    for size in ((64, 64), (33, 1), (1, 500), face.shape[:2]):
        engine.find(np.zeros((*size, 3), np.uint8))
    assert len(engine.find(face)) == 1


@pytest.mark.parametrize("form", [Int8Engine, FloatEngine])
def test_scores_share_a_network_and_widths_do_not(yunet_model: Path, assets: Path, form: Any) -> None:
    """A copy of everything for each score would take memory and time at each start."""
    picture = cv2.imread(str(assets / "faces" / "four_faces.jpg"))
    assert picture is not None
    view = shrink(np.asarray(picture, np.uint8), 320)
    first = form(yunet_model, 0.7, average=False)
    low, other = first.again(0.05, same_size=True), first.again(0.05, same_size=False)
    assert low._network is first._network is not other._network
    few, many = first.find(view), low.find(view)
    assert len(few) == 4 < len(many)
    assert np.array_equal(few, many[:4])
    assert np.array_equal(other.find(view), many)
    # In two threads at once, with views of different sizes, as two cameras of one program might do.
    views = [view, shrink(view, 96)] * 12
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda at: (first, low)[at % 2].find(views[at // 2]), range(48)))
    for at, rows in enumerate(found):
        assert np.array_equal(rows, (first, low)[at % 2].find(views[at // 2]))


@pytest.mark.parametrize("form", [Int8Engine, FloatEngine])
def test_the_network_holds_only_what_xnnpack_takes(yunet_model: Path, form: Any) -> None:
    """RESIZE_NEAREST_NEIGHBOR, say, would cut the network into parts between which data is copied."""
    kinds = {each["op_name"] for each in form(yunet_model, 0.7)._network._interpreter._get_ops_details()}
    known = {"PAD", "CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "ADD", "CONCATENATION", "DEPTH_TO_SPACE"}
    assert kinds - {"DELEGATE"} == known


@pytest.mark.parametrize(
    ("form", "writer"), [("float", "yunet_tflite.write_yunet"), ("int8", "yunet_int8.write_yunet_int8")]
)
def test_the_file_is_kept_checked_and_made_again(
    yunet_model: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch, form: str, writer: str
) -> None:
    made = yunet_tflite(yunet_model, form)
    [kept] = own_cache.rglob("yunet-*")
    assert f"-{form}-" in kept.name
    monkeypatch.setattr(f"fer_edge.faces.{writer}", lambda _: b"made again")
    assert yunet_tflite(yunet_model, form) == made
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.write_bytes(content)
    assert yunet_tflite(yunet_model, form) == b"made again"
    number = "INT8_FORMAT" if form == "int8" else "FLOAT_FORMAT"
    monkeypatch.setattr(f"fer_edge.faces.yunet_engines.{number}", 999)
    monkeypatch.setattr(f"fer_edge.faces.{writer}", lambda _: b"of a newer format")
    assert yunet_tflite(yunet_model, form) == b"of a newer format"


def test_a_cache_that_cannot_be_written_costs_only_time(
    yunet_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fer_edge.faces.yunet_engines.write_bytes", full)
    with caplog.at_level(logging.INFO, "fer_edge"):
        assert yunet_tflite(yunet_model, "int8")[4:8] == b"TFL3"
    assert not caplog.records


def test_another_network_is_left_to_opencv(
    yunet_model: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown(content: bytes) -> None:
        raise ModelError("another network")

    monkeypatch.setattr("fer_edge.faces.yunet_weights.read_yunet", unknown)
    with caplog.at_level(logging.WARNING, "fer_edge"):
        detector = YuNetDetector(yunet_model)
        detector.at_width(160, 0.5)
    assert (detector.name, detector.engine) == ("yunet", "opencv")
    [notice] = caplog.messages  # once, not for every width
    assert notice == "YuNet runs on OpenCV, which takes three times as long as LiteRT: another network"
    with pytest.raises(ModelError):
        YuNetDetector(yunet_model, engine="litert-float")


def test_engines_by_name(yunet_model: Path) -> None:
    assert open_detector("yunet", yunet_model).name == "yunet"
    referee = open_detector("yunet-opencv", yunet_model)
    assert isinstance(referee, YuNetDetector)
    assert (referee.name, referee.engine, referee.at_width(640).engine) == ("yunet-opencv", "opencv", "opencv")


@pytest.mark.parametrize("cut", [0, 1, 7, 100, 5_000, 100_000, 232_000])
def test_damaged_files_are_refused(yunet_model: Path, cut: int) -> None:
    content = yunet_model.read_bytes()
    with pytest.raises(ModelError, match="not the YuNet network"):
        read_yunet(content[:cut])
    rng = np.random.default_rng(cut)
    for _ in range(20):
        damaged = bytearray(content)
        for at in rng.integers(0, len(content), 20):
            damaged[at] = int(rng.integers(256))
        try:
            read_yunet(bytes(damaged))
        except ModelError:
            continue


def test_decoding_by_hand() -> None:
    maps = [np.full((4, 6, 16), -20.0, np.float32), np.full((2, 3, 16), -20.0, np.float32)]
    maps.append(np.full((1, 2, 16), -20.0, np.float32))
    cell = maps[1][1, 2]
    cell[:2] = 4.0
    cell[2:4] = 0.5, -0.25
    cell[4:6] = 0.0, np.log(2.0)
    cell[6:] = np.arange(10) / 10.0
    [row] = candidates(maps, 0.7)
    probability = 1.0 / (1.0 + np.exp(-4.0))
    np.testing.assert_allclose(row[:4], [(2.5 * 16) - 8, (0.75 * 16) - 16, 16, 32], rtol=1e-6)
    np.testing.assert_allclose(row[4:14:2], (np.arange(0, 10, 2) / 10 + 2) * 16, rtol=1e-6)
    np.testing.assert_allclose(row[5:14:2], (np.arange(1, 10, 2) / 10 + 1) * 16, rtol=1e-6)
    assert row[14] == pytest.approx(probability)
    assert len(candidates(maps, 0.99)) == 0


def test_suppression_keeps_one_of_each_group() -> None:
    rows = np.zeros((4, 15), np.float32)
    rows[:, :4] = [[10, 10, 20, 20], [12, 10, 20, 20], [100, 10, 20, 20], [11, 11, 20, 20]]
    rows[:, 14] = [0.9, 0.85, 0.8, 0.75]
    plain, averaged = suppress(rows, 0.3, average=False), suppress(rows, 0.3, average=True)
    assert plain[:, 14].tolist() == averaged[:, 14].tolist() == pytest.approx([0.9, 0.8])
    weights = np.array([0.9, 0.85, 0.75]) ** 2
    assert averaged[0, 0] == pytest.approx((weights * [10, 12, 11]).sum() / weights.sum())
    assert plain[0, 0] == 10
    assert len(suppress(rows[:0], 0.3, average=True)) == 0
