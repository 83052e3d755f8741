from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fer_edge
from fer_edge.capture.frames import Frame
from fer_edge.errors import SourceError
from fer_edge.faces.detection import DetectedFace
from fer_edge.labels import EMOTIONS
from fer_edge.loading.open import open_classifier
from fer_edge.pipeline import FacePipeline

BOX = (20, 10, 60, 60)


class ScriptedSource:
    """Frames as fast as asked, or live at a rate; ends with an error if told so."""

    description = "script"
    continuous = True
    fps: float | None = None
    state = "running"

    def __init__(self, n_frames: int, *, rate: float = 0.0, error: Exception | None = None, height: int = 120) -> None:
        self.live = rate > 0.0
        self.delivered = 0
        self.closed_by: str | None = None
        self._n_frames = n_frames
        self._pause = 1.0 / rate if rate else 0.0
        self._error = error
        self._stopped = threading.Event()
        self._height = height

    def frames(self) -> Iterator[Frame]:
        began = time.monotonic()
        try:
            for index in range(self._n_frames):
                if self._stopped.wait(self._pause):
                    return
                now = time.monotonic()
                image = np.full((self._height, 160, 3), index % 256, np.uint8)
                self.delivered += 1
                yield Frame(image, index, now - began if self.live else index / 25.0, now)
            if self._error is not None:
                raise self._error
        finally:
            self.closed_by = threading.current_thread().name

    def stop(self) -> None:
        self._stopped.set()


class FixedDetector:
    """Always the same box, after a pause; counts its calls."""

    name = "fixed"

    def __init__(self, pause_s: float = 0.0, boxes: tuple[tuple[int, int, int, int], ...] = (BOX,)) -> None:
        self.calls = 0
        self._pause_s = pause_s
        self._boxes = boxes

    def detect(self, image: npt.NDArray[np.uint8], small: Any = None) -> list[DetectedFace]:
        self.calls += 1
        time.sleep(self._pause_s)
        return [DetectedFace(box, 0.9) for box in self._boxes]


def pipeline(source: Any, detector: Any = None, **options: Any) -> FacePipeline:
    return FacePipeline(source, open_classifier(backend="fake"), detector or FixedDetector(), **options)


def fer_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("fer-")]


def test_every_frame_of_a_file_comes_out_in_order() -> None:
    source = ScriptedSource(40)
    run = pipeline(source, FixedDetector(pause_s=0.002))
    results = list(run)
    assert [result.index for result in results] == list(range(40))
    assert [result.time_s for result in results] == [index / 25.0 for index in range(40)]
    assert (run.stats.frames, run.stats.faces, run.stats.dropped) == (40, 40, 0)
    assert fer_threads() == []
    assert source.closed_by == "fer-capture"  # released by the thread that read


def test_result_is_the_contract_of_the_json_line() -> None:
    [result] = pipeline(ScriptedSource(1), FixedDetector(boxes=(BOX, (90, 40, 50, 50))))
    assert isinstance(result.frame, Frame)
    assert result.image is result.frame.image
    line = result.as_dict()
    assert set(line) == {"frame", "time_s", "faces"}
    assert line["frame"] == result.index == result.frame.index == 0  # the key of the file format stays
    assert [face["track_id"] for face in line["faces"]] == [1, 2]
    face = line["faces"][0]
    assert face["box"] == list(BOX)
    assert tuple(face["probabilities"]) == EMOTIONS == tuple(face["raw"])
    assert sum(face["probabilities"].values()) == pytest.approx(1.0, abs=0.01)
    assert face["emotion"] == max(face["raw"], key=face["raw"].get)


