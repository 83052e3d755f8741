"""One of several cameras while it is watched: its source, its outputs, how it fares."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge.app.camera_tables import CameraSetup
from fer_edge.cameras.camera import Camera, CameraOptions
from fer_edge.cameras.group import is_endless
from fer_edge.capture.frames import CaptureOptions, Source
from fer_edge.capture.inputs import Job
from fer_edge.capture.open import open_source
from fer_edge.capture.orientation import asked_orientation
from fer_edge.errors import FerError
from fer_edge.outputs.base import OutputRunner
from fer_edge.outputs.camera_name import plain
from fer_edge.outputs.open import open_camera_outputs
from fer_edge.outputs.output import OutputRequest
from fer_edge.outputs.shared import SharedOutput
from fer_edge.outputs.status import StatusBoard
from fer_edge.redact import redact_address

if TYPE_CHECKING:
    from fer_edge.results import Result

__all__ = ["CameraRun", "capture_options"]


class CameraRun:
    """A camera and its outputs.

    Args:
        setup: what is asked of it.
        everybody: the options for all cameras.
        shared: the open outputs of all cameras.
    """

    def __init__(self, setup: CameraSetup, everybody: argparse.Namespace, shared: Mapping[str, SharedOutput]) -> None:
        arguments = setup.arguments
        self.setup = setup
        self.error: FerError | None = None
        """Why one of its outputs cannot be opened."""
        self.camera = Camera(
            setup.name,
            self._open,
            CameraOptions(
                search=arguments.search,
                detect_every=arguments.detect_every,
                motion=arguments.motion,
                margin=arguments.margin,
                smoothing_s=arguments.smoothing_s if arguments.smoothing else 0.0,
                hysteresis=arguments.hysteresis,
                min_confidence=arguments.min_confidence,
                max_fps=arguments.max_fps,
                max_frames=arguments.max_frames,
            ),
            keep_trying=is_endless(arguments.source),
            description=redact_address(arguments.source),
        )
        self.board = StatusBoard(self.camera)
        self.runners: dict[str, OutputRunner] = {}
        """Its outputs by the names of their specifications, once its source is open."""
        self._everybody = everybody
        self._shared = shared
        self._lock = threading.Lock()
        self._closed = False

    def deliver(self, result: Result) -> None:
        """Hand a result to each output.

        Args:
            result: of this camera.
        """
        for runner in self.board.runners:
            runner.put(result)

    def request(self, source: Source) -> OutputRequest:
        """What its outputs have to know.

        Args:
            source: its source.

        Returns:
            The request.
        """
        arguments = self.setup.arguments
        path = Path(arguments.source)
        files = (path,) if not is_endless(arguments.source) and path.is_file() else ()
        job = Job(lambda: source, files, title=self.setup.name, save_as=f"{plain(self.setup.name)}.mp4")
        return OutputRequest(arguments, source, job, self.board, (self.setup.name,))

    def replace(self, name: str, shared: SharedOutput | None) -> None:
        """Another output of all cameras takes the place of one of its name, from now on.

        Args:
            name: of the output's specification.
            shared: the new one; None: there is none.
        """
        with self._lock:
            if self._closed or not self.camera.opened.is_set():
                return  # its outputs are opened later, those of that time
            old = self.runners.pop(name, None)
            if shared is not None:
                output = shared.of_camera(self.setup.name, self.board, blur=self.setup.arguments.blur)
                self.runners[name] = OutputRunner(output, live=self.camera.live)
            self.board.runners = list(self.runners.values())
        if old is not None:
            old.close()

    def forget(self) -> None:
        """Let outputs that announce the camera elsewhere take that back when they are closed."""
        for runner in self.board.runners:
            forget = getattr(runner.output, "forget", None)
            if forget is not None:
                forget()

    def close(self, *, hurried: bool = False) -> list[OutputRunner]:
        """Close its outputs; safe to call again.

        Args:
            hurried: wait for none that takes longer than half a second.

        Returns:
            Those that were closed.
        """
        with self._lock:
            if self._closed:
                return []
            self._closed = True
            runners = list(self.runners.values())
        for runner in runners:
            runner.close(hurried=hurried)
        return runners

    def _open(self) -> Source:
        source = open_source(self.setup.arguments.source, capture_options(self.setup.arguments))
        with self._lock:
            if self.runners or self._closed or not source.continuous:
                return source
            try:
                self.runners = open_camera_outputs(self.request(source), self._everybody, self._shared)
            except FerError as error:
                self.error = error
                source.stop()
                self.camera.stop()
                raise
            self.board.runners = list(self.runners.values())
        return source


def capture_options(arguments: argparse.Namespace) -> CaptureOptions:
    """What the options ask of a source.

    Args:
        arguments: of one camera.

    Returns:
        The options for :func:`fer_edge.capture.open.open_source`.
    """
    width, height = arguments.size or (None, None)
    orientation = asked_orientation(arguments.rotate, arguments.flip)
    return CaptureOptions(width, height, arguments.fps, arguments.mjpg, arguments.realtime, arguments.loop, orientation)
