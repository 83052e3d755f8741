"""Several cameras: ``[[camera]]`` tables of a configuration file, or ``--source`` given several times."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fer_edge.errors import UsageError
from fer_edge.outputs.available import outputs
from fer_edge.outputs.camera_name import plain, source_name

__all__ = ["CameraSetup", "camera_options", "cameras_of_sources", "cameras_of_tables"]

_OF_A_CAMERA: Final = frozenset(
    {"name", "source", "size", "fps", "max-fps", "mjpg", "realtime", "loop", "rotate", "flip", "max-frames"}
    | {"search", "detect-every", "motion", "margin", "smoothing", "smoothing-s", "hysteresis", "min-confidence", "blur"}
)
"""What a camera may have of its own, besides its outputs."""


@dataclass(frozen=True)
class CameraSetup:
    """One of several cameras, and all that is asked of it."""

    name: str
    """Unlike that of any other, also as part of a topic or a file name."""
    arguments: argparse.Namespace
    """Its options: its own over those of all; ``source`` is its source."""


def camera_options(options: dict[str, argparse.Action]) -> dict[str, argparse.Action]:
    """Those options that a camera may have of its own.

    Args:
        options: all, by name.

    Returns:
        ``{name: action}``.
    """
    of_outputs = {
        option.flag.removeprefix("--") for spec in outputs().values() if spec.of_one_camera for option in spec.options
    }
    return {name: action for name, action in options.items() if name in _OF_A_CAMERA or name in of_outputs}


def cameras_of_tables(
    tables: Sequence[tuple[str, list[str]]], from_file: Sequence[str], typed: Sequence[str], sources: Sequence[str]
) -> list[CameraSetup]:
    """The cameras of a configuration file.

    Args:
        tables: ``(place, arguments)`` of each table.
        from_file: arguments for all, of the file.
        typed: arguments of the command line, which count more than all others.
        sources: sources that are given besides.

    Returns:
        At least one camera.

    Raises:
        UsageError: a table without a source, a bad value, or two cameras of one name.
    """
    from fer_edge.app.options import build_parser

    if sources:
        raise UsageError(f"a source, {sources[0]}, besides [[camera]] tables; give it a table of its own")
    parser = build_parser()
    for option in ("--name", "--max-frames"):
        if option == "--name" and any(word.partition("=")[0] == option for word in (*from_file, *typed)):
            raise UsageError("--name is of one camera; put name = ... into its [[camera]] table")
    setups = []
    for place, own in tables:
        try:
            arguments = parser.parse_args([*from_file, *own, *typed])
        except UsageError as error:
            raise UsageError(f"--config {place}: {error}") from error
        given = parser.parse_args(own)
        if not given.source or len(given.source) > 1:
            raise UsageError(f'--config {place}: expected one source, for example source = "rtsp://camera/live"')
        arguments.source = given.source[0]
        setups.append(arguments)
    return _named(setups)


def cameras_of_sources(sources: Sequence[str], arguments: argparse.Namespace) -> list[CameraSetup]:
    """The cameras of a command line with several ``--source``, all with the same options.

    Args:
        sources: at least two.
        arguments: the options.

    Returns:
        The cameras, named after their sources.

    Raises:
        UsageError: two of them are the same, or ``--name``, which is of one camera.
    """
    if arguments.name:
        raise UsageError(
            f"--name {arguments.name} with {len(sources)} sources; name them in [[camera]] tables (--config)"
        )
    setups = []
    for source in sources:
        own = copy.copy(arguments)
        own.source = source
        setups.append(own)
    return _named(setups)


def _named(setups: Sequence[argparse.Namespace]) -> list[CameraSetup]:
    short = [setup.name or source_name(setup.source) for setup in setups]
    names: dict[str, str] = {}
    cameras = []
    keys = [plain(name).lower() for name in short]
    for setup, first in zip(setups, short, strict=True):
        is_taken = not setup.name and keys.count(plain(first).lower()) > 1
        name = source_name(setup.source, is_unique=True) if is_taken else first
        key = plain(name).lower()
        if key in names:
            same = f"{names[key]} and {name}" if names[key] != name else name
            raise UsageError(f"two cameras of one name, {same}; give each a name of its own in its [[camera]] table")
        names[key] = name
        setup.name = name
        setup.inputs = [setup.source]
        cameras.append(CameraSetup(name, setup))
    return cameras
