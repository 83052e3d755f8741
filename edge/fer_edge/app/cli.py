"""``fer-camera``: emotions on a camera, a stream, a video, an image or a folder of images."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.command import EXIT_INTERRUPTED, run_command
from fer_edge.errors import CheckFailedError, UsageError

if TYPE_CHECKING:
    from fer_edge.channel import Channel
    from fer_edge.outputs.base import SinkRunner
    from fer_edge.outputs.window import Window
    from fer_edge.pipeline import FacePipeline
    from fer_edge.results import Result

PROG = "fer-camera"
OPENCV = ("opencv-python", "opencv-python-headless")
POLL_S = 0.2
WINDOW_POLL_S = 0.03


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the result is its exit code (see :func:`fer_edge.command.run_command`)."""
    given = list(sys.argv[1:] if argv is None else argv)
    # Before OpenCV is loaded: it reads these once.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    with contextlib.nullcontext() if "--verbose" in given else _quiet():
        return run_command(PROG, lambda: _run(given))


def _quiet() -> contextlib.AbstractContextManager[None]:
    from fer_edge.native import quiet_native_libraries

    return quiet_native_libraries()


def _run(given: list[str]) -> int:
    from fer_edge.app.credentials import check_command_line
    from fer_edge.app.options import build_parser

    arguments = parse_arguments(given)
    check_command_line(build_parser(PROG).parse_args(given), (lambda _: None) if arguments.quiet else _notice)
    if arguments.cores is not None:
        _use_cores(arguments.cores)
    for wanted, action in (
        (arguments.print_config, _print_config),
        (arguments.version, _print_versions),
        (arguments.list_cameras, _list_cameras),
        (arguments.fetch, _fetch),
        (arguments.verify, _verify),
    ):
        if wanted:
            return action(arguments)
    return _watch(arguments)


def parse_arguments(given: Sequence[str]) -> argparse.Namespace:
    """Options from the command line, over those from the file that ``--config`` names."""
    from fer_edge.app.options import build_parser

    parser = build_parser(PROG)
    arguments = parser.parse_args(given)
    if arguments.config is not None:
        from fer_edge.app.config_file import config_arguments

        arguments = parser.parse_args([*config_arguments(arguments.config, parser), *given])
    return arguments


def _print_config(arguments: argparse.Namespace) -> int:
    from fer_edge.app.config_file import config_text
    from fer_edge.app.options import build_parser

    print(config_text(build_parser(PROG), arguments), end="")
    return 0


def _print_versions(arguments: argparse.Namespace) -> int:
    del arguments
    import platform
    from importlib import metadata

    from fer_edge.inference.backends import backends

    runtimes = [spec.package for spec in backends().values() if spec.package is not None]
    for package in ("fer-edge-toolkit", "numpy", *OPENCV, *runtimes):
        with contextlib.suppress(metadata.PackageNotFoundError):
            print(f"{package} {metadata.version(package)}")
    print(f"Python {platform.python_version()} on {platform.platform()}")
    return 0


def _list_cameras(arguments: argparse.Namespace) -> int:
    del arguments
    from fer_edge.capture.v4l2 import list_cameras

    cameras = list_cameras()
    for camera in cameras:
        print(f"{camera.number}\t{camera.name}")
    if not cameras:
        sys.stderr.write(f"{PROG}: no V4L2 cameras found\n")
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    del arguments
    from fer_edge.faces.yunet_file import yunet_file

    print(yunet_file())
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from fer_edge.verification.replay import verify

    report = verify(arguments.model, backend=arguments.backend, threads=arguments.threads)
    *stages, summary = report.lines()
    print("\n".join(stages))
    if not report.passed:
        raise CheckFailedError(summary)
    print(summary)
    return 0


def _use_cores(cores: list[int]) -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise UsageError("--cores works on Linux only")
    try:
        os.sched_setaffinity(0, cores)
    except (OSError, ValueError) as error:
        raise UsageError(f"--cores {cores}: this machine has cores {sorted(os.sched_getaffinity(0))}") from error