def test_a_live_source_drops_old_frames_and_builds_up_no_delay() -> None:
    """Frames come ten times faster than they can be worked on: their age stays at a few steps of work, not at 200."""
    source = ScriptedSource(200, rate=500.0)
    run = pipeline(source, FixedDetector(pause_s=0.02))
    results = list(run)
    assert run.stats.dropped > len(results)
    assert run.stats.dropped == source.delivered - len(results)
    ages = sorted(result.age_s for result in results)
    assert ages[len(ages) // 2] < 0.4  # 2 s, had they queued up
    frames = [result.index for result in results]
    assert frames == sorted(set(frames))
    assert frames[-1] >= 195  # the newest frame won to the end


def test_a_slow_reader_of_a_live_source_gets_fresh_results() -> None:
    source = ScriptedSource(300, rate=500.0)
    seen = []
    for result in pipeline(source, max_frames=8):
        time.sleep(0.05)
        seen.append(result.index)
    assert seen[-1] >= 16  # it would be 7, had nothing been dropped


def test_the_stages_overlap() -> None:
    class SlowClassifier:
        def __init__(self) -> None:
            self._inner = open_classifier(backend="fake")

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def predict(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
            time.sleep(0.02)
            return self._inner.predict(faces)

    run = FacePipeline(ScriptedSource(30), SlowClassifier(), FixedDetector(pause_s=0.02))
    began = time.monotonic()
    assert len(list(run)) == 30
    alone = 30 * 0.02
    assert time.monotonic() - began < 1.8 * alone  # one after the other it would be 2


def test_detection_in_every_third_frame() -> None:
    detector = FixedDetector()
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (120, 160, 3), np.uint8)

    class Still(ScriptedSource):
        def frames(self) -> Iterator[Frame]:
            for frame in super().frames():
                yield Frame(picture, frame.index, frame.time_s, frame.captured_at)

    results = list(pipeline(Still(10), detector, detect_every=3))
    assert detector.calls == 4
    assert [result.faces[0].box for result in results] == [BOX] * 10
    assert {result.faces[0].track_id for result in results} == {1}
    with pytest.raises(ValueError, match="1 or more"):
        pipeline(ScriptedSource(1), detect_every=0)


def test_max_frames_ends_the_source_too() -> None:
    source = ScriptedSource(10_000)
    assert len(list(pipeline(source, max_frames=3))) == 3
    assert source.delivered < 50
    assert fer_threads() == []


def test_leaving_the_loop_ends_the_threads() -> None:
    run = pipeline(ScriptedSource(10_000))
    for _ in run:
        break
    run.close()
    assert fer_threads() == []
    with pytest.raises(RuntimeError, match="only once"):
        next(iter(run))


def test_request_stop_from_elsewhere_while_nothing_comes() -> None:
    run = pipeline(ScriptedSource(10, rate=0.01))
    ticks = run.poll(0.02)
    assert next(ticks) is None
    run.request_stop()
    assert list(ticks) == []
    assert fer_threads() == []


def test_an_error_of_the_source_arrives_after_its_frames() -> None:
    run = pipeline(ScriptedSource(3, error=SourceError("torn tape")))
    seen = []
    with pytest.raises(SourceError, match="torn tape"):
        for result in run:
            seen.append(result.index)
    assert seen == [0, 1, 2]
    assert fer_threads() == []


def test_an_error_of_the_detector_arrives() -> None:
    class Broken(FixedDetector):
        def detect(self, image: npt.NDArray[np.uint8], small: Any = None) -> list[DetectedFace]:
            raise ZeroDivisionError("detector")

    with pytest.raises(ZeroDivisionError, match="detector"):
        list(pipeline(ScriptedSource(1000), Broken()))
    assert fer_threads() == []


def test_frames_without_faces_and_images_without_neighbours(tmp_path: Path, scene: npt.NDArray[np.uint8]) -> None:
    import cv2

    assert [r.faces for r in pipeline(ScriptedSource(2), FixedDetector(boxes=()))] == [(), ()]
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), scene)
    results = list(pipeline(tmp_path, detect_every=5))
    assert [result.faces[0].track_id for result in results] == [1, 2]  # never the same person
    assert [Path(result.as_dict()["file"]).name for result in results] == ["a.png", "b.png"]


def test_the_five_documented_lines(video: Path) -> None:
    """As in the package's docstring, with the fake network."""
    seen = 0
    for result in fer_edge.FacePipeline(str(video), open_classifier(backend="fake"), FixedDetector()):
        for face in result.faces:
            assert (result.time_s >= 0.0, face.track_id, face.emotion in EMOTIONS, face.box) == (True, 1, True, BOX)
            seen += 1
    assert seen == 12
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        fer_edge.Nonsense  # noqa: B018


def test_statistics() -> None:
    run = pipeline(ScriptedSource(20), FixedDetector(pause_s=0.005))
    assert np.isnan(run.stats.age_percentiles_ms(50)[0])
    assert run.stats.fps == 0.0
    list(run)
    assert run.stats.busy_s["detect"] >= 20 * 0.005
    assert run.stats.busy_s["capture"] < 0.1
    assert 0.0 < run.stats.fps < 200.0
    p50, p99 = run.stats.age_percentiles_ms(50, 99)
    assert 5.0 <= p50 <= p99
    elapsed = run.stats.elapsed_s
    time.sleep(0.02)
    assert run.stats.elapsed_s == elapsed  # stands still after the end


def test_yunet_finds_115_faces_in_115_frames(assets: Path, yunet_model: Path) -> None:
    from fer_edge.faces.detectors.yunet import YuNetDetector

    run = pipeline(assets / "faces" / "talking_head.mp4", YuNetDetector(yunet_model))
    results = list(run)
    assert [len(result.faces) for result in results] == [1] * 115
    assert {result.faces[0].track_id for result in results} == {1}


def test_following_boxes_finds_them_where_yunet_does(assets: Path, yunet_model: Path) -> None:
    from fer_edge.faces.detectors.yunet import YuNetDetector
    from fer_edge.faces.tracks import overlap

    boxes = []
    for every in (1, 3):
        run = pipeline(assets / "faces" / "talking_head.mp4", YuNetDetector(yunet_model), detect_every=every)
        boxes.append([face.box for result in run for face in result.faces])
    assert len(boxes[0]) == len(boxes[1]) == 115
    shared = [overlap(a, b) for a, b in zip(*boxes, strict=True)]
    assert min(shared) > 0.8
    assert sum(shared) / 115 > 0.95
