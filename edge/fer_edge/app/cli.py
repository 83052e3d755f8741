"""``fer-camera``: emotions on a camera, a stream, a video, an image or a folder of images."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from fer_edge.command import run_command, say
from fer_edge.errors import CheckFailedError, UsageError
from fer_edge.logs import set_verbosity

__all__ = ["PROG", "main", "parse_arguments", "use_cores"]

PROG = "fer-camera"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the result is its exit code (see :func:`fer_edge.command.run_command`).

    Args:
        argv: arguments without the program's name; None takes those of the process.

    Returns:
        Exit code: 0 done, 1 a check failed, 2 bad usage or input, 3 missing dependency or device, 130 interrupted.
    """
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
    from fer_edge.app.credentials import check_command_line, keep_secrets
    from fer_edge.app.option_checks import check_given_once, check_texts
    from fer_edge.app.options import build_parser

    arguments = parse_arguments(given)
    check_given_once(given)
    check_texts(arguments)
    set_verbosity(quiet=arguments.quiet, verbose=arguments.verbose)
    for each in (arguments, *(camera.arguments for camera in arguments.cameras)):
        keep_secrets(each)
    check_command_line(build_parser(PROG).parse_args(given))
    if arguments.cores is not None:
        use_cores(arguments.cores)
    for condition, action in (
        (arguments.print_config, _print_config),
        (arguments.list_cameras, _list_cameras),
        (arguments.fetch, _fetch),
        (arguments.verify, _verify),
    ):
        if condition:
            return action(arguments)
    from fer_edge.native import give_memory_back

    give_memory_back()  # before the libraries that take it
    if arguments.cameras:
        from fer_edge.app.watch_cameras import watch_cameras

        return watch_cameras(arguments, lambda: parse_arguments(given))
    from fer_edge.app.watch import watch

    return watch(arguments)


def parse_arguments(given: Sequence[str]) -> argparse.Namespace:
    """Options from the command line, over those from the file that ``--config`` names.

    Args:
        given: arguments without the program's name.

    Returns:
        The options; ``inputs`` holds the sources, at least one, ``source`` the first of them, and ``cameras`` those
        that are watched at the same time (:class:`fer_edge.app.camera_tables.CameraSetup`), if there are several.

    Raises:
        UsageError: an unknown option, a bad value, or options that exclude each other.
    """
    from fer_edge.app.options import build_parser

    parser = build_parser(PROG)
    typed = arguments = parser.parse_args(given)
    if typed.inputs and typed.source is not None:
        raise UsageError(f"two sources, {typed.inputs[0]} and --source {typed.source[0]}; give one of them")
    tables: list[tuple[str, list[str]]] = []
    from_file: list[str] = []
    if arguments.config is not None:
        from fer_edge.app.config_file import config_arguments

        from_file, tables = config_arguments(arguments.config, parser)
        arguments = parser.parse_args([*from_file, *given])
    sources = [*typed.inputs] or typed.source or arguments.source or []
    arguments.cameras = []
    if tables or (len(sources) > 1 and not typed.inputs):
        from fer_edge.app.camera_tables import cameras_of_sources, cameras_of_tables

        if tables:
            arguments.cameras = cameras_of_tables(tables, from_file, given, sources)
        else:
            arguments.cameras = cameras_of_sources(sources, arguments)
        sources = [camera.arguments.source for camera in arguments.cameras]
    arguments.inputs = sources or ["0"]
    arguments.source = arguments.inputs[0]
    return arguments


def _print_config(arguments: argparse.Namespace) -> int:
    from fer_edge.app.config_file import config_text
    from fer_edge.app.options import build_parser

    if len(arguments.inputs) > 1 and not arguments.cameras:
        raise UsageError(
            f"a configuration file takes one source, not {len(arguments.inputs)}; name a folder or one file"
        )
    print(config_text(build_parser(PROG), arguments), end="")
    return 0


def _list_cameras(arguments: argparse.Namespace) -> int:
    del arguments
    from fer_edge.capture.v4l2 import list_cameras

    cameras = list_cameras()
    for camera in cameras:
        print(f"{camera.number}\t{camera.name}")
    if not cameras:
        say(f"{PROG}: no V4L2 cameras found")
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    del arguments
    from fer_edge.faces.yunet_file import yunet_file

    print(yunet_file())
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from fer_edge.verification.replay import verify

    report = verify(
        arguments.model,
        backend=arguments.backend,
        threads=arguments.threads,
        detector=arguments.detector,
        detector_model=arguments.detector_model,
    )
    *stages, summary = report.lines()
    print("\n".join(stages))
    if not report.passed:
        raise CheckFailedError(summary)
    print(summary)
    return 0


def use_cores(cores: list[int]) -> None:
    """Run this process, and those that it starts, on these processor cores only.

    Args:
        cores: their numbers.

    Raises:
        UsageError: the system cannot do it, or has no such core.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise UsageError("--cores works on Linux only")
    try:
        os.sched_setaffinity(0, cores)
    except (OSError, ValueError) as error:
        here = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        asked = ",".join(map(str, cores))
        raise UsageError(f"--cores {asked}: this machine has cores {here}") from error
