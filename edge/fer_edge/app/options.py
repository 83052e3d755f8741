"""The options of ``fer-camera``; each can also be given in a TOML file."""

from __future__ import annotations

import argparse
from pathlib import Path

from fer_edge.command import CommandParser
from fer_edge.defaults import (
    DEFAULT_BACKEND,
    DEFAULT_DETECT_EVERY,
    DEFAULT_DETECT_WIDTH,
    DEFAULT_DETECTOR,
    DEFAULT_HYSTERESIS,
    DEFAULT_MARGIN,
    DEFAULT_MIN_CONFIDENCE,
    DEFAULT_SEARCH,
    DEFAULT_SMOOTHING_S,
    DEFAULT_THREADS,
    SEARCHES,
    SMALLEST_FACE,
)
from fer_edge.option_types import number, whole

__all__ = [
    "DESCRIPTION", "EPILOG", "SWITCH", "add_emotion_options", "add_face_options", "add_orientation_options",
    "build_parser", "cores", "size",
]  # fmt: skip

SWITCH = argparse.BooleanOptionalAction
DESCRIPTION = """\
Recognise facial emotions on a camera, a stream, videos or images, and print the answers.

examples:
  fer-camera                          the webcam, in a window
  fer-camera face.jpg                 what an image shows
  fer-camera photos/ --save out/      every image and video of a folder, annotated
  fer-camera video.mp4 --headless --jsonl out.jsonl --save out.mp4
  fer-camera rtsp://camera/live --headless --web 8080
  fer-camera --source rtsp://cam1/live --source rtsp://cam2/live --web 8080"""
EPILOG = """\
keys in the window: q or Escape quits, space pauses, s saves the picture, f fills the screen

Nothing is stored or sent unless an output or a key asks for it. Only the face detector's file is
fetched, once (with --detector haar or --detector-model it is not), and kept in the cache folder,
as is the TFLite network that is made from it."""


def size(text: str) -> tuple[int, int]:
    """A type for argparse: ``WIDTHxHEIGHT``.

    Args:
        text: as typed.

    Returns:
        ``(width, height)`` in pixels.

    Raises:
        argparse.ArgumentTypeError: anything else.
    """
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT, for example 1280x720, got {text!r}")
    return int(width), int(height)


def cores(text: str) -> list[int]:
    """A type for argparse: ``0,1,3``.

    Args:
        text: as typed.

    Returns:
        Numbers of cores.

    Raises:
        argparse.ArgumentTypeError: anything else.
    """
    parts = text.split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"expected core numbers such as 0,1, got {text!r}")
    return [int(part) for part in parts]


