"""``fer-data``: import, audit and synthesise data sets."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fer_edge.command import CommandParser, run_command
from fer_edge.errors import CheckFailedError, UsageError
from fer_edge.files import write_text
from fer_edge.option_types import gigabytes, whole
from fer_train.importing.class_names import NUMBERINGS
from fer_train.logs import LOG
from fer_train.terminal import progress_bar
from fer_train.wording import counted

if TYPE_CHECKING:
    from fer_train.importing.importer import ImportReport

_SHOWN = 10
"""Reasons for skipping."""
_NAMED = 3
"""What was skipped for one reason."""
_ROW: Final[re.Pattern[str]] = re.compile(r"row \d+|\w+_row\d+")
"""What a row of ``fer2013.csv`` is called."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``fer-data``; returns the exit code."""
    return run_command("fer-data", lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    if options.command is None:
        raise UsageError("expected a command: import, audit or synth (see fer-data --help)")
    handlers = {"import": _import, "audit": _audit, "synth": _synth}
    return handlers[options.command](options)


def _parser() -> CommandParser:
    parser = CommandParser(prog="fer-data", description="Import, audit and synthesise data sets of facial emotion.")
    parser.add_version()
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    importing = commands.add_parser("import", help="copy a data set to one checked folder with a manifest")
    importing.add_argument("source", metavar="SRC", help="folder, zip or tar (as downloaded), or fer2013.csv")
    importing.add_argument("--to", default="data/fer2013", metavar="DIR", help="new folder (default: %(default)s)")
    importing.add_argument(
        "--clean",
        action="store_true",
        help="leave out of train: exact duplicates, images with conflicting labels, images of the evaluation splits",
    )
    importing.add_argument("--votes", metavar="CSV", help="FER+ votes to join: ferplus_votes.csv or fer2013new.csv")
    importing.add_argument(
        "--vote-pixels", metavar="CSV", help="the fer2013.csv whose rows the votes follow: join by pixel content"
    )
    importing.add_argument("--numbering", choices=sorted(NUMBERINGS), help="whose numbers numbered class folders are")
    importing.add_argument(
        "--max-size",
        type=gigabytes,
        default="4",
        metavar="GB",
        help="refuse archives that unpack to more (default: %(default)s)",
    )
    importing.add_argument("--force", action="store_true", help="replace DIR if an earlier import made it")

    auditing = commands.add_parser("audit", help="find duplicates, leaks, conflicting labels and pictures of nothing")
    auditing.add_argument("--data", required=True, metavar="D", help="folder, zip or fer2013.csv")
    auditing.add_argument("--json", metavar="F", help="write all findings, every image by name")
    auditing.add_argument("--html", metavar="F", help="write a page with pictures of each finding")
    auditing.add_argument("--votes", metavar="CSV", help="FER+ votes: agreement of the labels with the crowd")
    auditing.add_argument(
        "--label-errors",
        action="store_true",
        help="also find likely label errors by confident learning: minutes, needs cleanlab and scikit-learn",
    )
    auditing.add_argument(
        "--strict", action="store_true", help="exit 1 when an evaluation split leaks or labels conflict"
    )
    auditing.add_argument("--cache-dir", metavar="DIR", help="where decoded images are kept")

    synth = commands.add_parser("synth", help="draw synthetic faces (no people) with the seven expressions")
    synth.add_argument("--to", required=True, metavar="DIR", help="new folder")
    synth.add_argument("--train", type=whole(), default=300, metavar="N", help="faces per class (default: %(default)s)")
    synth.add_argument(
        "--validation", type=whole(), default=60, metavar="N", help="faces per class (default: %(default)s)"
    )
    synth.add_argument("--test", type=whole(), default=60, metavar="N", help="faces per class (default: %(default)s)")
    synth.add_argument("--size", type=whole(), default=48, metavar="PX", help="side in pixels (default: %(default)s)")
    synth.add_argument("--seed", type=whole(), default=0, metavar="N", help="another seed, other faces (default: 0)")
    synth.add_argument("--force", action="store_true", help="replace DIR if this command made it")
    parser.add_verbosity()
    for subparser in (importing, auditing, synth):
        subparser.add_verbosity(again=True)
    return parser


def _import(options: argparse.Namespace) -> int:
    from fer_train.importing.importer import import_dataset

    with progress_bar("importing") as on_progress:
        report = import_dataset(
            options.source,
            options.to,
            clean=options.clean,
            votes=options.votes,
            vote_pixels=options.vote_pixels,
            numbering=options.numbering,
            max_bytes=options.max_size,
            force=options.force,
            on_progress=on_progress,
        )
    write = sys.stdout.write
    what = f"{counted(report.n_images, 'image')} in {report.destination}"
    write(f"{'already imported' if report.already_there else 'imported'}: {what}\n")
    for split, classes in report.counts.items():
        write(f"  {split:10} {sum(classes.values()):6}  {', '.join(f'{k} {v}' for k, v in classes.items())}\n")
    if report.cleaned:
        write(f"cleaned: {report.cleaned}\n")
    if report.votes is not None:
        write(f"crowd votes for {counted(report.votes, 'image')}\n")
    _say_what_is_missing(report)
    return 0


def _say_what_is_missing(report: ImportReport) -> None:
    """Notices of an import: how the source was read, and what of it was not taken."""
    for line in report.notes:
        LOG.info(f"note: {line}")
    for name, count in report.dropped.items():
        LOG.info(f"dropped {counted(count, 'image')} of class {name}, which is not one of the seven")
    if report.skipped:
        names: dict[str, list[str]] = {}
        for name, reason in report.skipped:
            names.setdefault(reason, []).append(name)
        shown = [f"{_listed(those)}: {reason}" for reason, those in list(names.items())[:_SHOWN]]
        noun = "row" if all(_ROW.fullmatch(name) for name, _ in report.skipped) else "file"
        more = f"; and {len(names) - _SHOWN} other reasons" if len(names) > _SHOWN else ""
        LOG.warning(
            f"skipped {counted(len(report.skipped), noun)} without a readable image: {'; '.join(shown)}{more} "
            f"(all are listed in {Path(report.destination) / 'manifest.json'})"
        )


def _listed(names: list[str]) -> str:
    """The names, or the first of many and their number: a reason that holds for thousands is worth one line."""
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED:,} more"


