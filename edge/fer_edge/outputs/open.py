"""Opens the outputs that the options ask for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge.errors import UsageError
from fer_edge.outputs.available import outputs
from fer_edge.outputs.base import Output, OutputRunner
from fer_edge.outputs.output import STDOUT, OutputRequest

if TYPE_CHECKING:
    from fer_edge.capture.inputs import Job

__all__ = ["check_targets", "open_outputs"]


def open_outputs(request: OutputRequest, *, of_each_source: bool) -> list[OutputRunner]:
    """The outputs that are asked for, each on its own thread; on an error none stays open.

    Args:
        request: the options, and what else an output may have to know.
        of_each_source: whether to open those that each source has of its own, or those that stay open.

    Returns:
        One runner per output.

    Raises:
        FerError: an output cannot be opened.
    """
    opened: list[Output] = []
    try:
        for spec in outputs().values():
            if spec.of_each_source == of_each_source and spec.wanted(request.arguments):
                output = spec.open(request)
                if output is not None:
                    opened.append(output)
    except Exception:
        for output in opened:
            output.close()
        raise
    return [OutputRunner(output, live=request.source.live) for output in opened]


def check_targets(arguments: argparse.Namespace, jobs: Sequence[Job]) -> None:
    """Refuse to write over what is read, two outputs into one file, or several sources into one.

    Args:
        arguments: the options.
        jobs: what is read.

    Raises:
        UsageError: in these cases.
    """
    sources = [path for job in jobs for path in job.files]
    seen: dict[str | Path, str] = {}
    for spec in outputs().values():
        destination = spec.file(arguments)
        if destination is None:
            continue
        flag, path = spec.options[0].flag, Path(destination)
        if destination != STDOUT and path.is_file():
            if any(path.samefile(source) for source in sources):
                raise UsageError(f"{flag} {destination} would write over the source; give it another name")
            if spec.refuses is not None and (reason := spec.refuses(path)) is not None:
                raise UsageError(f"{flag} {path} is there already and {reason}; give another name")
        if len(jobs) > 1 and spec.holds_one is not None and spec.holds_one(destination):
            raise UsageError(f"{flag} {destination}: one file for several videos; give a folder (a name ending in /)")
        place = STDOUT if destination == STDOUT else path.resolve()
        if place in seen:
            raise UsageError(f"{seen[place]} and {flag} both name {destination}; give them two names")
        seen[place] = flag
