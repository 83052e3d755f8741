"""``fer-export``: trained weights to float and INT8 models in TFLite and ONNX, verified before they are written."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.command import CommandParser, run_command
from fer_edge.errors import DataError, MissingDependencyError, ModelError, UsageError
from fer_edge.html import require_jinja
from fer_edge.loading.model_files import RELEASED_MODELS
from fer_edge.native import quiet_native_libraries
from fer_edge.option_types import number, whole
from fer_edge.system import usable_cpus
from fer_export.log import LOG
from fer_export.subcommands import SUBCOMMANDS
from fer_train.terminal import progress_bar
from fer_train.wording import counted

if TYPE_CHECKING:
    from fer_export.check.gate import Verdict
    from fer_export.request import ExportRequest, ExportResult, Steps
    from fer_train.data.dataset import Split

__all__ = ["PROG", "export", "main"]

PROG = "fer-export"
_TEXT_COLUMNS = ("model", "operator", "Edge TPU", "target", "rounding")
_CHECKOUT_WEIGHTS = Path(__file__).parents[2] / "models"


main = SUBCOMMANDS.main


def export(arguments: Sequence[str]) -> int:
    """``fer-export`` without a subcommand.

    Args:
        arguments: without the program's name.

    Returns:
        The exit code.
    """
    with quiet_native_libraries():  # TensorFlow, LiteRT and ONNX Runtime write pages that no user can act on
        return run_command(PROG, lambda: _run(_parser().parse_args(arguments)))


def _parser() -> CommandParser:
    parser = CommandParser(
        prog=PROG,
        description="Export trained weights to float and INT8 models in TFLite and ONNX, behind an accuracy gate.",
        epilog=SUBCOMMANDS.summary(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_version()
    parser.add_verbosity()
    parser.add_argument("--int8", action="store_true", help="export the four models, float and INT8; required")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--run", type=Path, metavar="DIR", help="a run folder of fer-train")
    source.add_argument(
        "--weights",
        type=Path,
        metavar="W",
        help="a folder with config.json and weights, or a Keras model (.keras, .h5, SavedModel) (default: models/)",
    )
    source.add_argument(
        "--model", choices=tuple(RELEASED_MODELS), help="the weights of another released model than models/: small"
    )
    parser.add_argument(
        "--input-range",
        choices=("ours", "keras", "unit", "pixels"),
        default="ours",
        help="what a Keras model from elsewhere takes: (p-128)/128, p/127.5-1, p/255, or p (default: %(default)s)",
    )
    parser.add_argument(
        "--labels",
        metavar="ORDER",
        default="ours",
        help="how the seven outputs of a Keras model from elsewhere are ordered: fer2013 (the numbers of fer2013.csv), "
        "affectnet, rafdb, ferplus, or the emotions separated by commas; ours is alphabetical",
    )
    parser.add_argument(
        "--input-size",
        type=whole(8),
        metavar="S",
        help="side of the input in pixels, for a Keras model from elsewhere that leaves it open (None, None, None, 3)",
    )
    parser.add_argument("--data", type=Path, metavar="D", help="folder, zip or fer2013.csv to measure accuracy on")
    parser.add_argument("--split", default="validation", help="split of the data to judge on (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("out"), metavar="DIR", help="where the files go (default: %(default)s)"
    )
    _add_limits(parser)
    _add_targets(parser)
    parser.add_argument("--ptq", action="store_true", help="post-training quantisation even where QAT weights exist")
    parser.add_argument(
        "--coral", action="store_true", help="check for the Edge TPU, and compile if its compiler is there"
    )
    parser.add_argument(
        "--threads",
        type=whole(1),
        default=min(4, usable_cpus()),
        metavar="N",
        help="CPU threads (default: %(default)s)",
    )
    return parser


def _add_targets(parser: CommandParser) -> None:
    parser.add_argument(
        "--onnx-target",
        choices=("x86", "arm", "npu"),
        default="x86",
        help="activations of the INT8 ONNX file: unsigned (x86), signed (arm), or signed and written and read with "
        "equal scales, as compilers of NPUs expect (npu) (default: %(default)s)",
    )
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="NAME",
        help="also export to this chip by its maker's tool, and check the result; may be repeated; "
        "'list' prints all with their tools",
    )
    parser.add_argument(
        "--install-target",
        action="append",
        default=[],
        metavar="NAME",
        help="install the tool of this target into an environment of its own, and stop; says how large it is",
    )
    parser.add_argument(
        "--nchw",
        action="store_true",
        help="also write fer_float_nchw.onnx and faces to calibrate on, for tools that quantise by themselves",
    )


def _add_limits(parser: CommandParser) -> None:
    parser.add_argument(
        "--allow-chance",
        action="store_true",
        help="export even a network that is no better than chance, to try the tools with untrained weights",
    )
    parser.add_argument(
        "--max-drop",
        type=number(),
        default=1.0,
        metavar="PP",
        help="largest accuracy drop of INT8, in percentage points (default: %(default)s)",
    )
    parser.add_argument(
        "--min-agreement", type=number(0, 1), metavar="F", help="smallest top-1 agreement of INT8 with float, 0 to 1"
    )
    parser.add_argument(
        "--max-recall-loss",
        type=number(),
        default=10.0,
        metavar="PP",
        help="largest recall loss of one class, in percentage points (default: %(default)s)",
    )


def _run(args: argparse.Namespace) -> int:
    if "list" in args.target:
        return _list_targets()
    if args.install_target:
        return _install_targets(args.install_target)
    if not args.int8:
        raise UsageError("nothing to do: give --int8 to export the float and INT8 models (see fer-export --help)")
    from fer_export.convert.class_order import class_order

    weights = _weights(args)
    order = class_order(args.labels)
    if args.out.exists() and not args.out.is_dir():
        raise UsageError(f"--out {args.out} is a file; expected a folder")
    if args.data is not None and not args.data.exists():
        raise DataError(f"--data {args.data} does not exist; expected a folder, a zip or fer2013.csv")
    if args.target:
        from fer_export.targets import chosen_targets

        chosen_targets(args.target)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported anywhere
    try:
        from rich.console import Console
    except ImportError as error:
        raise MissingDependencyError.for_extra("rich", "export") from error
    require_jinja()
    console = Console(highlight=False, markup=False, force_jupyter=False)  # plain text in a notebook too
    request = _request(args, weights, order)
    from fer_export.export import export_models
    from fer_export.request import GateFailedError

    try:
        with _progress() as steps:
            result = export_models(request, steps)
    except GateFailedError as error:
        _print_table(console, "Models (not written)", error.report.rows)
        if error.report.coral_rows:
            _print_table(console, "Edge TPU", error.report.coral_rows)
        if error.report.target_rows:
            _print_table(console, "Targets", error.report.target_rows)
        _report_remarks(error.report.verdict)
        raise
    _print_result(console, request, result)
    return 0


def _list_targets() -> int:
    from fer_export.targets import target_rows

    rows = target_rows()
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _install_targets(names: list[str]) -> int:
    from fer_export.targets import install_targets

    for line in install_targets(names):
        print(line)
    return 0


def _weights(args: argparse.Namespace) -> Path:
    given: Path | None = args.run or args.weights
    if args.model is not None:
        places = [folder / args.model for folder in (Path("models"), _CHECKOUT_WEIGHTS)]
        given = next((place for place in places if (place / "config.json").is_file()), places[0])
    if given is not None:
        if not given.exists():
            raise ModelError(f"{given} does not exist; expected a run folder of fer-train, or weights")
        return given
    for folder in (Path("models"), _CHECKOUT_WEIGHTS):
        if (folder / "config.json").is_file() and (folder / "float.npz").is_file():
            return folder
    raise UsageError(
        "no --run or --weights given, and no models/ with config.json and float.npz here: run in a checkout of "
        "fer-edge-toolkit, or train with fer-train and give --run runs/NAME"
    )


def _request(args: argparse.Namespace, weights: Path, order: tuple[int, ...]) -> ExportRequest:
    from fer_export.check.gate import Limits
    from fer_export.convert.representative_faces import synthetic_representatives
    from fer_export.request import ExportRequest
    from fer_train.synthetic.faces import judging_split

    limits: dict[str, Any] = {"max_drop": args.max_drop, "max_recall_loss": args.max_recall_loss}
    if args.min_agreement is not None:
        limits |= {"min_agreement": args.min_agreement, "min_agreement_synthetic": args.min_agreement}
        limits["strict_agreement"] = True
    common: dict[str, Any] = {
        "weights": weights,
        "out": args.out,
        "limits": Limits(**limits),
        "onnx_target": args.onnx_target,
        "with_coral": args.coral,
        "with_nchw": args.nchw,
        "force_ptq": args.ptq,
        "input_range": args.input_range,
        "input_size": args.input_size,
        "order": order,
        "allow_chance": args.allow_chance,
        "threads": args.threads,
        "targets": tuple(dict.fromkeys(args.target)),
    }
    if args.data is None:
        LOG.warning(
            "no --data: INT8 and float are compared on synthetic faces, by agreement only; "
            "accuracy on people needs a data set such as FER-2013"
        )
        return ExportRequest(split=judging_split(), representatives=synthetic_representatives(), **common)
    split, train, fingerprint = _load(args.data, args.split)
    if train is None:
        LOG.warning("the data has no train split: post-training quantisation would measure ranges on synthetic faces")
        train = synthetic_representatives()
    return ExportRequest(
        split=split, representatives=train, data=args.data.name, data_fingerprint=fingerprint, **common
    )


def _load(data: Path, split: str) -> tuple[Split, Split | None, str]:
    from fer_train.data.dataset import load_dataset

    with progress_bar("reading data") if LOG.isEnabledFor(logging.INFO) else contextlib.nullcontext() as on_progress:
        dataset = load_dataset(data, on_progress=on_progress)
    for line in dataset.notes:
        LOG.info("note: %s", line)
    if dataset.skipped:
        name, reason = dataset.skipped[0]
        unreadable = counted(len(dataset.skipped), "unreadable file")
        LOG.warning("%s of %s skipped, the first: %s: %s", unreadable, data, name, reason)
    return dataset.split(split), dataset.splits.get("train"), dataset.fingerprint


@contextlib.contextmanager
def _progress() -> Iterator[Steps]:
    """A bar on standard error, or a notice per step where that is not a terminal; nothing with ``--quiet``."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from fer_export.request import Steps

    shown = Console(stderr=True, force_jupyter=False)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    hidden = not shown.is_terminal or not LOG.isEnabledFor(logging.INFO)
    with Progress(*columns, console=shown, transient=True, disable=hidden) as progress:
        task = progress.add_task("starting", total=None)

        class Bar(Steps):
            def begin(self, name: str, total: int | None = None) -> None:
                progress.reset(task, description=name, total=total)
                if not shown.is_terminal:
                    LOG.info(name)

            def advance(self, done: int) -> None:
                progress.update(task, completed=done)

        yield Bar()


