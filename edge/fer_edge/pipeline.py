"""Capture, detect, classify: three threads that overlap, and results in order for whoever iterates.

In five lines::

    from fer_edge import FacePipeline, open_classifier

    for result in FacePipeline("talking_head.mp4", open_classifier()):
        for face in result.faces:
            print(result.time_s, face.track_id, face.emotion, face.box)

Queues between the threads are short. From a file every frame comes out; from a live source the newest frame wins and
older ones are dropped before they cost anything, so that no delay builds up.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

import numpy as np

from fer_edge.arrays import FloatArray, Image
from fer_edge.capture.frames import Frame, Source
from fer_edge.capture.open import open_source
from fer_edge.capture.rate import limit_rate
from fer_edge.channel import Channel, ChannelClosed, Room
from fer_edge.defaults import (
    DEFAULT_DETECT_EVERY,
    DEFAULT_HYSTERESIS,
    DEFAULT_MARGIN,
    DEFAULT_MIN_CONFIDENCE,
    DEFAULT_SEARCH,
    DEFAULT_SMOOTHING_S,
)
from fer_edge.faces.detection import DetectedFace, FaceDetector
from fer_edge.faces.detectors import open_detector
from fer_edge.faces.search import FaceSearch, check_search
from fer_edge.faces.searched import Searched
from fer_edge.faces.tracks import TrackedAnswer, Tracker
from fer_edge.inference.classifier import Classifier
from fer_edge.labels import NUM_EMOTIONS
from fer_edge.loading.open import open_classifier
from fer_edge.preprocess import preprocess_face
from fer_edge.results import Face, PipelineStats, Result

__all__ = [
    "FRAME_BYTES",
    "JOIN_S",
    "POLL_S",
    "QUEUE_FRAMES",
    "FacePipeline",
    "Recogniser",
    "motion_by_default",
]

QUEUE_FRAMES: Final[int] = 2
FRAME_BYTES: Final[int] = 40 << 20
"""Of the pictures between reading and the end of the loop's turn (of a camera: from the detector on).

