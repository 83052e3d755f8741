"""The options of ``fer-camera``; every one of them may also stand in a TOML file."""

from __future__ import annotations

import argparse
from pathlib import Path

from fer_edge.command import CommandParser
from fer_edge.option_types import number, whole

SWITCH = argparse.BooleanOptionalAction
DEFAULT_MIN_CONFIDENCE = 0.35


def size(text: str) -> tuple[int, int]:
    """A type for argparse: ``WIDTHxHEIGHT``."""
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT, for example 1280x720, got {text!r}")
    return int(width), int(height)


def cores(text: str) -> list[int]:
    """A type for argparse: ``0,1,3``."""
    parts = text.split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"expected core numbers such as 0,1, got {text!r}")
    return [int(part) for part in parts]


def build_parser(prog: str = "fer-camera") -> CommandParser:
    """The parser; option groups follow the way of a frame."""
    from fer_edge.faces.detection import DEFAULT_DETECT_WIDTH
    from fer_edge.faces.detectors import detector_names
    from fer_edge.faces.tracks import DEFAULT_HYSTERESIS, DEFAULT_SMOOTHING_S
    from fer_edge.inference.backends import offered_backends
    from fer_edge.preprocess import DEFAULT_MARGIN

    parser = CommandParser(
        prog=prog,
        allow_abbrev=False,
        description="Recognise facial emotions on a camera, a stream, a video, an image or a folder of images.",
        epilog="Nothing is stored or sent unless an output asks for it.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="read options from this TOML file")
    parser.add_argument("--print-config", action="store_true", help="print all options as a TOML file and end")
    parser.add_argument("--list-cameras", action="store_true", help="list the cameras of this machine and end")
    parser.add_argument("--fetch", action="store_true", help="fetch the face detector into the cache folder and end")
    parser.add_argument("--verify", action="store_true", help="check that this device computes what it should, and end")
    parser.add_argument("--version", action="store_true", help="print the versions in use and end")

    group = parser.add_argument_group("source")
    group.add_argument(
        "--source",
        default="0",
        metavar="S",
        help="camera number, picamera, rtsp:// or http:// address, video, image, folder, 'pattern*.jpg' (default: 0)",
    )
    group.add_argument("--size", type=size, metavar="WxH", help="ask the camera for this size")
    group.add_argument("--fps", type=number(0.1, 1000), metavar="F", help="ask the camera for this rate")
    group.add_argument("--mjpg", action=SWITCH, default=False, help="ask a USB camera for compressed frames")
    group.add_argument("--realtime", action=SWITCH, default=False, help="play a video file at its own pace")
    group.add_argument("--loop", action=SWITCH, default=False, help="play a video file again and again")
    group.add_argument("--max-frames", type=whole(1), metavar="N", help="end after N frames")

    group = parser.add_argument_group("faces")
    group.add_argument("--detector", choices=detector_names(), default="auto", help="face detector (default: auto)")
    group.add_argument("--detector-model", metavar="FILE", help="YuNet's .onnx file (default: fetched once)")
    group.add_argument(
        "--detect-width",
        type=whole(64, 4096),
        default=DEFAULT_DETECT_WIDTH,
        metavar="N",
        help=f"search faces at this width; more finds smaller ones (default: {DEFAULT_DETECT_WIDTH})",
    )
    group.add_argument(
        "--detect-every",
        type=whole(1, 1000),
        default=1,
        metavar="N",
        help="search faces in every N-th frame, follow them in between (default: 1)",
    )
    group.add_argument(
        "--margin",
        type=number(-0.3, 1),
        default=DEFAULT_MARGIN,
        metavar="M",
        help=f"space around a face, as a part of its box (default: {DEFAULT_MARGIN:g})",
    )

    group = parser.add_argument_group("emotions")
    group.add_argument(
        "--model", metavar="FILE", help=".tflite or .onnx model (default: the INT8 model that comes along)"
    )
    group.add_argument(
        "--backend",
        default="auto",
        metavar="NAME",
        help=f"runtime: auto, {', '.join(offered_backends())} (default: auto, by the model's name)",
    )
    group.add_argument(
        "--threads", type=whole(1, 64), default=1, metavar="N", help="threads of the network (default: 1)"
    )
    group.add_argument(
        "--opencv-threads", type=whole(1, 64), metavar="N", help="threads of the face detector (default: all cores)"
    )
    group.add_argument("--cores", type=cores, metavar="0,1", help="run on these processor cores only")
    group.add_argument(
        "--smoothing",
        action=SWITCH,
        default=True,
        help="average over time, so that answers do not flicker (default: yes)",
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
        help=f"lead that a new emotion needs over the present one (default: {DEFAULT_HYSTERESIS:g})",
    )
    group.add_argument(
        "--min-confidence",
        type=number(0, 1),
        default=DEFAULT_MIN_CONFIDENCE,
        metavar="P",
        help=f"below this probability the answer is uncertain (default: {DEFAULT_MIN_CONFIDENCE:g})",
    )
    _add_outputs(parser)
    return parser


def _add_outputs(parser: CommandParser) -> None:
    from fer_edge.outputs.available import outputs

    group = parser.add_argument_group("outputs, any number at once")
    group.add_argument("--headless", action=SWITCH, default=False, help="open no window")
    for output in outputs().values():
        for option in output.options:
            group.add_argument(option.flag, **option.settings)
    group.add_argument("--blur", action=SWITCH, default=False, help="make faces unrecognisable in every picture shown")
    group.add_argument(
        "--quiet", action=SWITCH, default=False, help="no notices and no summary on standard error, errors only"
    )
    group.add_argument("--verbose", action=SWITCH, default=False, help="let OpenCV, FFmpeg and LiteRT speak, too")
