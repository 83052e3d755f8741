"""``fer-analyze``: many videos and images to tables, one row per face and frame."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

from fer_edge.command import CommandParser, run_command
from fer_edge.errors import UsageError
from fer_edge.logs import set_verbosity
from fer_edge.option_types import whole

__all__ = ["PROG", "build_parser", "main"]

PROG = "fer-analyze"
_DESCRIPTION = """\
Analyze videos and images to tables: one row per face and frame, summaries per face and per file, a
timeline per file and an overview, as Parquet, CSV, PNG and HTML.

examples:
  fer-analyze clips/ --out results/                   every video and image in a folder and below it
  fer-analyze 'day*/*.mp4' face.jpg --out results/
  fer-analyze s3://bucket/clips --out results/ --dask tcp://scheduler:8786"""
_EPILOG = """\
The same command again does what is missing or has changed: a file by its content, all by the
options. Broken files are listed in files.csv and do not stop the rest; the exit code is then 1.

In Python: fer_edge.read_table("results/") is the table as a pandas frame."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the result is its exit code (see :func:`fer_edge.command.run_command`).

    Args:
        argv: arguments without the program's name; None takes those of the process.

    Returns:
        Exit code: 0 done, 1 some files are broken, 2 bad usage or input, 3 missing dependency, 130 interrupted.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    # Before OpenCV is loaded, here and in the processes that are started: it reads these once.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    with contextlib.nullcontext() if "--verbose" in given else _quiet():
        return run_command(PROG, lambda: _run(given))


def _quiet() -> contextlib.AbstractContextManager[None]:
    from fer_edge.native import quiet_native_libraries

    return quiet_native_libraries()


def _run(given: list[str]) -> int:
    arguments = build_parser().parse_args(given)
    set_verbosity(quiet=arguments.quiet, verbose=arguments.verbose)
    if not arguments.inputs:
        raise UsageError(f"nothing to analyze; expected videos, images, folders or patterns (see {PROG} --help)")
    if not arguments.out:
        raise UsageError("--out is empty; expected a folder for the results")
    if arguments.dask is not None and arguments.workers is not None:
        raise UsageError("--workers counts processes of this machine; with --dask the workers are those of the cluster")
    if arguments.cores is not None:
        from fer_edge.app.cli import use_cores

        use_cores(arguments.cores)
    from fer_edge.analysis.run import analyze_files

    return analyze_files(arguments)


def build_parser() -> CommandParser:
    """The parser; detector, model and smoothing have the options of ``fer-camera``.

    Returns:
        The parser.
    """
    from fer_edge.app.options import add_emotion_options, add_face_options, add_orientation_options

    parser = CommandParser(
        prog=PROG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s PATH [PATH ...] --out FOLDER [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_version()
    parser.add_verbosity()
    group = parser.add_argument_group("files")
    group.add_argument(
        "inputs",
        nargs="*",
        metavar="PATH",
        help="videos, images, folders (with all below them), 'patterns*', or addresses that fsspec knows, such as s3://",
    )
    group.add_argument("--out", required=True, metavar="FOLDER", help="write the results into this folder")
    add_orientation_options(group)
    group.add_argument("--max-frames", type=whole(1), metavar="N", help="stop after N frames of each file")
    group.add_argument(
        "--pictures",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="draw a timeline for each file (--no-pictures: tables only)",
    )
    group = parser.add_argument_group("where to compute")
    group.add_argument(
        "--workers",
        type=whole(1, 1024),
        metavar="N",
        help="processes on this machine, each on one core (default: one per core)",
    )
    group.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="Dask scheduler of a cluster that does the work, for example tcp://scheduler:8786",
    )
    add_face_options(parser)
    add_emotion_options(parser, opencv_threads="1 per worker")
    return parser
