"""Several cameras in one process: nobody starves, and what one of them does changes nothing for the others."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fer_edge
from fer_edge.cameras.camera import Camera, CameraOptions
from fer_edge.cameras.group import CameraGroup, open_camera_source
from fer_edge.cameras.turns import Turns
from fer_edge.capture.frames import Frame
from fer_edge.channel import ChannelClosed
from fer_edge.errors import DeviceError, SourceError
from fer_edge.faces.detection import DetectedFace
from fer_edge.loading.open import open_classifier
from fer_edge.results import Result

BOX = (20, 10, 60, 60)


class Script:
    """A live source at a rate; each frame says by its brightness whose it is."""

    continuous = True
    fps: float | None = None
    state = "running"

    def __init__(self, rate: float, *, shade: int = 0, n_frames: int | None = None, live: bool = True) -> None:
        self.live = live
        self.description = f"script {shade}"
        self.shade = shade
        self._n_frames = n_frames
        self._pause = 1.0 / rate if rate else 0.0
        self._stopped = threading.Event()

    def frames(self) -> Iterator[Frame]:
        began = time.monotonic()
        for index in itertools.count() if self._n_frames is None else range(self._n_frames):
            if self._stopped.wait(self._pause) if self._pause else self._stopped.is_set():
                return
            now = time.monotonic()
            yield Frame(np.full((120, 160, 3), self.shade, np.uint8), index, now - began, now)

    def stop(self) -> None:
        self._stopped.set()


class Slow:
    """A detector that takes its time, and refuses the pictures of one shade."""

    name = "slow"

    def __init__(self, pause_s: float = 0.0, refuses: int | None = None) -> None:
        self._pause_s = pause_s
        self._refuses = refuses
        self.threads: set[int] = set()

    def detect(self, image: Any, small: Any = None) -> list[DetectedFace]:
        self.threads.add(threading.get_ident())
        if self._refuses is not None and image[0, 0, 0] == self._refuses:
            raise RuntimeError("no such picture")
        time.sleep(self._pause_s)
        return [DetectedFace(BOX, 0.9)]


def camera(name: str, source: Any, *, keep_trying: bool = True, **options: Any) -> Camera:
    return Camera(name, lambda: source, CameraOptions(**options), keep_trying=keep_trying)


def group(cameras: list[Camera], detector: Any = None) -> CameraGroup:
    return CameraGroup(cameras, open_classifier(backend="fake"), detector or Slow())


def collect(running: CameraGroup, seconds: float) -> list[Result]:
    results = []
    end = time.monotonic() + seconds
    for result in running:
        results.append(result)
        if time.monotonic() > end:
            break
    return results


def test_turns_are_taken_in_order_and_the_newest_counts() -> None:
    turns: Turns[str, int] = Turns()
    assert [turns.put(key, n) for n, key in enumerate("abac")] == [False, False, True, False]
    assert [turns.get(0) for _ in range(3)] == [("a", 2), ("b", 1), ("c", 3)]
    with pytest.raises(TimeoutError):
        turns.get(0)
    turns.put("a", 1)
    assert turns.forget("a")
    assert not turns.forget("a")
    turns.put("b", 7)
    turns.close()
    assert turns.get(0) == ("b", 7)
    for call in (lambda: turns.get(0), lambda: turns.put("a", 1)):
        with pytest.raises(ChannelClosed):
            call()


def test_a_fast_camera_starves_nobody() -> None:
    """The detector manages 100 frames per second; one camera alone delivers several times as many."""
    fast = [camera("fast", Script(500, shade=1))]
    slow = [camera(f"slow{n}", Script(15, shade=2)) for n in range(3)]
    results = collect(group([*fast, *slow], Slow(0.01)), 3.0)
    counts = Counter(result.camera for result in results)
    for each in slow:
        assert counts[each.name] > 0.85 * 15 * 3, counts
        assert each.stats.age_percentiles_ms(99)[0] < 10 * (len(slow) + 2) + 60
    assert counts["fast"] > 60, counts  # what the others leave
    assert fast[0].stats.dropped > 2 * counts["fast"]


def test_results_are_those_of_their_camera_and_in_order() -> None:
    cameras = [camera(name, Script(50, shade=shade)) for name, shade in (("a", 10), ("b", 20), ("c", 30))]
    detector = Slow()
    shades = {"a": 10, "b": 20, "c": 30}
    seen: dict[str, list[Result]] = {name: [] for name in shades}
    for result in collect(group(cameras, detector), 1.0):
        assert result.camera is not None
        assert result.image[0, 0, 0] == shades[result.camera]
        assert result.as_dict()["camera"] == result.camera
        seen[result.camera].append(result)
    for results in seen.values():
        numbers = [result.index for result in results]
        assert numbers == sorted(set(numbers))
        assert len(numbers) > 20
        assert {face.track_id for result in results for face in result.faces} == {1}  # each camera counts by itself
    assert len(detector.threads) == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fer-")]


def test_files_lose_nothing_also_beside_a_camera(video: Path) -> None:
    cameras = [open_camera_source("one", video), open_camera_source("two", video), camera("live", Script(20))]
    results: dict[str | None, list[int]] = {}
    for result in (running := group(cameras)):
        results.setdefault(result.camera, []).append(result.index)
        if all(each.ended.is_set() for each in cameras[:2]):
            cameras[2].stop()
    assert results["one"] == results["two"] == list(range(12))
    assert not any(each.alive for each in running.cameras)


def test_one_file_gives_the_same_as_alone(video: Path) -> None:
    alone = [result.as_dict() for result in fer_edge.FacePipeline(str(video), open_classifier(), Slow())]
    together = [r.as_dict() for r in CameraGroup({"a": video, "b": video}, open_classifier(), Slow())]
    for name in "ab":
        lines = [{k: v for k, v in line.items() if k != "camera"} for line in together if line["camera"] == name]
        assert lines == alone


def test_what_fails_fails_alone(notices: list[str], tmp_path: Path) -> None:
    """A picture that the detector refuses, a source that raises, a file that is none."""

    class Broken(Script):
        def frames(self) -> Iterator[Frame]:
            yield next(super().frames())
            raise SourceError("the middle of the file is missing")

    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    cameras = [
        camera("good", Script(50, shade=1)),
        camera("refused", Script(50, shade=2)),
        camera("broken", Broken(50, shade=1), keep_trying=False),
        open_camera_source("none", bad),
    ]
    running = group(cameras, Slow(refuses=2))
    results = collect(running, 1.0)
    counts = Counter(result.camera for result in results)
    assert counts["good"] > 30
    assert (counts["refused"], counts["none"]) == (0, 0)
    assert counts["broken"] <= 1
    text = "\n".join(notices)
    assert "camera refused has ended: RuntimeError: no such picture" in text
    assert "camera broken is left out: the middle of the file is missing" in text
    assert "camera none is left out: " in text
    assert len(notices) == 3
    assert [each.source.state for each in cameras[2:]] == ["failed", "failed"]


def test_a_camera_that_is_not_there_is_tried_again(notices: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.cameras.camera.RETRY_PAUSES_S", (0.05,))
    attempts = []

    def open_late() -> Any:
        attempts.append(1)
        if len(attempts) < 4:
            raise DeviceError("no camera /dev/video9")
        return Script(50)

    late = Camera("late", open_late)
    results = collect(group([late, camera("there", Script(50))]), 1.0)
    assert {result.camera for result in results} == {"late", "there"}
    assert notices == [
        "camera late: no camera /dev/video9; trying again until it is there",
        "camera late is back",
    ]


def test_one_that_comes_and_goes_changes_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.cameras.camera.RETRY_PAUSES_S", (0.02,))

    class Flapping(Script):
        def frames(self) -> Iterator[Frame]:
            yield from itertools.islice(super().frames(), 3)
            raise OSError("gone")

    class Stalled(Script):
        def frames(self) -> Iterator[Frame]:
            self._stopped.wait()
            yield from ()

    steady = camera("steady", Script(30))
    flapping = Camera("flapping", lambda: Flapping(50))
    results = collect(group([steady, flapping, camera("stalled", Stalled(1))]), 3.0)
    counts = Counter(result.camera for result in results)
    assert counts["steady"] > 0.85 * 30 * 3
    assert steady.stats.dropped <= 1
    assert counts["flapping"] > 20  # it came and went many times
    assert {f.track_id for r in results if r.camera == "flapping" for f in r.faces} == {1}


def test_limits_of_one_camera() -> None:
    slowed = camera("slowed", Script(60), max_fps=10)
    short = camera("short", Script(60), max_frames=7)
    counts = Counter(result.camera for result in collect(group([slowed, short]), 2.0))
    assert counts["short"] == 7
    assert 17 <= counts["slowed"] <= 22
    assert slowed.stats.dropped == 0


def test_the_end_does_not_wait_for_one_that_hangs() -> None:
    class Deaf(Script):
        def stop(self) -> None:
            """A driver that hears nothing."""

    running = group([camera("a", Script(50)), *[camera(f"deaf{n}", Deaf(0.1)) for n in range(4)]])
    collect(running, 0.2)
    began = time.monotonic()
    running.close()
    assert time.monotonic() - began < 3.0


def test_cameras_come_and_go() -> None:
    first = camera("first", Script(50))
    running = group([first])
    counts: Counter[str] = Counter()
    running.start(lambda each, result: counts.update([each.name]))
    second = camera("second", Script(50))
    running.add(second)
    with pytest.raises(ValueError, match="there is a camera first already"):
        running.add(camera("first", Script(1)))
    end = time.monotonic() + 5
    while counts["second"] < 10 and time.monotonic() < end:
        time.sleep(0.01)
    removed = running.remove("first")
    assert removed is first
    assert not first.alive
    before = counts["first"]
    assert before > 5
    time.sleep(0.2)
    assert counts["first"] == before
    assert counts["second"] > 15
    running.close()


def test_names_are_unique_and_there_is_a_camera() -> None:
    with pytest.raises(ValueError, match="a name of its own"):
        group([camera("a", Script(1)), camera("a", Script(1))])
    with pytest.raises(ValueError, match="no camera"):
        group([])


def test_images_are_not_cameras(tmp_path: Path, notices: list[str]) -> None:
    import cv2

    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.zeros((40, 40, 3), np.uint8))
    assert list(CameraGroup({"a": path}, open_classifier(backend="fake"), Slow())) == []
    assert "is not a video" in notices[0]


def test_a_camera_that_does_not_answer_holds_up_nobody(video: Path) -> None:
    """OpenCV opens one video at a time, unless told that FFmpeg may open several: the return of a camera would wait."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        mute = open_camera_source("mute", f"rtsp://127.0.0.1:{silent.getsockname()[1]}/x")
        running = group([mute])
        counts: Counter[str] = Counter()
        running.start(lambda each, result: counts.update([each.name]))
        time.sleep(0.5)  # it is being opened now, for eight seconds
        began = time.monotonic()
        running.add(open_camera_source("file", video))
        while counts["file"] < 12 and time.monotonic() < began + 7:
            time.sleep(0.02)
        assert counts["file"] == 12
        assert not mute.tried.is_set()
        running.close()