def _watch(arguments: argparse.Namespace) -> int:
    """The command proper: open everything, run the pipeline, report."""
    import cv2

    from fer_edge.app.systemd import ServiceReporter
    from fer_edge.capture.frames import CaptureOptions
    from fer_edge.capture.open import open_source
    from fer_edge.faces.detectors import open_detector
    from fer_edge.loading.open import open_classifier
    from fer_edge.outputs.open import check_targets, open_outputs
    from fer_edge.outputs.output import Wanted
    from fer_edge.outputs.status import StatusBoard
    from fer_edge.pipeline import FacePipeline

    began = time.monotonic()
    notice = (lambda _: None) if arguments.quiet else _notice
    if arguments.opencv_threads is not None:
        cv2.setNumThreads(arguments.opencv_threads)
    width, height = arguments.size or (None, None)
    wanted = CaptureOptions(width, height, arguments.fps, arguments.mjpg, arguments.realtime, arguments.loop)
    check_targets(arguments, Path(arguments.source))
    with contextlib.ExitStack() as stack:
        # What can be wrong on the command line comes first, what takes long (a camera, the net) last.
        classifier = open_classifier(arguments.model, backend=arguments.backend, threads=arguments.threads)
        stack.callback(classifier.close)
        window = _open_window(arguments)
        if window is not None:
            stack.callback(window.close)
        source = open_source(arguments.source, wanted, on_notice=notice)
        stack.callback(source.stop)
        detector = open_detector(
            arguments.detector, arguments.detector_model, width=arguments.detect_width, on_notice=notice
        )
        pipeline = FacePipeline(
            source,
            classifier,
            detector,
            detect_every=arguments.detect_every,
            margin=arguments.margin,
            smoothing_s=arguments.smoothing_s if arguments.smoothing else 0.0,
            hysteresis=arguments.hysteresis,
            min_confidence=arguments.min_confidence,
            max_frames=arguments.max_frames,
            on_notice=notice,
        )
        stack.callback(pipeline.close)
        board = StatusBoard(pipeline)
        runners = board.runners = open_outputs(Wanted(arguments, source, board, notice))
        stack.callback(ServiceReporter(board.now, lambda: pipeline.alive).close)
        interrupted = _loop(pipeline, runners, window)
        if not arguments.quiet:
            _summary(pipeline, runners, detector.name, time.monotonic() - began)
    if any(runner.failed for runner in runners):
        return UsageError.exit_code
    return EXIT_INTERRUPTED if interrupted and not source.live else 0


def _notice(text: str) -> None:
    sys.stderr.write(f"{PROG}: {text}\n")


def _open_window(arguments: argparse.Namespace) -> Window | None:
    if arguments.headless:
        return None
    from fer_edge.outputs.window import Window

    return Window(blur=arguments.blur)


def _loop(pipeline: FacePipeline, runners: list[SinkRunner], window: Window | None) -> bool:
    """Hand results to the outputs until the source ends or the user ends it; True after a signal to end."""
    with _stop_signals(pipeline) as stopped:
        try:
            if window is None:
                _deliver(pipeline, runners)
            else:
                _deliver_and_show(pipeline, runners, window, stopped)
        finally:
            for runner in runners:
                runner.close()
    return bool(stopped)


def _deliver(pipeline: FacePipeline, runners: list[SinkRunner], shown: Channel[Result] | None = None) -> None:
    """Every result to every output, and the newest to ``shown``."""
    for result in pipeline.poll(POLL_S):
        if result is not None:
            for runner in runners:
                runner.put(result)
            if shown is not None:
                shown.put(result)
        if shown is None and runners and all(runner.ended for runner in runners):
            break  # nobody is left to work for


def _deliver_and_show(
    pipeline: FacePipeline, runners: list[SinkRunner], window: Window, stopped: Sequence[int]
) -> None:
    """The same with a window. It needs this thread, the main one; the others are not to wait for its drawing."""
    from fer_edge.channel import Channel, ChannelClosed

    shown: Channel[Result] = Channel(1, drop_oldest=True)

    def deliver() -> None:
        error: BaseException | None = None
        try:
            _deliver(pipeline, runners, shown)
        except BaseException as caught:  # raised again in the main thread
            error = caught
        shown.close(error)

    thread = threading.Thread(target=deliver, name="fer-deliver", daemon=True)
    thread.start()
    try:
        wanted = True
        while wanted:
            try:
                wanted = window.show(shown.get(WINDOW_POLL_S))
            except TimeoutError:
                wanted = window.idle(pipeline.source.state)
    except ChannelClosed:
        if not pipeline.source.continuous:
            window.hold(lambda: stopped)
    finally:
        pipeline.request_stop()
        thread.join()


@contextlib.contextmanager
def _stop_signals(pipeline: FacePipeline) -> Iterator[list[int]]:
    """SIGINT, SIGTERM and SIGHUP end the loop so that files are finished; a second one ends at once."""
    received: list[int] = []

    def stop(number: int, _frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        pipeline.request_stop()

    numbers = [signal.SIGINT, signal.SIGTERM]
    # A terminal that closes says SIGHUP; under nohup it is ignored, and stays so. Windows has none.
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        numbers.append(hangup)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _summary(pipeline: FacePipeline, runners: list[SinkRunner], detector: str, total_s: float) -> None:
    stats = pipeline.stats
    parts = [f"{stats.frames} frames, {stats.faces} faces ({detector}), {stats.fps:.1f} frames a second"]
    if pipeline.source.live and stats.frames:
        p50, p99 = stats.age_percentiles_ms(50, 99)
        parts.append(f"capture to result p50 {p50:.0f} ms, p99 {p99:.0f} ms, {stats.dropped} dropped")
    late = [f"{runner.sink.name} {runner.dropped}" for runner in runners if runner.dropped]
    if late:
        parts.append(f"not taken by slow outputs: {', '.join(late)}")
    _notice("; ".join(parts) + f"; {total_s:.1f} s in all")