Six of 1920x1080, one of 3840x2160.
"""
POLL_S: Final[float] = 0.2
_LET_GO_POLL_S: Final[float] = 0.002
JOIN_S: Final[float] = 12.0  # longer than the longest wait of a driver for a frame


@dataclass
class _Found:
    frame: Frame
    faces: list[DetectedFace]


class FacePipeline:
    """Iterate it once for the results; leaving the loop, however, stops its threads.

    With no options it does what ``fer-camera`` does with none. Notices go to the logger ``fer_edge``.

    Args:
        source: what :func:`fer_edge.capture.open.open_source` takes, or an open source.
        classifier: None opens the packaged INT8 model.
        detector: None is YuNet where it is at hand, else Haar; for photos YuNet that finds small faces, too.
        search: ``adaptive`` searches the whole frame every 0.2 s and close to the faces in sight in between; ``full``
            the whole of every frame. Both begin a face at the detector's score and keep it down to 0.5.
        detect_every: search faces in every N-th frame, all of it, and follow their boxes in between.
        margin: extra space around a face, as a fraction of its box.
        smoothing_s: time constant of the averaged probabilities; 0 gives raw ones.
        hysteresis: lead in probability that a new label needs.
        min_confidence: below it the emotion is None.
        max_frames: stop after this many results.
        motion: search for new faces only where something has moved (:mod:`fer_edge.faces.motion`). None: of cameras and
            streams unless ``search`` is ``full``, not of files.
        max_fps: at most this many frames per second by the source's clock; None: all.
    """

    def __init__(
        self,
        source: Source | str | int | os.PathLike[str],
        classifier: Classifier | None = None,
        detector: FaceDetector | None = None,
        *,
        search: str = DEFAULT_SEARCH,
        detect_every: int = DEFAULT_DETECT_EVERY,
        margin: float = DEFAULT_MARGIN,
        smoothing_s: float = DEFAULT_SMOOTHING_S,
        hysteresis: float = DEFAULT_HYSTERESIS,
        min_confidence: float = DEFAULT_MIN_CONFIDENCE,
        max_frames: int | None = None,
        motion: bool | None = None,
        max_fps: float | None = None,
    ) -> None:
        check_search(search, detect_every)
        opened = open_source(source) if isinstance(source, str | int | os.PathLike) else source
        self.source = opened if max_fps is None else limit_rate(opened, max_fps)
        self.classifier = classifier if classifier is not None else open_classifier()
        if detector is None:
            detector = open_detector()
            if not self.source.continuous:
                from fer_edge.faces.tiles import for_photos  # late: most sources are cameras and videos

                detector = for_photos(detector)
        self.detector = detector
        self.detect_every = detect_every if self.source.continuous else 1
        tests_motion = motion_by_default(self.source, search) if motion is None else motion
        self._search = FaceSearch(self.detector, mode=search, every=detect_every, motion=tests_motion)
        self.margin = margin
        self.max_frames = max_frames
        self.stats = PipelineStats()
        self._tracker = Tracker(
            smoothing_s=smoothing_s if self.source.continuous else 0.0,
            hysteresis=hysteresis,
            min_confidence=min_confidence,
            follow=self.source.continuous,
        )
        live = self.source.live
        self._frames: Channel[Frame] = Channel(1 if live else QUEUE_FRAMES, drop_oldest=live)
        self._found: Channel[_Found] = Channel(1 if live else QUEUE_FRAMES)
        self._results: Channel[Result] = Channel(1 if live else QUEUE_FRAMES)
        self._room = Room(FRAME_BYTES)
        self._threads: list[threading.Thread] = []
        self._stop_asked = False

    def __iter__(self) -> Iterator[Result]:
        """The results, in order; raises what the source or the model raised."""
        try:
            for result in self.poll(POLL_S):
                if result is not None:
                    yield result
        finally:
            self.close()

    def poll(self, timeout_s: float, *, let_go_s: float = 0.0) -> Iterator[Result | None]:
        """The results, and None whenever none came for ``timeout_s`` seconds: for loops that have other duties too.

        Args:
            timeout_s: longest wait for a result, in seconds.
            let_go_s: of a file with large pictures, the longest wait in seconds until nobody holds the last one, before
                another one is read: for loops that keep none.

        Returns:
            An iterator that ends with the source; it raises what the source or the model raised.

        Raises:
            RuntimeError: the pipeline has been iterated before.
        """
        self._start()
        try:
            while not self._stop_asked and (self.max_frames is None or self.stats.frames < self.max_frames):
                try:
                    result = self._results.get(timeout_s)
                except TimeoutError:
                    yield None
                    continue
                except ChannelClosed:
                    break
                self.stats.frames += 1
                self.stats.faces += len(result.faces)
                self.stats.widest = max(self.stats.widest, result.image.shape[1])
                self.stats.ages_s.append(result.age_s)
                self.stats.done_at.append(result.done_at)
                self.stats.dropped = self._frames.dropped
                n_bytes = result.image.nbytes
                picture = weakref.ref(result.image)
                yield result
                del result  # or it would stay while the next one is waited for
                if 2 * n_bytes > FRAME_BYTES and not self.source.live:
                    _wait_for_end_of(picture, let_go_s)
                self._room.give_back(n_bytes)
        finally:
            self.stats.ended_at = time.monotonic()
            self.close()

    def request_stop(self) -> None:
        """Ask the loop to end after the present result. Takes no lock, so a signal handler may call it."""
        self._stop_asked = True

    @property
    def searched(self) -> Searched:
        """What was searched for faces so far, of a source whose frames show one scene."""
        return self._search.searched

    @property
    def alive(self) -> bool:
        """Whether all stages run: False before the first result is asked for, and after the end."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    @property
    def stopping(self) -> bool:
        """Whether an end was asked for."""
        return self._stop_asked

    def close(self) -> None:
        """End the threads and the source. Called by itself at the end of the iteration."""
        self._stop_asked = True
        self.source.stop()
        for channel in (self._frames, self._found, self._results):
            channel.close(discard=True)
        self._room.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(JOIN_S)

    def __enter__(self) -> FacePipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        if self._threads:
            raise RuntimeError("a FacePipeline can be iterated only once; make a new one")
        self.stats.started_at = time.monotonic()
        stages: list[tuple[str, Callable[[], None], Channel[Any]]] = [
            ("fer-capture", self._capture, self._frames),
            ("fer-detect", self._detect, self._found),
            ("fer-classify", self._classify, self._results),
        ]
        for name, body, output in stages:
            thread = threading.Thread(target=_stage, args=(body, output), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _capture(self) -> None:
        busy = self.stats.busy_s
        decode_ahead = getattr(self.source, "decode_ahead", None)
        # Closed here, in the thread that reads: a capture released while another thread reads it would crash.
        with contextlib.closing(_generator(self.source.frames())) as frames:
            began = time.perf_counter()
            for frame in frames:
                busy["capture"] += time.perf_counter() - began
                self._frames.put(frame)
                n_bytes = frame.image.nbytes
                del frame
                if not self.source.live:  # of a camera older frames are let go before the detector
                    if decode_ahead is not None:
                        decode_ahead()
                    self._room.take(n_bytes)
                began = time.perf_counter()

    def _detect(self) -> None:
        busy = self.stats.busy_s
        follows = self.source.continuous
        while True:
            frame = self._frames.get()
            began = time.perf_counter()
            if follows:
                faces = self._search.find(frame.image, frame.small, frame.time_s)
            else:
                faces = self.detector.detect(frame.image, frame.small)
            busy["detect"] += time.perf_counter() - began
            self._found.put(_Found(frame, faces))
            n_bytes = frame.image.nbytes
            del frame
            if self.source.live:
                self._room.take(n_bytes)

    def _classify(self) -> None:
        recogniser = Recogniser(self.classifier, self.margin)
        while True:
            detected = self._found.get()
            faces = recogniser.faces(detected.frame, detected.faces, self._tracker, self.stats)
            self._results.put(Result(detected.frame, faces, time.monotonic()))
            del detected


def _wait_for_end_of(picture: weakref.ref[Image], at_most_s: float) -> None:
    end = time.monotonic() + at_most_s
    while picture() is not None and time.monotonic() < end:
        time.sleep(_LET_GO_POLL_S)


class Recogniser:
    """From the faces of a frame to their emotions: crop, network, average over time.

    Args:
        classifier: the network.
        margin: extra space around a face, as a fraction of its box.
    """

    def __init__(self, classifier: Classifier, margin: float) -> None:
        self._classifier = classifier
        self._size = classifier.input_size
        self._margin = margin
        self._nobody = np.zeros((0, NUM_EMOTIONS), np.float32)

    def faces(
        self, frame: Frame, detected: list[DetectedFace], tracker: Tracker, stats: PipelineStats
    ) -> tuple[Face, ...]:
        """The faces of the next frame of a source.

        Args:
            frame: the frame.
            detected: the faces in it.
            tracker: of this source.
            stats: of this source; the time spent is added.

        Returns:
            The faces in the order of ``detected``.
        """
        began = time.perf_counter()
        raw = self._nobody
        network_s = 0.0
        if detected:
            crops = np.stack([preprocess_face(frame.image, self._size, face.box, self._margin) for face in detected])
            network_began = time.perf_counter()
            raw = self._classifier.predict(crops)
            network_s = time.perf_counter() - network_began
        answers = tracker.update(frame.time_s, [face.box for face in detected], raw)
        faces = tuple(map(_face, detected, answers, raw))
        stats.busy_s["classify"] += network_s
        stats.busy_s["rest"] += time.perf_counter() - began - network_s
        return faces


def motion_by_default(source: Source, search: str = DEFAULT_SEARCH) -> bool:
    """Whether the motion test is on where nobody says: for cameras and streams, not for files.

    Args:
        source: the source.
        search: as for :class:`FacePipeline`; ``full`` means that every frame is searched.

    Returns:
        True where the scene of a camera may be still for hours.
    """
    return source.live and source.continuous and not hasattr(source, "n_frames") and search != "full"


def _face(detected: DetectedFace, answer: TrackedAnswer, raw: FloatArray) -> Face:
    return Face(answer.track_id, detected.box, detected.score, answer.emotion, answer.probabilities, raw)


def _generator(frames: Iterator[Frame]) -> Any:
    """The iterator itself, if it can be closed, else a generator around it."""
    return frames if hasattr(frames, "close") else (frame for frame in frames)


def _stage(body: Callable[[], None], output: Channel[Any]) -> None:
    """Run one stage until its input ends; hand the end, or the error that ended it, on to the next."""
    try:
        body()
    except ChannelClosed:
        output.close()
    except BaseException as error:
        output.close(error)
    else:
        output.close()