def _report_remarks(verdict: Verdict) -> None:
    for line in verdict.remarks:
        LOG.warning(line)


def _print_result(console: Any, request: ExportRequest, result: ExportResult) -> None:
    what = f"{request.data}, split {request.split.name}, {counted(len(request.split), 'image')}"
    _print_table(console, f"Models on {what}", result.rows)
    if result.coral_rows:
        _print_table(console, "Edge TPU", result.coral_rows)
        console.print(result.coral_summary)
    if result.target_rows:
        _print_table(
            console,
            "Targets: operators on the accelerator; beside INT8 TFLite; times are estimates",
            result.target_rows,
        )
    _report_remarks(result.verdict)
    console.print(
        f"Gate passed. Wrote {counted(len(result.files), 'file')} to {request.out}/: ", end="", soft_wrap=True
    )
    console.print(", ".join(_names(request.out, result.files)), soft_wrap=True)


def _names(folder: Path, files: Iterable[Path]) -> list[str]:
    """Names of files in a folder; of a folder in it, its name and how many it holds: 400 names tell nobody anything."""
    places = [file.relative_to(folder).parts for file in files]
    inside = Counter(parts[0] for parts in places if len(parts) > 1)
    alone = [parts[0] for parts in places if len(parts) == 1]
    return alone + [f"{name}/ ({counted(n, 'file')})" for name, n in inside.items()]


def _print_table(console: Any, title: str, rows: list[list[str]]) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        is_text = name in _TEXT_COLUMNS
        table.add_column(name, justify="left" if is_text else "right", no_wrap=name in ("model", "operator", "target"))
    for row in rows[1:]:
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