def build_parser(prog: str = "fer-camera") -> CommandParser:
    """The parser of ``fer-camera``; option groups follow the way of a frame.

    Args:
        prog: name of the command.

    Returns:
        The parser.
    """
    parser = CommandParser(
        prog=prog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [SOURCE ...] [options]",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="read options from this TOML file")
    parser.add_argument("--print-config", action="store_true", help="print all options as a TOML file and exit")
    parser.add_argument("--list-cameras", action="store_true", help="list the cameras of this machine and exit")
    parser.add_argument("--fetch", action="store_true", help="fetch the face detector into the cache folder and exit")
    parser.add_argument("--verify", action="store_true", help="check that this device computes correctly, and exit")
    parser.add_version()
    _add_source(parser)
    add_face_options(parser)
    add_emotion_options(parser)
    _add_outputs(parser)
    return parser


def _add_source(parser: CommandParser) -> None:
    group = parser.add_argument_group("source")
    group.add_argument(
        "inputs",
        nargs="*",
        metavar="SOURCE",
        help="camera number, picamera, rtsp:// or http:// address, video, image, folder of them, 'pattern*.jpg', or - "
        "for standard input; of files and folders also several (default: 0, the first camera)",
    )
    group.add_argument(
        "--source",
        action="append",
        metavar="SOURCE",
        help="the same as an option, for example for --config; given several times: cameras, streams and videos that "
        "are watched at the same time",
    )
    group.add_argument("--size", type=size, metavar="WxH", help="ask the camera for this size, for example 1280x720")
    group.add_argument(
        "--fps", type=number(0.1, 1000), metavar="F", help="ask the camera for this many frames per second"
    )
    group.add_argument(
        "--max-fps",
        type=number(0.1, 1000),
        metavar="F",
        help="look at F frames per second at most, and leave out the others",
    )
    group.add_argument("--mjpg", action=SWITCH, default=False, help="ask a USB camera for compressed frames")
    group.add_argument("--realtime", action=SWITCH, default=False, help="play a video file at its own pace")
    group.add_argument("--loop", action=SWITCH, default=False, help="play a video file in a loop")
    add_orientation_options(group)
    group.add_argument("--max-frames", type=whole(1), metavar="N", help="stop after N frames (of each video)")


def add_orientation_options(group: argparse._ArgumentGroup) -> None:
    """Add how pictures are turned.

    Args:
        group: of a parser.
    """
    group.add_argument(
        "--rotate",
        type=int,
        choices=(0, 90, 180, 270),
        default=0,
        metavar="DEG",
        help="turn every picture clockwise by 90, 180 or 270 degrees, for a rotated camera (default: 0)",
    )
    group.add_argument(
        "--flip", action=SWITCH, default=False, help="mirror left and right, after --rotate (front camera)"
    )


def add_face_options(parser: CommandParser) -> None:
    """Add detector and search.

    Args:
        parser: of a command.
    """
    from fer_edge.faces.detectors import detector_names

    group = parser.add_argument_group("faces")
    group.add_argument(
        "--detector", choices=detector_names(), default=DEFAULT_DETECTOR, help="face detector (default: auto)"
    )
    group.add_argument(
        "--detector-model", metavar="FILE", help="YuNet's .onnx file (default: fetched once into the cache folder)"
    )
    group.add_argument(
        "--detect-width",
        type=whole(64, 4096),
        metavar="N",
        help=f"search faces at this width in pixels; more finds smaller ones (default: {DEFAULT_DETECT_WIDTH}; "
        f"photos: chosen to find faces of {SMALLEST_FACE} pixels or more)",
    )
    group.add_argument(
        "--search",
        choices=SEARCHES,
        default=DEFAULT_SEARCH,
        help="in videos and cameras: adaptive searches the whole frame every 0.2 s and close to known faces in "
        "between; full searches the whole of every frame (default: adaptive)",
    )
    group.add_argument(
        "--detect-every",
        type=whole(1, 1000),
        default=DEFAULT_DETECT_EVERY,
        metavar="N",
        help="search the whole of every Nth frame only, and follow faces in between by their motion (default: 1)",
    )
    group.add_argument(
        "--motion",
        action=SWITCH,
        help="search for new faces only where something has moved, and every 2 s (default: with cameras and streams, "
        "not with files or --search full)",
    )
    group.add_argument(
        "--margin",
        type=number(-0.3, 1),
        default=DEFAULT_MARGIN,
        metavar="M",
        help=f"space around a face as a fraction of its box, -0.3 to 1 (default: {DEFAULT_MARGIN:g})",
    )


def add_emotion_options(parser: CommandParser, *, opencv_threads: str = "all cores") -> None:
    """Add network, processor and smoothing.

    Args:
        parser: of a command.
        opencv_threads: the default of ``--opencv-threads``, in words.
    """
    from fer_edge.inference.backends import offered_backends

    group = parser.add_argument_group("emotions")
    group.add_argument(
        "--model", metavar="FILE", help=".tflite or .onnx model, or small (default: the packaged INT8 model)"
    )
    group.add_argument(
        "--backend",
        default=DEFAULT_BACKEND,
        metavar="NAME",
        help=f"runtime: auto, {', '.join(offered_backends())} (default: auto, by the model's name)",
    )
    group.add_argument(
        "--threads", type=whole(1, 64), default=DEFAULT_THREADS, metavar="N", help="threads of the network (default: 1)"
    )
    group.add_argument(
        "--opencv-threads",
        type=whole(1, 64),
        metavar="N",
        help=f"threads of the face detector (default: {opencv_threads})",
    )
    group.add_argument("--cores", type=cores, metavar="0,1", help="run on these processor cores only")
    group.add_argument(
        "--smoothing",
        action=SWITCH,
        default=True,
        help="average over time, so that answers do not flicker (the default)",
    )
    group.add_argument(
        "--smoothing-s",
        type=number(0.01, 60),
        default=DEFAULT_SMOOTHING_S,
        metavar="S",
        help=f"time constant of the average in seconds (default: {DEFAULT_SMOOTHING_S:g})",
    )
    group.add_argument(
        "--hysteresis",
        type=number(0, 1),
        default=DEFAULT_HYSTERESIS,
        metavar="P",
        help=f"lead in probability over the current emotion that a new one needs (default: {DEFAULT_HYSTERESIS:g})",
    )
    group.add_argument(
        "--min-confidence",
        type=number(0, 1),
        default=DEFAULT_MIN_CONFIDENCE,
        metavar="P",
        help=f'below this probability the answer is "uncertain" (default: {DEFAULT_MIN_CONFIDENCE:g})',
    )


def _add_outputs(parser: CommandParser) -> None:
    from fer_edge.outputs.available import outputs

    group = parser.add_argument_group("outputs, any number at once")
    group.add_argument(
        "--headless",
        action=SWITCH,
        help="open no window (--no-headless: fail if none can be opened; default: continue without one)",
    )
    for output in sorted(outputs().values(), key=lambda output: not output.writes_file):  # files first
        for option in output.options:
            group.add_argument(option.flag, **option.settings)
    group.add_argument("--blur", action=SWITCH, default=False, help="make faces unrecognisable in every picture shown")
    group.add_argument(
        "--quiet",
        action=SWITCH,
        default=False,
        help="errors only: no notices, no progress, no summary; answers only where no other output gets them",
    )
    group.add_argument(
        "--verbose", action=SWITCH, default=False, help="also show messages of OpenCV, FFmpeg and LiteRT"
    )
