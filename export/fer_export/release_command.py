"""``fer-export release``: fill ``models/`` from a finished run, and rewrite the figures in the documents."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from fer_edge.command import CommandParser, run_command
from fer_edge.errors import UsageError
from fer_edge.loading.model_files import DEFAULT_MODEL, RELEASED_MODELS
from fer_edge.native import quiet_native_libraries
from fer_export.log import LOG

__all__ = ["release"]

_PROG = "fer-export release"


def release(arguments: Sequence[str]) -> int:
    """``fer-export release``: pack a run, export it, and fill ``models/``.

    Args:
        arguments: without the names of program and subcommand.

    Returns:
        The exit code.
    """

    def body() -> int:
        options = _release_parser().parse_args(arguments)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported anywhere
        return _release(options)

    with quiet_native_libraries():
        return run_command(_PROG, body)


def _release(options: argparse.Namespace) -> int:
    from fer_export.describe.figures import read_released, update_documents
    from fer_export.release import measure_robustness
    from fer_export.release import release as write_release

    if options.figures_only:
        home = options.to / options.name if options.name else options.to
    elif options.run is None:
        raise UsageError("--run is missing: the finished run to release (or --figures-only)")
    else:
        home = write_release(options.run, options.data, options.split, options.to, options.name)
    model = options.to / (RELEASED_MODELS[options.name] if options.name else DEFAULT_MODEL)
    if options.robustness and (not options.figures_only or read_released(home).robustness is None):
        LOG.info("accuracy on disturbed faces")
        measure_robustness(model, options.data, options.split, home)
    root = options.to.resolve().parent
    if options.robustness and (root / "models").resolve() == options.to.resolve():
        for path in update_documents(root):
            LOG.info("figures in %s", path)
    return 0


def _release_parser() -> CommandParser:
    parser = CommandParser(
        prog=_PROG,
        description="Fill models/ of a checkout from a finished run: packed weights, the models exported from them, "
        "golden vectors, reports and figures; all or none. Then measure accuracy on disturbed faces, and write the "
        "figures in README, model card and guides.",
    )
    parser.add_verbosity()
    parser.add_argument("--run", type=Path, metavar="DIR", help="a finished run of fer-train")
    parser.add_argument("--data", type=Path, required=True, metavar="D", help="data set to judge on")
    parser.add_argument(
        "--name",
        choices=tuple(RELEASED_MODELS),
        help="release it as a second model of this name beside the first, such as fer_small_int8.tflite",
    )
    parser.add_argument(
        "--no-robustness",
        dest="robustness",
        action="store_false",
        help="leave out the measurement on disturbed faces (minutes), and the documents as they are",
    )
    parser.add_argument(
        "--figures-only",
        action="store_true",
        help="release nothing: measure what is missing, and rewrite the figures in the documents",
    )
    parser.add_argument("--split", default="validation", help="split of the data to judge on (default: validation)")
    parser.add_argument(
        "--to", type=Path, default=Path("models"), metavar="DIR", help="where the files go (default: models)"
    )
    return parser
