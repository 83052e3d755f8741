"""Options that say nothing, or nothing that counts: reported before anything is opened."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fer_edge.errors import UsageError
from fer_edge.logs import LOG

_OUTPUTS: Final = ("jsonl", "csv", "save", "web", "mqtt", "metrics", "history", "clips")
_TEXTS: Final = (*_OUTPUTS, "model", "web_token_file", "mqtt_password_file", "mqtt_ca")
_BELONG: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("jsonl_max_mb", ("jsonl",)),
    ("web_token", ("web", "metrics")),
    ("web_token_file", ("web", "metrics")),
    ("web_host", ("web",)),
    ("mqtt_password_file", ("mqtt",)),
    ("mqtt_ca", ("mqtt",)),
    ("name", ("mqtt", "clips")),
    ("clip_emotion", ("clips",)),
)
"""What counts only with one of the others."""
_OF_CAMERAS: Final = ("size", "fps", "mjpg")
_OF_VIDEOS: Final = ("realtime", "loop")


def check_texts(arguments: argparse.Namespace) -> None:
    """Refuse an empty text: ``--jsonl "$FILE"`` without ``FILE`` would record nothing, without a word.

    Raises:
        UsageError: for the first one.
    """
    for name in _TEXTS:
        if getattr(arguments, name) == "":
            raise UsageError(f"{_option(name)} is empty; give it a value or leave it out")


def check_given_once(given: Sequence[str]) -> None:
    """Refuse ``--jsonl a --jsonl b``: argparse takes the later one, and the first file would never be written.

    Args:
        given: the command line alone, which may well repeat what a configuration file says.

    Raises:
        UsageError: for the first output that is given twice.
    """
    words = [word.partition("=")[0] for word in (given[: given.index("--")] if "--" in given else given)]
    for name in _OUTPUTS:
        if words.count(_option(name)) > 1:
            raise UsageError(f"{_option(name)} is given twice; it takes one value")


def pointless(arguments: argparse.Namespace, *, camera: bool, video: bool, polled: bool = False) -> list[str]:
    """A line for each kind of option that has no effect here.

    Args:
        arguments: the options.
        camera: the source is a camera, which can be asked for sizes and rates.
        video: there is a video file (or an address that may be one) among the sources.
        polled: the source is an address that may be one of a picture, which is asked ``fps`` times per second.

    Returns:
        Lines for notices.
    """
    lines = [
        f"{_option(name)} has no effect without {' or '.join(map(_option, needed))}"
        for name, needed in _BELONG
        if getattr(arguments, name) is not None and not any(getattr(arguments, other) for other in needed)
    ]
    for names, fits, kind in ((_OF_CAMERAS, camera, "a camera"), (_OF_VIDEOS, video, "a video file")):
        given = [_option(name) for name in names if getattr(arguments, name) and not (polled and name == "fps")]
        if given and not fits:
            lines.append(f"{', '.join(given)}: no effect, as the source is not {kind}")
    return lines


def tell_pointless(arguments: argparse.Namespace, names: Sequence[str]) -> None:
    """Notice what :func:`pointless` finds for the sources ``names``."""
    from fer_edge.capture.inputs import is_camera, is_image

    camera = any(map(is_camera, names))
    video = any(not is_camera(name) and not is_image(Path(name)) for name in names)
    polled = any(name.lower().startswith(("http://", "https://")) for name in names)
    for line in pointless(arguments, camera=camera, video=video, polled=polled):
        LOG.info(line)


def pointless_lines(arguments: argparse.Namespace) -> list[str]:
    """What :func:`pointless` finds for several cameras, each line once.

    Args:
        arguments: the options for all, with ``cameras``.

    Returns:
        Lines for notices.
    """
    from fer_edge.cameras.group import is_endless
    from fer_edge.capture.inputs import is_camera

    lines: dict[str, None] = {}
    for setup in arguments.cameras:
        own = argparse.Namespace(**vars(setup.arguments))
        own.name = None  # each of several cameras has one
        source = own.source
        is_file = not is_endless(source)
        polled = source.lower().startswith(("http://", "https://"))
        for line in pointless(own, camera=is_camera(source), video=is_file or polled, polled=polled):
            lines[line.replace("the source is", f"camera {setup.name} is")] = None
    return list(lines)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
