"""Several cameras, one face detector, one network: the newest frame of each camera in turn.

In five lines::

    from fer_edge import CameraGroup

    for result in CameraGroup({"door": "rtsp://10.0.0.5/live", "hall": "rtsp://10.0.0.6/live"}):
        for face in result.faces:
            print(result.camera, result.time_s, face.track_id, face.emotion)

Each camera is read by a thread of its own; two more detect and classify. A camera that has no new frame costs nothing.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Final

from fer_edge.cameras.camera import Camera, CameraOptions
from fer_edge.cameras.turns import Turns
from fer_edge.capture.frames import Frame
from fer_edge.capture.inputs import is_camera
from fer_edge.capture.open import STREAM_SCHEMES, open_source
from fer_edge.channel import Channel, ChannelClosed
from fer_edge.faces.detection import DetectedFace, FaceDetector
from fer_edge.faces.detectors import open_detector
from fer_edge.faces.shared import share
from fer_edge.inference.classifier import Classifier
from fer_edge.loading.open import open_classifier
from fer_edge.pipeline import POLL_S, Recogniser
from fer_edge.results import Result

__all__ = ["STOP_S", "CameraGroup", "Deliver", "is_endless", "open_camera_source"]

STOP_S: Final[float] = 2.0
"""So long the end waits for cameras that hang in a driver or a network, for all of them together, in seconds."""

_THREAD_SAFE: Final[str] = "OPENCV_FFMPEG_IS_THREAD_SAFE"
"""Without it OpenCV opens one video at a time in the whole process, for reading or writing: a camera that does not
answer would hold up the return of every other one, and the start of a recording, for its eight seconds. FFmpeg is
thread-safe since 4.0 (2018), built with threads as in OpenCV's wheels; OpenCV reads this at each opening."""

Deliver = Callable[[Camera, Result], None]
"""Takes a result of a camera. Of a live one in the thread that classifies: it must not wait."""