def _audit(options: argparse.Namespace) -> int:
    from fer_edge.html import require_jinja
    from fer_train.audit.checks import audit
    from fer_train.audit.html_report import write_report
    from fer_train.audit.terminal_report import print_summary
    from fer_train.data.dataset import load_dataset

    for path in filter(None, (options.json, options.html)):
        if Path(path).is_dir():
            raise UsageError(f"{path} is a folder; expected the name of a file to write")
    if options.html:
        require_jinja()
    with progress_bar("reading") as on_progress:
        dataset = load_dataset(options.data, cache_dir=options.cache_dir, on_progress=on_progress)
    with progress_bar("auditing") as on_progress:
        result = audit(dataset, votes=options.votes, label_errors=options.label_errors, on_progress=on_progress)
    for line in dataset.notes:
        LOG.info(f"note: {line}")
    print_summary(result, sys.stdout)
    if options.json:
        write_text(options.json, json.dumps(result.as_dict(), indent=1) + "\n")
        LOG.info(f"wrote {options.json}")
    if options.html:
        write_report(options.html, result)
        LOG.info(f"wrote {options.html}")
    serious = [
        finding.title
        for finding in result.findings
        if finding.key.startswith(("leak_", "conflicting_")) and finding.groups
    ]
    if options.strict and serious:
        raise CheckFailedError(f"the audit found: {'; '.join(serious)}")
    return 0


def _synth(options: argparse.Namespace) -> int:
    from fer_train.synthetic.folder import write_synthetic

    counts = {"train": options.train, "validation": options.validation, "test": options.test}
    with progress_bar("drawing") as on_progress:
        total = write_synthetic(
            options.to, counts, size=options.size, seed=options.seed, force=options.force, on_progress=on_progress
        )
    LOG.info(f"drew {counted(total, 'synthetic face')} of {options.size}x{options.size} pixels in {options.to}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
