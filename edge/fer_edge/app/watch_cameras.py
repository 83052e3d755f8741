"""The command with several cameras: one detector and one network, until all have ended or a signal asks for the end.

A camera that fails is reported in one line, and the others go on. ``SIGHUP`` reads the configuration file again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2

from fer_edge.app.camera_run import CameraRun
from fer_edge.app.camera_tables import CameraSetup
from fer_edge.app.option_checks import pointless_lines
from fer_edge.app.reload import Changes, changes_between
from fer_edge.app.systemd import ServiceReporter
from fer_edge.cameras.camera import Camera
from fer_edge.cameras.group import CameraGroup, is_endless
from fer_edge.capture.frames import Frame
from fer_edge.capture.inputs import Job
from fer_edge.command import EXIT_INTERRUPTED, counted
from fer_edge.defaults import DEFAULT_DETECT_WIDTH
from fer_edge.errors import FerError, SourceError, UsageError
from fer_edge.faces.detection import FaceDetector
from fer_edge.faces.detectors import open_detector
from fer_edge.inference.classifier import Classifier
from fer_edge.loading.open import open_classifier
from fer_edge.logs import LOG
from fer_edge.outputs.available import outputs
from fer_edge.outputs.base import OutputRunner
from fer_edge.outputs.open import check_destination, is_own, open_shared
from fer_edge.outputs.output import OutputRequest
from fer_edge.outputs.shared import SharedOutput
from fer_edge.outputs.status import GroupBoard, Status, together
from fer_edge.results import PipelineStats, Result

__all__ = ["TICK_S", "CamerasSession", "check_cameras", "open_engine", "watch_cameras"]

TICK_S: Final[float] = 0.1


def watch_cameras(arguments: argparse.Namespace, reread: Callable[[], argparse.Namespace]) -> int:
    """Recognise emotions on ``arguments.cameras``; the result is the exit code.

    Args:
        arguments: as :func:`fer_edge.app.cli.parse_arguments` gives them.
        reread: gives them as they are by now.

    Returns:
        The exit code.

    Raises:
        FerError: for what cannot be opened, and where no camera can be.
    """
    began = time.monotonic()
    if arguments.opencv_threads is not None:
        cv2.setNumThreads(arguments.opencv_threads)
    check_cameras(arguments)
    for line in pointless_lines(arguments):
        LOG.info(line)
    with contextlib.ExitStack() as stack:
        session = CamerasSession(arguments, *open_engine(arguments), reread)
        stack.callback(session.close)
        try:
            session.run()
            session.close()
        except KeyboardInterrupt:
            if session.signals:
                LOG.info(session.summary(time.monotonic() - began))
            raise
        LOG.info(session.summary(time.monotonic() - began))
    if session.failed:
        return UsageError.exit_code
    return EXIT_INTERRUPTED if session.signals and not session.has_live else 0


def open_engine(arguments: argparse.Namespace) -> tuple[Classifier, FaceDetector]:
    """The network and the detector, for all cameras.

    Args:
        arguments: the options for all.

    Returns:
        Both, open.
    """
    classifier = open_classifier(arguments.model, backend=arguments.backend, threads=arguments.threads)
    detector = open_detector(
        arguments.detector, arguments.detector_model, width=arguments.detect_width or DEFAULT_DETECT_WIDTH
    )
    return classifier, detector


def check_cameras(arguments: argparse.Namespace) -> None:
    """Refuse a window, and to write over what is read, or two outputs into one file.

    Args:
        arguments: the options for all, with ``cameras``.

    Raises:
        UsageError: in these cases.
    """
    if arguments.headless is False:
        raise UsageError("--no-headless: a window shows one camera; watch several with --web 8080")
    setups: Sequence[CameraSetup] = arguments.cameras
    names = [setup.arguments.source for setup in setups]
    sources = [Path(name) for name in names if not is_endless(name) and Path(name).is_file()]
    seen: dict[str | Path, str] = {}
    for spec in outputs().values():
        own = [setup.arguments for setup in setups if is_own(spec, arguments, setup.arguments)]
        if len(own) < len(setups) and spec.wanted(arguments):
            check_destination(spec, arguments, sources, seen, n_sources=1)
        if not spec.of_each_source:
            for each in own:
                check_destination(spec, each, sources, seen, n_sources=1)
            continue
        writers: dict[str, list[argparse.Namespace]] = {}
        for each in own:
            writers.setdefault(spec.file(each) or "", []).append(each)
        for same in writers.values():  # into one folder, each under its own name
            check_destination(spec, same[0], sources, seen, n_sources=len(same))


class CamerasSession:
    """The cameras that are watched, and what they share.

    Args:
        arguments: the options for all, with ``cameras``.
        classifier: of all cameras; closed here.
        detector: of all cameras.
        reread: gives the options as they are by now.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        classifier: Classifier,
        detector: FaceDetector,
        reread: Callable[[], argparse.Namespace],
    ) -> None:
        self.arguments = arguments
        self.signals: list[int] = []
        """Of those that ask for an end, what came."""
        self.failed = False
        """Whether an output lost something that was to be kept."""
        self.has_live = False
        self._reread = reread
        self._reload_asked = False
        self._late: dict[str, int] = {}
        self._total = PipelineStats()
        self._runs: dict[str, CameraRun] = {}
        self._shared: dict[str, SharedOutput] = {}
        self._handlers: dict[int, Any] = {}
        self._hurried = False
        self._began_well = False
        self._scope = contextlib.ExitStack()
        self._scope.callback(classifier.close)
        self.detector = detector
        self._shared = open_shared(self._request())
        self._scope.callback(self._close_shared)
        for setup in arguments.cameras:
            self._runs[setup.name] = CameraRun(setup, arguments, self._shared)
        self._group = CameraGroup([run.camera for run in self._runs.values()], classifier, detector)

    def run(self) -> None:
        """Watch until every camera has ended, or a signal came.

        Raises:
            FerError: no camera can be opened, or an output of one cannot.
            KeyboardInterrupt: a second signal came.
        """
        self._catch_signals()
        self._group.start(self._deliver)
        reporter = ServiceReporter(self._status, lambda: self._group.alive)
        self._scope.callback(reporter.close)
        while not self.signals:
            time.sleep(TICK_S)
            self._raise_failures()
            if self._reload_asked:
                self._reload_asked = False
                self._reload()
            for run in list(self._runs.values()):
                if run.camera.ended.is_set():
                    self._take_leave(run.close())
            if all(run.camera.ended.is_set() for run in self._runs.values()) or self._nobody_listens():
                break
        self._check_all_failed()

    def _raise_failures(self) -> None:
        if self._group.failure is not None:
            raise self._group.failure
        runs = list(self._runs.values())
        for run in runs:
            if run.error is not None:
                raise run.error
            self.has_live = self.has_live or (run.camera.opened.is_set() and run.camera.live)
        self._began_well = self._began_well or any(run.camera.opened.is_set() for run in runs)
        if not self._began_well and all(run.camera.tried.is_set() for run in runs):
            errors = [run.camera.error for run in runs if run.camera.error is not None]
            raise SourceError(f"none of the {len(runs)} cameras can be opened; the last: {errors[-1]}")

    def _check_all_failed(self) -> None:
        cameras = [run.camera for run in self._runs.values()]
        if not self.signals and cameras and all(camera.error is not None for camera in cameras):
            raise SourceError(f"all {len(cameras)} cameras have failed")

    def _nobody_listens(self) -> bool:
        runners = [runner for run in self._runs.values() for runner in run.board.runners]
        return bool(runners) and all(runner.ended for runner in runners)

    def _deliver(self, camera: Camera, result: Result) -> None:
        run = self._runs.get(camera.name)
        if run is not None and run.camera is camera:
            run.deliver(result)

    def _status(self) -> Status:
        return together([run.board.now() for run in list(self._runs.values())])

    def _request(self) -> OutputRequest:
        """What the outputs of all cameras have to know."""
        setups: Sequence[CameraSetup] = self.arguments.cameras
        source = _Sources(any(is_endless(s.arguments.source) or s.arguments.realtime for s in setups))
        job = Job(lambda: source)
        names = tuple(setup.name for setup in setups)
        return OutputRequest(self.arguments, source, job, GroupBoard(self._status), names)

    def _reload(self) -> None:
        """Take over what has changed in the configuration; where it has a fault, everything stays as it was."""
        try:
            arguments = self._reread()
            if not arguments.cameras:
                raise UsageError("the configuration holds no [[camera]] table")
            check_cameras(arguments)
            changes = changes_between(self.arguments, arguments)
            if changes.engine:
                classifier, detector = open_engine(arguments)
                self._scope.callback(classifier.close)
                self._replace_all(arguments, changes, (classifier, detector))
            else:
                self._replace_all(arguments, changes, None)
        except FerError as error:
            LOG.error(f"the configuration is not taken over: {error}")
            return
        LOG.info(f"the configuration was read again: {changes.summary()}")

    def _replace_all(
        self, arguments: argparse.Namespace, changes: Changes, engine: tuple[Classifier, FaceDetector] | None
    ) -> None:
        for name in (*changes.removed, *changes.changed):
            run = self._runs.pop(name)
            self._group.remove(name)
            if name in changes.removed:
                run.forget()
            self._take_leave(run.close())
            self._add_up(run)
        if engine is not None:
            self._group.use(*engine)
            self.detector = engine[1]
        self.arguments = arguments
        self._replace_shared(changes.outputs)
        setups = {setup.name: setup for setup in arguments.cameras}
        for name in (*changes.changed, *changes.added):
            run = self._runs[name] = CameraRun(setups[name], arguments, self._shared)
            self._group.add(run.camera)

    def _replace_shared(self, names: Sequence[str]) -> None:
        """Open again those outputs of all cameras whose options have changed."""
        for name in names:
            old = self._shared.pop(name, None)
            if old is not None:
                for run in self._runs.values():
                    run.replace(name, None)
                old.close()
            try:
                self._shared.update(open_shared(self._request(), [name]))
            except FerError as error:
                LOG.error(f"output {name}: {error}")
            for run in self._runs.values():
                run.replace(name, self._shared.get(name))

    def _add_up(self, run: CameraRun) -> None:
        total, stats = self._total, run.camera.stats
        total.frames += stats.frames
        total.faces += stats.faces
        total.dropped += stats.dropped
        total.widest = max(total.widest, stats.widest)
        total.ages_s.extend(stats.ages_s)
        total.started_at = min(total.started_at or stats.started_at, stats.started_at)
        total.ended_at = max(total.ended_at, stats.ended_at or time.monotonic())

    def _add_up_all(self) -> None:
        while self._runs:
            self._add_up(self._runs.popitem()[1])

    def _take_leave(self, runners: Sequence[OutputRunner]) -> None:
        for runner in runners:
            self.failed = self.failed or runner.failed
            if runner.dropped:
                self._late[runner.output.name] = self._late.get(runner.output.name, 0) + runner.dropped

    def _close_run(self, run: CameraRun) -> None:
        self._take_leave(run.close(hurried=self._hurried))

    def _close_shared(self) -> None:
        for output in self._shared.values():
            output.close()

    def close(self) -> None:
        """Finish what is open; safe to call again."""
        self._group.close()
        # Side by side: a broker that does not answer would be waited for once for each camera.
        closing = [threading.Thread(target=self._close_run, args=(run,), daemon=True) for run in self._runs.values()]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
        self._add_up_all()
        self._scope.close()
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def _catch_signals(self) -> None:
        """From now on SIGINT and SIGTERM end it so that files are finished; a second one ends at once."""

        def stop(number: int, _frame: Any) -> None:
            if self.signals:
                self._hurried = True
                raise KeyboardInterrupt
            self.signals.append(number)

        def hang_up(number: int, frame: Any) -> None:
            if self.arguments.config is not None and _has_terminal() == had_terminal:
                self._reload_asked = True
            else:  # a terminal that closes says so, too
                stop(number, frame)

        had_terminal = _has_terminal()
        handlers: Mapping[int, Any] = {signal.SIGINT: stop, signal.SIGTERM: stop}
        hangup = getattr(signal, "SIGHUP", None)  # Windows has none
        if hangup is not None and (self.arguments.config or signal.getsignal(hangup) != signal.SIG_IGN):
            handlers = {**handlers, hangup: hang_up}
        self._handlers = {number: signal.signal(number, handler) for number, handler in handlers.items()}

    def summary(self, total_s: float) -> str:
        """The line at the end.

        Args:
            total_s: seconds since the command began.

        Returns:
            Frames, faces, rate, ages and losses of all cameras together.
        """
        self._add_up_all()
        total = self._total
        parts = [
            f"{counted(len(self.arguments.cameras), 'camera')}, {counted(total.frames, 'frame')}, "
            f"{counted(total.faces, 'face')} ({self.detector.name}), {total.fps:.1f} frames per second"
        ]
        if self.has_live and total.frames:
            p50, p99 = total.age_percentiles_ms(50, 99)
            parts.append(f"capture to result p50 {p50:.0f} ms, p99 {p99:.0f} ms, {total.dropped} dropped")
        if self._late:
            late = ", ".join(f"{name} {count}" for name, count in self._late.items())
            parts.append(f"dropped by slow outputs: {late}")
        return "; ".join(parts) + f"; {total_s:.1f} s in all"


class _Sources:
    """All sources together, for outputs that have to know whether what they get comes from cameras."""

    description = "several cameras"
    continuous = True
    fps: float | None = None
    state = "running"

    def __init__(self, live: bool) -> None:
        self.live = live

    def frames(self) -> Iterator[Frame]:
        return iter(())

    def stop(self) -> None:
        """Each camera is stopped by itself."""


def _has_terminal() -> bool:
    """Whether there is a terminal that can be spoken to: not after it was closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
