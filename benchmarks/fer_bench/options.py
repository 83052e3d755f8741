"""The options of ``fer-bench``, apart from what carries them out: help and versions load no numpy, no Rich."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fer_bench.request import BenchRequest, CompareRequest, Destinations, RobustnessRequest
from fer_bench.subcommands import SUBCOMMANDS
from fer_edge.command import CommandParser
from fer_edge.errors import UsageError
from fer_edge.option_types import number, percent, whole

__all__ = [
    "bench_request",
    "compare_parser",
    "compare_request",
    "demo_parser",
    "destinations",
    "measure_parser",
    "robustness_parser",
    "robustness_request",
]


def measure_parser() -> CommandParser:
    """The options of a measurement.

    Returns:
        A parser for :func:`bench_request` and :func:`destinations`.
    """
    p = CommandParser(
        prog="fer-bench",
        description="Measure latency, memory, load time and accuracy of models, interleaved, each in fresh processes.",
        epilog=SUBCOMMANDS.summary(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_version()
    p.add_verbosity()
    p.add_argument(
        "--model",
        action="append",
        metavar="M",
        help="model file, a bare name looked up here, in out/, in models/ and in the package, or small; M@BACKEND "
        "names the runtime; repeat for several (default: the INT8 model that comes with the package)",
    )
    p.add_argument(
        "--all",
        action="store_true",
        help="every model that is found, on every runtime that is installed; with --scaling",
    )
    p.add_argument("--backend", default="auto", metavar="NAME", help=_backend_help())
    p.add_argument(
        "--runtime-python",
        action="append",
        default=[],
        metavar="BACKEND=PYTHON",
        help="interpreter of another environment for a runtime, for example tflite-runtime=/opt/old/bin/python",
    )
    p.add_argument("--threads", type=whole(1), default=1, metavar="N", help="CPU threads of one inference (default: 1)")
    p.add_argument(
        "--scaling",
        action=argparse.BooleanOptionalAction,
        help="also throughput at 1, 2, 4 ... threads up to all CPUs",
    )
    p.add_argument(
        "--seconds", type=number(above=0), default=3.0, metavar="S", help="timed seconds per model (default: 3)"
    )
    p.add_argument("--processes", type=whole(1), default=3, metavar="N", help="fresh processes per model (default: 3)")
    p.add_argument("--data", type=Path, metavar="D", help="folder, zip or fer2013.csv (default: synthetic faces)")
    p.add_argument("--split", default="validation", help="train, validation or test (default: validation)")
    p.add_argument("--limit", type=whole(1), metavar="N", help="accuracy on N images, evenly spaced over the split")
    p.add_argument("--no-accuracy", action="store_true", help="speed and memory only")
    p.add_argument("--seed", type=whole(), default=0, help="for the order of turns and synthetic faces (default: 0)")
    _add_profile_and_pipeline(p)
    p.add_argument("--verify", action="store_true", help="first replay the golden vectors; exit 1 when they differ")
    p.add_argument("--json", type=Path, metavar="F", help="write the result as JSON; into a folder: named by machine")
    p.add_argument("--html", type=Path, metavar="F", help="write a page with tables and pictures")
    p.add_argument("--require-valid", action="store_true", help="exit 1 when a measurement is not valid")
    return p


def _backend_help() -> str:
    from fer_edge.inference.backends import offered_backends

    names = ", ".join(offered_backends())
    return f"runtime of models without @BACKEND: {names}, or opencv for float ONNX (default: by the suffix)"


def _add_profile_and_pipeline(p: CommandParser) -> None:
    p.add_argument("--profile", action="store_true", help="also time, multiply-accumulates and rate of every operator")
    p.add_argument(
        "--profile-detector",
        action="store_true",
        help="the same of the face detector (YuNet on LiteRT), also with --end-to-end",
    )
    p.add_argument("--end-to-end", action="store_true", help="measure the whole camera pipeline on --source instead")
    p.add_argument("--source", metavar="S", help="video, image, folder or camera for --end-to-end")
    from fer_edge.faces.detectors import detector_names

    p.add_argument(
        "--detector",
        default="auto",
        metavar="NAME",
        help=f"face detector for --end-to-end: {', '.join(detector_names())} (default: auto)",
    )
    p.add_argument("--detector-model", metavar="PATH", help="YuNet's .onnx file")
    p.add_argument(
        "--minutes", type=number(above=0), metavar="M", help="soak: run --end-to-end for M minutes, and plot it"
    )
    _add_cameras(p)


def _add_cameras(p: CommandParser) -> None:
    p.add_argument(
        "--cameras",
        type=whole(1, 64),
        metavar="N",
        help="with --end-to-end: play --source as N cameras at once, in one process and in N processes in turns, and "
        "compare CPU time, memory, rates and delays (--minutes sets the length of a run, default half a minute; "
        "--processes how often)",
    )
    p.add_argument("--rtsp", action="store_true", help="with --cameras: serve the video by RTSP on this machine")
    p.add_argument(
        "--no-motion", action="store_true", help="with --cameras: search for faces also where nothing has moved"
    )
    p.add_argument(
        "--disturb",
        action="append",
        choices=("stall", "garbage", "flap"),
        default=[],
        help="with --cameras: also with one more camera that stalls, sends garbage, or comes and goes; may be repeated",
    )
    p.add_argument(
        "--baseline-python",
        metavar="PYTHON",
        help="with --cameras: interpreter of another installation, such as an earlier version, for the N processes",
    )


def compare_parser() -> CommandParser:
    """The options of a comparison.

    Returns:
        A parser for :func:`compare_request`.
    """
    p = CommandParser(
        prog="fer-bench compare",
        description="Compare two measurements of the same models, or of the whole pipeline; invalid ones are refused.",
        epilog="Exit 1 when a limit is exceeded, 2 when the files cannot be compared.",
    )
    p.add_verbosity()
    p.add_argument("before", type=Path, metavar="A.json", help="the reference")
    p.add_argument("after", type=Path, metavar="B.json", help="the new measurement")
    p.add_argument("--model", action="append", default=[], metavar="M", help="only this model; repeat for several")
    p.add_argument(
        "--fail-if-slower",
        type=percent,
        metavar="PERCENT",
        help="exit 1 when a model is slower by more than this, and significantly slower (its interval lies above 1)",
    )
    p.add_argument(
        "--fail-if-less-accurate",
        type=percent,
        metavar="POINTS",
        help="exit 1 when a model lost more than this many percentage points of accuracy on the same split",
    )
    p.add_argument("--other-machine", action="store_true", help="allow measurements of two different machines")
    p.add_argument(
        "--by-ratio",
        action="store_true",
        help="compare times against the float model of the same file: also where milliseconds are invalid for noise",
    )
    p.add_argument("--json", type=Path, metavar="F", help="write the comparison as JSON")
    return p


def demo_parser() -> CommandParser:
    """The options of the demo's page.

    Returns:
        A parser with ``out``, ``data`` and ``split``.
    """
    p = CommandParser(
        prog="fer-bench demo",
        description="The last step of make demo: one page that shows what was made. It reads what fer-export and "
        "fer-bench left in a folder, and has the INT8 model answer for a few faces.",
    )
    p.add_verbosity()
    p.add_argument("--out", type=Path, default=Path("out"), metavar="DIR", help="folder of models and bench.json")
    p.add_argument("--data", type=Path, metavar="D", help="labelled faces (default: synthetic faces)")
    p.add_argument("--split", default="validation", help="split of the data (default: validation)")
    return p


def robustness_parser() -> CommandParser:
    """The options of a measurement on disturbed faces.

    Returns:
        A parser for :func:`robustness_request`, with ``list`` besides.
    """
    p = CommandParser(
        prog="fer-bench robustness",
        description="Accuracy of models on disturbed faces: noise, blur, compression, light, position, hidden parts, "
        "each at three strengths. Every model gets the same faces, and every run the same disturbances.",
        epilog="All kinds over the 3,589 faces of PublicTest take minutes on two CPUs; --limit takes fewer.",
    )
    p.add_verbosity()
    p.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="M",
        help="model file, or a bare name as fer-bench takes it; M@BACKEND names the runtime; each further one is "
        "compared with the first (default: the INT8 model that comes with the package)",
    )
    p.add_argument("--backend", default="auto", metavar="NAME", help=_backend_help())
    p.add_argument("--data", type=Path, metavar="D", help="folder, zip or fer2013.csv (default: synthetic faces)")
    p.add_argument("--split", default="validation", help="train, validation or test (default: validation)")
    p.add_argument("--limit", type=whole(1), metavar="N", help="N images, evenly spaced over the split")
    p.add_argument(
        "--kind", action="append", default=[], metavar="K", help="only this kind of disturbance; repeat for several"
    )
    p.add_argument("--list", action="store_true", help="print the kinds with their strengths and formulas, and exit")
    p.add_argument("--seed", type=whole(), default=0, help="another seed, other disturbances (default: 0)")
    p.add_argument("--json", type=Path, metavar="F", help="write the result as JSON")
    p.add_argument("--markdown", type=Path, metavar="F", help="write the table as Markdown, for a model card")
    p.add_argument("--picture", type=Path, metavar="F.png", help="draw example faces and a chart (needs Matplotlib)")
    return p


def robustness_request(options: argparse.Namespace) -> RobustnessRequest:
    """What the options of :func:`robustness_parser` ask for.

    Args:
        options: as parsed.

    Returns:
        The request.

    Raises:
        UsageError: a picture that is not a ``.png``, or a split of nothing.
    """
    if options.data is None and options.split != "validation":
        raise UsageError(f"--split {options.split} needs --data: the synthetic faces have no splits")
    if options.picture is not None and options.picture.suffix.lower() != ".png":
        raise UsageError(f"--picture {options.picture}: expected a name that ends in .png")
    return RobustnessRequest(
        models=tuple(options.model),
        backend=options.backend,
        data=options.data,
        split=options.split,
        limit=options.limit,
        kinds=tuple(options.kind),
        seed=options.seed,
        json=options.json,
        markdown=options.markdown,
        picture=options.picture,
    )


def bench_request(options: argparse.Namespace) -> BenchRequest:
    """What the options of :func:`measure_parser` ask for.

    Args:
        options: as parsed.

    Returns:
        The request.

    Raises:
        UsageError: ``--runtime-python`` without a runtime or an interpreter.
    """
    return BenchRequest(
        models=tuple(options.model or ()),
        everything=options.all,
        backend=options.backend,
        pythons=_pythons(options.runtime_python),
        threads=options.threads,
        scaling=options.all if options.scaling is None else options.scaling,
        seconds=options.seconds,
        processes=options.processes,
        seed=options.seed,
        accuracy=not options.no_accuracy,
        data=options.data,
        split=options.split,
        limit=options.limit,
        profile=options.profile,
        profile_detector=options.profile_detector,
        end_to_end=options.end_to_end,
        source=options.source,
        detector=options.detector,
        detector_model=options.detector_model,
        minutes=options.minutes,
        cameras=_cameras(options),
        rtsp=options.rtsp,
        motion=not options.no_motion,
        disturbances=tuple(dict.fromkeys(options.disturb)),
        baseline_python=options.baseline_python,
    )


def _cameras(options: argparse.Namespace) -> int | None:
    number: int | None = options.cameras
    given = {"--rtsp": options.rtsp, "--no-motion": options.no_motion, "--disturb": options.disturb}
    given["--baseline-python"] = options.baseline_python
    names = [name for name, value in given.items() if value]
    if number is None and names:
        raise UsageError(f"{names[0]} has no effect without --cameras")
    if number is not None and not options.end_to_end:
        raise UsageError("--cameras belongs to --end-to-end")
    return number


def destinations(options: argparse.Namespace) -> Destinations:
    """Where the options of :func:`measure_parser` want the result.

    Args:
        options: as parsed.

    Returns:
        The files.
    """
    return Destinations(json=options.json, html=options.html)


def compare_request(options: argparse.Namespace) -> CompareRequest:
    """What the options of :func:`compare_parser` ask for.

    Args:
        options: as parsed.

    Returns:
        The request.
    """
    return CompareRequest(
        before=options.before,
        after=options.after,
        models=tuple(options.model),
        by_ratio=options.by_ratio,
        other_machine=options.other_machine,
        fail_if_slower=options.fail_if_slower,
        fail_if_less_accurate=options.fail_if_less_accurate,
        json=options.json,
    )


def _pythons(pairs: Sequence[str]) -> dict[str, str]:
    pythons = {}
    for pair in pairs:
        backend, equals, python = pair.partition("=")
        if not equals or not python:
            raise UsageError(
                f"--runtime-python {pair}: expected BACKEND=PYTHON, for example tflite-runtime=/opt/bin/python"
            )
        pythons[backend] = python
    return pythons
