"""Opens the outputs that the options ask for."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge.errors import UsageError
from fer_edge.outputs.available import outputs
from fer_edge.outputs.base import Output, OutputRunner
from fer_edge.outputs.output import STDOUT, OutputRequest, OutputSpec
from fer_edge.outputs.shared import SharedOutput

if TYPE_CHECKING:
    from fer_edge.capture.inputs import Job

__all__ = ["check_destination", "check_targets", "is_own", "open_camera_outputs", "open_outputs", "open_shared"]


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
    specs = [spec for spec in outputs().values() if spec.of_each_source == of_each_source]
    return [OutputRunner(output, live=request.source.live) for output in _opened(specs, request).values()]


def _opened(specs: Sequence[OutputSpec], request: OutputRequest) -> dict[str, Output]:
    """Those that are asked for, by the names of their specifications; on an error none stays open."""
    opened: dict[str, Output] = {}
    try:
        for spec in specs:
            if spec.wanted(request.arguments):
                output = spec.open(request)
                if output is not None:
                    opened[spec.name] = output
    except Exception:
        for output in opened.values():
            output.close()
        raise
    return opened


def is_own(spec: OutputSpec, shared: argparse.Namespace, own: argparse.Namespace) -> bool:
    """Whether one of several cameras has an output of its own.

    Args:
        spec: of the output.
        shared: the options for all.
        own: the options of the camera.

    Returns:
        False where it takes the results of all cameras.
    """
    if spec.of_each_source or spec.of_each_camera:
        return True
    return spec.of_one_camera and any(getattr(own, o.dest) != getattr(shared, o.dest) for o in spec.options[:1])


def open_shared(request: OutputRequest, names: Collection[str] | None = None) -> dict[str, SharedOutput]:
    """The outputs that take the results of all cameras.

    Args:
        request: the options for all.
        names: of the outputs to open; None: all.

    Returns:
        ``{name of the output's specification: output}``.

    Raises:
        FerError: an output cannot be opened.
    """
    specs = [
        spec
        for spec in outputs().values()
        if not (spec.of_each_source or spec.of_each_camera) and (names is None or spec.name in names)
    ]
    return {name: SharedOutput(output) for name, output in _opened(specs, request).items()}


def open_camera_outputs(
    request: OutputRequest, everybody: argparse.Namespace, shared: Mapping[str, SharedOutput]
) -> dict[str, OutputRunner]:
    """All outputs of one of several cameras: those of its own, and its share of the others.

    Args:
        request: the options of the camera, its source and how it fares.
        everybody: the options for all cameras.
        shared: the open outputs of all cameras.

    Returns:
        ``{name of the output's specification: runner}``.

    Raises:
        FerError: an output cannot be opened.
    """
    arguments = request.arguments
    own = [spec for spec in outputs().values() if is_own(spec, everybody, arguments)]
    opened = _opened(own, request)
    for name, output in shared.items():
        if all(spec.name != name for spec in own):
            opened[name] = output.of_camera(arguments.name, request.board, blur=arguments.blur)
    return {name: OutputRunner(output, live=request.source.live) for name, output in opened.items()}


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
        check_destination(spec, arguments, sources, seen, n_sources=len(jobs))


def check_destination(
    spec: OutputSpec,
    arguments: argparse.Namespace,
    sources: Sequence[Path],
    seen: dict[str | Path, str],
    *,
    n_sources: int,
) -> None:
    """The same for one output.

    Args:
        spec: of the output.
        arguments: the options.
        sources: files that are read.
        seen: places that others write to, with the options that say so; its own is added.
        n_sources: how many sources it takes the results of, one after the other.

    Raises:
        UsageError: in these cases.
    """
    destination = spec.file(arguments)
    if destination is None:
        return
    flag, path = spec.options[0].flag, Path(destination)
    if destination != STDOUT and path.is_file():
        if any(path.samefile(source) for source in sources):
            raise UsageError(f"{flag} {destination} would write over the source; give it another name")
        if spec.refuses is not None and (reason := spec.refuses(path)) is not None:
            raise UsageError(f"{flag} {path} is there already and {reason}; give another name")
    if n_sources > 1 and spec.holds_one is not None and spec.holds_one(destination):
        raise UsageError(f"{flag} {destination}: one file for several videos; give a folder (a name ending in /)")
    place = STDOUT if destination == STDOUT else path.resolve()
    if place in seen:
        raise UsageError(f"{seen[place]} and {flag} both name {destination}; give them two names")
    seen[place] = flag
