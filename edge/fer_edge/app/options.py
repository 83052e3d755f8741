"""The options of ``fer-camera``; every one of them may also stand in a TOML file."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from fer_edge.command import CommandParser

SWITCH = argparse.BooleanOptionalAction
DEFAULT_MIN_CONFIDENCE = 0.35


def whole(least: int, most: int = 1_000_000) -> Callable[[str], int]:
    """A type for argparse: a whole number in this range."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"expected a number from {least} to {most}, got {value}")
        return value

    return parse


def number(least: float, most: float) -> Callable[[str], float]:
    """A type for argparse: a number in this range."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None
        if not (math.isfinite(value) and least <= value <= most):
            raise argparse.ArgumentTypeError(f"expected a number from {least:g} to {most:g}, got {text}")
        return value

    return parse


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
    from fer_edge.faces.detectors import DEFAULT_DETECT_WIDTH, DETECTORS
    from fer_edge.faces.tracks import DEFAULT_HYSTERESIS, DEFAULT_SMOOTHING_S
    from fer_edge.inference.backends import BACKENDS
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
    group.add_argument("--detector", choices=DETECTORS, default="auto", help="face detector (default: auto)")
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
        help=f"runtime: auto, {', '.join(BACKENDS)} (default: auto, by the model's name)",
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
    group = parser.add_argument_group("outputs, any number at once")
    group.add_argument("--headless", action=SWITCH, default=False, help="open no window")
    group.add_argument("--jsonl", metavar="FILE", help="one JSON object a frame; - is standard output")
    group.add_argument(
        "--jsonl-max-mb",
        type=number(0.001, 1e6),
        metavar="MB",
        help="begin a new file at this size, keep three old ones",
    )
    group.add_argument(
        "--save", metavar="FILE", help="annotated video (.mp4, .mkv, .avi, .webm); of an image: an image"
    )
    group.add_argument("--web", metavar="HOST:PORT", help="a page to watch, for example 127.0.0.1:8080")
    group.add_argument(
        "--web-token",
        metavar="T",
        help="demand this token of visitors; needed on other addresses than 127.0.0.1 (or set FER_WEB_TOKEN)",
    )
    group.add_argument("--web-token-file", metavar="FILE", help="read that token from the first line of this file")
    group.add_argument(
        "--mqtt",
        metavar="URL",
        help="mqtt[s]://[USER@]HOST[:PORT][/TOPIC]; password from FER_MQTT_PASSWORD",
    )
    group.add_argument(
        "--mqtt-password-file", metavar="FILE", help="read that password from the first line of this file"
    )
    group.add_argument(
        "--mqtt-ca", metavar="FILE", help="certificates (PEM) to trust for mqtts:// (default: those of the system)"
    )
    group.add_argument("--metrics", metavar="HOST:PORT", help="figures for Prometheus at /metrics")
    group.add_argument("--video", action=SWITCH, default=True, help="pictures on the page (--no-video: numbers only)")
    group.add_argument("--blur", action=SWITCH, default=False, help="make faces unrecognisable in every picture shown")
    group.add_argument(
        "--quiet", action=SWITCH, default=False, help="no notices and no summary on standard error, errors only"
    )
    group.add_argument("--verbose", action=SWITCH, default=False, help="let OpenCV, FFmpeg and LiteRT speak, too")