class CameraGroup:
    """Iterate it for the results of all cameras, as they come; leaving the loop stops the threads.

    A slow reader gets the newest result of each camera, and every result of files. Notices go to the logger
    ``fer_edge``.

    Args:
        cameras: cameras, or ``{name: source}`` with what :func:`fer_edge.capture.open.open_source` takes.
        classifier: None opens the packaged INT8 model.
        detector: None is YuNet where it is at hand, else Haar.
        options: for cameras that are given by their source.

    Raises:
        ValueError: two cameras of one name, or none at all.
    """

    def __init__(
        self,
        cameras: Mapping[str, str | int | os.PathLike[str]] | list[Camera],
        classifier: Classifier | None = None,
        detector: FaceDetector | None = None,
        *,
        options: CameraOptions | None = None,
    ) -> None:
        made = (
            [open_camera_source(name, source, options) for name, source in cameras.items()]
            if isinstance(cameras, Mapping)
            else cameras
        )
        if len({camera.name for camera in made}) != len(made):
            raise ValueError("each camera needs a name of its own")
        if not made:
            raise ValueError("there is no camera")
        self.classifier = classifier if classifier is not None else open_classifier()
        self.detector = detector if detector is not None else open_detector()
        self._shared = share(self.detector)
        self._cameras: dict[str, Camera] = {camera.name: camera for camera in made}
        self._frames: Turns[Camera, Frame] = Turns()
        self._found: Channel[tuple[Camera, Frame, list[DetectedFace]]] = Channel(1)
        self._results: Turns[Camera, Result] = Turns()
        self._deliver: Deliver = self._to_reader
        self._stages: list[threading.Thread] = []
        self._couriers: dict[Camera, Channel[Result]] = {}
        self._closed = False
        self._recognisers: dict[float, Recogniser] = {}
        self.failure: BaseException | None = None
        """What ended detecting or classifying for all cameras, if anything did."""

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """The cameras, in the order in which they were added."""
        return tuple(self._cameras.values())

    @property
    def alive(self) -> bool:
        """Whether both stages that all cameras share run."""
        return bool(self._stages) and all(stage.is_alive() for stage in self._stages)

    def start(self, deliver: Deliver) -> None:
        """Begin without a loop: every result is handed to ``deliver``.

        Args:
            deliver: takes a camera and its result.

        Raises:
            RuntimeError: the group has been started before.
        """
        if self._stages:
            raise RuntimeError("a CameraGroup can be started only once; make a new one")
        os.environ.setdefault(_THREAD_SAFE, "1")
        self._deliver = deliver
        for name, body in (("fer-detect", self._detect), ("fer-classify", self._classify)):
            stage = threading.Thread(target=self._run, args=(body,), name=name, daemon=True)
            self._stages.append(stage)
            stage.start()
        for camera in self.cameras:
            camera.start(self._shared, self._take)

    def use(self, classifier: Classifier, detector: FaceDetector) -> None:
        """Take another network and another detector, for the cameras that are added from now on.

        Args:
            classifier: the network; the one before is not closed.
            detector: the detector.
        """
        self.classifier, self.detector = classifier, detector
        self._shared = share(detector)
        self._recognisers = {}

    def add(self, camera: Camera) -> None:
        """Add a camera while the others run.

        Args:
            camera: not started yet.

        Raises:
            ValueError: there is one of this name.
        """
        if camera.name in self._cameras:
            raise ValueError(f"there is a camera {camera.name} already")
        self._cameras[camera.name] = camera
        if self._stages:
            camera.start(self._shared, self._take)

    def remove(self, name: str, timeout_s: float = STOP_S) -> Camera:
        """Stop a camera and take it out while the others run.

        Args:
            name: of the camera.
            timeout_s: how long to wait for it, in seconds; one that hangs ends later, unseen.

        Returns:
            The camera; no result of it comes after this.

        Raises:
            KeyError: there is none of this name.
        """
        camera = self._cameras.pop(name)
        camera.stop()
        self._frames.forget(camera)
        camera.join(timeout_s)
        self._results.forget(camera)
        return camera

    def __iter__(self) -> Iterator[Result]:
        """The results, until every camera has ended."""
        self.start(self._to_reader)
        try:
            while True:
                done = all(camera.ended.is_set() for camera in self.cameras)
                try:
                    yield self._results.get(0.0 if done else POLL_S)[1]
                except TimeoutError:
                    if done:
                        break
        except ChannelClosed:
            pass
        finally:
            self.close()

    def _to_reader(self, camera: Camera, result: Result) -> None:
        self._results.put(camera, result, wait=not camera.live)

    def close(self) -> None:
        """End all threads and sources; those that hang are waited for two seconds in all. Safe to call again."""
        if self._closed:
            return
        self._closed = True
        for camera in self.cameras:
            camera.stop()
        self._frames.close(discard=True)
        self._found.close(discard=True)
        self._results.close(self.failure, discard=True)
        for courier in list(self._couriers.values()):
            courier.close(discard=True)
        until = time.monotonic() + STOP_S
        for camera in self.cameras:
            camera.join(max(0.0, until - time.monotonic()))
        for stage in self._stages:
            if stage is not threading.current_thread():
                stage.join(max(0.1, until - time.monotonic()))

    def __enter__(self) -> CameraGroup:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, camera: Camera, frame: Frame) -> None:
        if self._frames.put(camera, frame, wait=not camera.live):
            camera.stats.dropped += 1
            camera.land()

    def _run(self, body: Callable[[], None]) -> None:
        try:
            body()
        except ChannelClosed:
            pass
        except BaseException as error:
            self.failure = error
            for camera in self.cameras:
                camera.stop()
            self._results.close(error)

    def _detect(self) -> None:
        while True:
            camera, frame = self._frames.get()
            if camera.stopping:
                camera.land()
                continue
            try:
                faces = camera.find(frame)
            except Exception as error:  # a picture that no detector takes: the other cameras go on
                camera.land()
                camera.fail(error)
                continue
            self._found.put((camera, frame, faces))
            del frame

    def _classify(self) -> None:
        while True:
            camera, frame, detected = self._found.get()
            margin, recognisers = camera.options.margin, self._recognisers
            if margin not in recognisers:
                recognisers[margin] = Recogniser(self.classifier, margin)
            try:
                faces = recognisers[margin].faces(frame, detected, camera.tracker, camera.stats)
            except Exception as error:
                camera.land()
                camera.fail(error)
                continue
            result = Result(frame, faces, time.monotonic(), camera.name)
            del frame
            if camera.stopping:
                camera.land()
            elif camera.live:
                self._hand_over(camera, result)
            else:
                self._send(camera, result)
            del result

    def _hand_over(self, camera: Camera, result: Result) -> None:
        camera.count(result)
        try:
            self._deliver(camera, result)
        finally:
            camera.land()

    def _send(self, camera: Camera, result: Result) -> None:
        """Of a file: by a thread of its own, which may wait for a slow output."""
        courier = self._couriers.get(camera)
        if courier is None:
            courier = self._couriers[camera] = Channel(8)
            name = f"fer-deliver-{camera.name}"
            threading.Thread(target=self._carry, args=(camera, courier), name=name, daemon=True).start()
        courier.put(result)

    def _carry(self, camera: Camera, courier: Channel[Result]) -> None:
        while not camera.ended.is_set():
            try:
                self._hand_over(camera, courier.get(POLL_S))
            except TimeoutError:
                continue
            except ChannelClosed:
                break
        self._couriers.pop(camera, None)


def is_endless(source: str | int | os.PathLike[str]) -> bool:
    """Whether a source is a camera or a stream, which may be away for a while, not a file.

    Args:
        source: as the user names it.

    Returns:
        True for cameras and addresses.
    """
    text = str(source)
    return is_camera(text) or text.lower().startswith(STREAM_SCHEMES)


def open_camera_source(name: str, source: str | int | os.PathLike[str], options: CameraOptions | None = None) -> Camera:
    """A camera by its source.

    Args:
        name: of the camera.
        source: what :func:`fer_edge.capture.open.open_source` takes; opened when the group starts.
        options: how faces are found and answered.

    Returns:
        The camera.
    """
    return Camera(name, lambda: open_source(source), options, keep_trying=is_endless(source))
