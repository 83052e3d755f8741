"""Opens the outputs that the options ask for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fer_edge.errors import UsageError
from fer_edge.outputs.available import outputs
from fer_edge.outputs.base import Sink, SinkRunner
from fer_edge.outputs.output import STDOUT, OutputSpec, Wanted


def open_outputs(wanted: Wanted, specs: Sequence[OutputSpec] | None = None) -> list[SinkRunner]:
    """The outputs that are asked for, each on its own thread; on an error none stays open.

    Args:
        wanted: the options, and what else an output may have to know.
        specs: records of the outputs to look at, in the order of opening; None: all.

    Returns:
        One runner per output.

    Raises:
        FerError: an output cannot be opened.
    """
    sinks: list[Sink] = []
    try:
        for spec in outputs().values() if specs is None else specs:
            if spec.wanted(wanted.arguments):
                sinks.append(spec.open(wanted))
    except Exception:
        for sink in sinks:
            sink.close()
        raise
    return [SinkRunner(sink, live=wanted.source.live, on_notice=wanted.notice) for sink in sinks]


def check_targets(arguments: argparse.Namespace, source: Path) -> None:
    """Refuse to write over what is read, or two outputs into one file.

    Args:
        arguments: the options.
        source: what is read; it need not be a file.

    Raises:
        UsageError: in these cases.
    """
    seen: dict[str | Path, str] = {}
    for spec in outputs().values():
        target, flag = spec.file(arguments), spec.options[0].flag
        if target is None:
            continue
        path = Path(target)
        if target != STDOUT and source.is_file() and path.exists() and source.samefile(path):
            raise UsageError(f"{flag} {target} would write over the source; give it another name")
        place = STDOUT if target == STDOUT else path.resolve()
        if place in seen:
            raise UsageError(f"{seen[place]} and {flag} both name {target}; give them two names")
        seen[place] = flag
