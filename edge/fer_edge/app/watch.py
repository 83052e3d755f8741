"""The command proper: opens what the options name, runs the pipeline over every source, hands results on, reports."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
import time
from typing import Any, Final

import cv2

from fer_edge.app.option_checks import tell_pointless
from fer_edge.app.progress_line import ProgressLine, is_terminal
from fer_edge.app.systemd import ServiceReporter
from fer_edge.capture.files import ImageFiles
from fer_edge.capture.frames import CaptureOptions, Source
from fer_edge.capture.inputs import Job, plan
from fer_edge.capture.orientation import asked_orientation
from fer_edge.channel import Channel, ChannelClosed
from fer_edge.command import EXIT_INTERRUPTED, counted
from fer_edge.defaults import DEFAULT_DETECT_WIDTH
from fer_edge.errors import DeviceError, SourceError, UsageError
from fer_edge.faces.detection import FaceDetector
from fer_edge.faces.detectors import open_detector
from fer_edge.faces.tiles import for_photos
from fer_edge.inference.classifier import Classifier
from fer_edge.loading.open import open_classifier
from fer_edge.logs import LOG, making_room
from fer_edge.outputs.base import OutputRunner, hand_out
from fer_edge.outputs.open import check_targets, open_outputs
from fer_edge.outputs.output import STDOUT, OutputRequest
from fer_edge.outputs.status import StatusBoard
from fer_edge.outputs.written import Written, notice
from fer_edge.pipeline import FRAME_BYTES, FacePipeline
from fer_edge.results import Result

POLL_S: Final[float] = 0.2
LET_GO_S: Final[float] = 0.1
"""Longest wait until the outputs have done with a large picture: drawing on a copy takes a tenth of that."""
WINDOW_POLL_S: Final[float] = 0.03
PAUSE_POLL_S: Final[float] = 0.05


def watch(arguments: argparse.Namespace) -> int:
    """Recognise emotions on ``arguments.inputs``; the result is the exit code.

    Args:
        arguments: as :func:`fer_edge.app.cli.parse_arguments` gives them.

    Raises:
        FerError: for what cannot be opened or read.
    """
    began = time.monotonic()
    progress = ProgressLine()
    if arguments.opencv_threads is not None:
        cv2.setNumThreads(arguments.opencv_threads)
    width, height = arguments.size or (None, None)
    capture_options = CaptureOptions(
        width,
        height,
        arguments.fps,
        arguments.mjpg,
        arguments.realtime,
        arguments.loop,
        asked_orientation(arguments.rotate, arguments.flip),
    )
    tell_pointless(arguments, arguments.inputs)
    jobs = plan(arguments.inputs, capture_options)
    check_targets(arguments, jobs)
    with contextlib.ExitStack() as stack:
        stack.enter_context(making_room(progress.clear))
        # What can be wrong on the command line comes first, what takes long (a camera, the net) last.
        classifier = open_classifier(arguments.model, backend=arguments.backend, threads=arguments.threads)
        stack.callback(classifier.close)
        session = Session(arguments, classifier, progress)
        stack.callback(session.close)
        session.open_window()
        try:
            session.run_all(jobs)
            session.close()
        except KeyboardInterrupt:  # a second signal: outputs are not waited for any longer
            if session.signals:
                session.tell(time.monotonic() - began)
            raise
        session.tell(time.monotonic() - began)
    if session.failed:
        return UsageError.exit_code
    return EXIT_INTERRUPTED if session.signals and not session.live else 0


class Session:
    """What stays from one source to the next: network, detector, window, the outputs that are not of one source."""

    def __init__(self, arguments: argparse.Namespace, classifier: Classifier, progress: ProgressLine) -> None:
        self.arguments = arguments
        self.classifier = classifier
        self.progress = progress
        self.signals: list[int] = []
        """Of those that ask for an end, what came."""
        self.live = False
        self.failed = False
        """Whether an output lost something that was to be kept."""
        self._window: Any = None
        self._no_window = ""
        self._detector: FaceDetector | None = None
        self._board: StatusBoard | None = None
        self._pipeline: FacePipeline | None = None
        self._shared: list[OutputRunner] = []
        self._late: dict[str, int] = {}
        self._written: list[Written] = []
        self._ended = self._reporting = False
        self._hurried = False
        """Whether a second signal came: an output that hangs is not waited for."""
        self._frames = self._faces = self._dropped = 0
        self._seconds = 0.0
        self._scope = contextlib.ExitStack()
        self._handlers: dict[int, Any] = {}

    def open_window(self) -> None:
        """The window, unless there is none to open: then a notice follows when the source is open.

        Raises:
            DeviceError: where none can be opened, but ``--no-headless`` asks for one.
        """
        if self.arguments.headless:
            return
        from fer_edge.outputs.window import Window

        try:
            self._window = Window(blur=self.arguments.blur)
        except DeviceError as error:
            if self.arguments.headless is not None:  # --no-headless
                raise
            self._no_window = f"{str(error).partition(';')[0]}: continuing without a window, as with --headless"
        else:
            self._scope.callback(self._window.close)

    def run_all(self, jobs: list[Job]) -> None:
        """Every source to its end; of several, those that cannot be read are noticed and skipped.

        Raises:
            SourceError: for the only one, or when none of several can be read.
        """
        done = 0
        for number, job in enumerate(jobs, 1):
            self._pipeline = None
            try:
                source = job.open()
                with contextlib.ExitStack() as scope:
                    scope.callback(source.stop)
                    self._start(job, source, f"{number} of {len(jobs)}" if len(jobs) > 1 else "")
                    self._run(job, source, last=number == len(jobs))
                done += 1
            except SourceError as error:
                if len(jobs) == 1:
                    raise
                LOG.warning(f"skipped: {error}")
            except DeviceError as error:
                if self.arguments.inputs == ["0"]:  # the default: somebody's first try
                    raise DeviceError(f"{error}; to look at a file: fer-camera face.jpg") from error
                raise
            if self._ended or self.signals:
                return
        if not done:
            raise SourceError(f"none of the {len(jobs)} sources can be read")

    def _start(self, job: Job, source: Source, place: str) -> None:
        arguments = self.arguments
        self.live = source.live
        if self._detector is None:
            self._detector = open_detector(
                arguments.detector,
                arguments.detector_model,
                width=arguments.detect_width or DEFAULT_DETECT_WIDTH,
            )
        photos = not source.continuous and arguments.detect_width is None
        self._pipeline = FacePipeline(
            source,
            self.classifier,
            for_photos(self._detector) if photos else self._detector,
            search=arguments.search,
            detect_every=arguments.detect_every,
            margin=arguments.margin,
            smoothing_s=arguments.smoothing_s if arguments.smoothing else 0.0,
            hysteresis=arguments.hysteresis,
            min_confidence=arguments.min_confidence,
            max_frames=arguments.max_frames,
            motion=arguments.motion,
            max_fps=arguments.max_fps,
        )
        if self._board is None:
            self._board = StatusBoard(self._pipeline)
            self._shared = open_outputs(self._request(job, source), of_each_source=False)
            self._scope.callback(self._close_shared)
            if self._no_window:
                LOG.info(self._no_window)
        self._board.watch(self._pipeline)
        if not source.live and not arguments.quiet:
            self._start_progress(source, " ".join(part for part in (place, job.title) if part))

    def _start_progress(self, source: Source, title: str) -> None:
        images = isinstance(source, ImageFiles)
        if (images or STDOUT in (self.arguments.jsonl, self.arguments.csv)) and is_terminal(sys.stdout):
            return  # there the lines are the progress
        total = len(source.paths) if isinstance(source, ImageFiles) else getattr(source, "n_frames", None)
        if self.arguments.max_frames is not None:
            total = min(total or self.arguments.max_frames, self.arguments.max_frames)
        self.progress.start(total, title, "image" if images else "frame")

    def _request(self, job: Job, source: Source) -> OutputRequest:
        assert self._board is not None
        return OutputRequest(self.arguments, source, job, self._board)

    def _run(self, job: Job, source: Source, *, last: bool) -> None:
        """One source, from its first result to the end of its own outputs."""
        pipeline, board = self._pipeline, self._board
        assert pipeline is not None
        assert board is not None
        self._catch_signals()
        with contextlib.closing(pipeline):
            own = open_outputs(self._request(job, source), of_each_source=True)
            board.runners = [*self._shared, *own]
            if not self._reporting:  # ready, now that nothing is left to be opened
                self._reporting = True
                self._scope.callback(ServiceReporter(board.now, lambda: board.alive).close)
            try:
                if self._window is None:
                    self._deliver(pipeline, board.runners)
                else:
                    self._deliver_and_show(pipeline, board.runners, hold=last and not source.continuous)
            finally:
                self.progress.stop()
                try:
                    for runner in own:
                        runner.close(hurried=self._hurried)
                finally:  # also when a second signal cuts the waiting short
                    self._count(pipeline, own)

    def _count(self, pipeline: FacePipeline, runners: list[OutputRunner]) -> None:
        self._frames += pipeline.stats.frames
        self._faces += pipeline.stats.faces
        self._dropped += pipeline.stats.dropped
        self._seconds += pipeline.stats.elapsed_s
        self._take_leave(runners)

    def _take_leave(self, runners: list[OutputRunner]) -> None:
        for runner in runners:
            self.failed = self.failed or runner.failed
            if runner.dropped:
                self._late[runner.output.name] = self._late.get(runner.output.name, 0) + runner.dropped
            written = getattr(runner.output, "written", None)  # of an output of somebody's own there need be none
            if written is not None and runner.error is None and runner.done and (item := written()) is not None:
                self._written.append(item)

    def _close_shared(self) -> None:
        for runner in self._shared:
            runner.close(hurried=self._hurried)
        self._take_leave(self._shared)

    def close(self) -> None:
        """Finish what is open; safe to call again."""
        self._scope.close()
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def _deliver(
        self, pipeline: FacePipeline, runners: list[OutputRunner], shown: Channel[Result] | None = None
    ) -> None:
        """Every result to every output, and the newest to ``shown``."""
        for result in pipeline.poll(POLL_S, let_go_s=LET_GO_S if shown is None else 0.0):  # a window keeps the last one
            if result is not None:
                if shown is None and not pipeline.source.live and 2 * result.image.nbytes > FRAME_BYTES:
                    hand_out(result, runners)
                else:
                    for runner in runners:
                        runner.put(result)
                if shown is not None:
                    shown.put(result)
                del result  # or its picture would stay while the next one is waited for
            self.progress.update(pipeline.stats.frames)
            if shown is None and runners and all(runner.ended for runner in runners):
                self._ended = True
                break  # nobody is left to work for
            # A file waits while its picture is held; a camera does not.
            while shown is not None and self._window.paused and not (pipeline.source.live or pipeline.stopping):
                time.sleep(PAUSE_POLL_S)

    def _deliver_and_show(self, pipeline: FacePipeline, runners: list[OutputRunner], *, hold: bool) -> None:
        """The same with a window. It needs this thread, the main one; the others are not to wait for its drawing."""
        shown: Channel[Result] = Channel(1, drop_oldest=True)

        def deliver() -> None:
            error: BaseException | None = None
            try:
                self._deliver(pipeline, runners, shown)
            except BaseException as caught:  # raised again in the main thread
                error = caught
            shown.close(error)

        thread = threading.Thread(target=deliver, name="fer-deliver", daemon=True)
        thread.start()
        watching = True
        try:
            while watching:
                try:
                    watching = self._window.show(shown.get(WINDOW_POLL_S))
                except TimeoutError:
                    watching = self._window.idle(pipeline.source.state)
        except ChannelClosed:
            if hold:
                self.progress.stop()
                self._window.hold(lambda: self.signals)
        finally:
            self._ended = self._ended or not watching
            pipeline.request_stop()
            thread.join()

    def _catch_signals(self) -> None:
        """From now on SIGINT, SIGTERM and SIGHUP end the loop so that files are finished; a second one ends at once.

        Not before the first source runs: until then there is nothing to finish, and opening may take long.
        """
        if self._handlers:
            return

        def stop(number: int, _frame: Any) -> None:
            if self.signals or self._pipeline is None:
                self._hurried = True
                raise KeyboardInterrupt
            self.signals.append(number)
            self._pipeline.request_stop()

        numbers = [signal.SIGINT, signal.SIGTERM]
        # A terminal that closes says SIGHUP; under nohup it is ignored, and stays so. Windows has none.
        hangup = getattr(signal, "SIGHUP", None)
        if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
            numbers.append(hangup)
        self._handlers = {number: signal.signal(number, stop) for number in numbers}

    def tell(self, total_s: float) -> None:
        """What was written where, and the summary; ``total_s`` seconds since the command began."""
        if line := notice(self._written):
            LOG.info(line)
        LOG.info(self.summary(total_s))

    def summary(self, total_s: float) -> str:
        """The line at the end; ``total_s`` seconds since the command began."""
        assert self._pipeline is not None
        used = self._pipeline.detector
        smallest = getattr(used, "smallest", None)  # of those that come along
        widest = self._pipeline.stats.widest
        detector = (
            f"{used.name}, {smallest(widest)} pixels and larger" if smallest is not None and widest else used.name
        )
        rate = self._frames / self._seconds if self._seconds > 0.0 else 0.0
        parts = [
            f"{counted(self._frames, 'frame')}, {counted(self._faces, 'face')} ({detector}), "
            f"{rate:.1f} frames per second"
        ]
        if self.live and self._frames:
            p50, p99 = self._pipeline.stats.age_percentiles_ms(50, 99)
            parts.append(f"capture to result p50 {p50:.0f} ms, p99 {p99:.0f} ms, {self._dropped} dropped")
        if self._late:
            late = ", ".join(f"{name} {count}" for name, count in self._late.items())
            parts.append(f"dropped by slow outputs: {late}")
        return "; ".join(parts) + f"; {total_s:.1f} s in all"
