"""Opens the outputs that the options ask for: one function each, and the two lists that name them all."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fer_edge.errors import FerError, UsageError
from fer_edge.files import unused_path

if TYPE_CHECKING:
    from fer_edge.capture.frames import Source
    from fer_edge.capture.inputs import Job
    from fer_edge.outputs.base import Sink, SinkRunner
    from fer_edge.outputs.status import StatusBoard

STDOUT: Final[str] = "-"


@dataclass(frozen=True)
class Wanted:
    """What an output may have to know when it is opened."""

    arguments: argparse.Namespace
    source: Source
    job: Job
    board: StatusBoard
    notice: Callable[[str], None]


Opener = Callable[[Wanted], "Sink | None"]


def web_token(arguments: argparse.Namespace) -> str | None:
    """The token of the page and of the figures, from wherever it was given."""
    from fer_edge.app.credentials import WEB_TOKEN, secret

    return arguments.web_token or secret("--web-token-file", arguments.web_token_file, WEB_TOKEN)


def open_web(wanted: Wanted) -> Sink | None:
    """``--web``."""
    arguments = wanted.arguments
    if not arguments.web:
        return None
    from fer_edge.outputs.address import parse_address, reachable
    from fer_edge.outputs.web import WebOptions, WebPage

    host, port = parse_address(arguments.web, "--web")
    token = web_token(arguments)
    page = WebPage(WebOptions(host, port, token, arguments.video, arguments.blur), wanted.board)
    ending = "?token=..." if token else ""
    wanted.notice("watch at " + " or ".join(f"http://{name}:{page.port}/{ending}" for name in reachable(page.host)))
    return page


def open_metrics(wanted: Wanted) -> Sink | None:
    """``--metrics``."""
    arguments = wanted.arguments
    if not arguments.metrics:
        return None
    from fer_edge.outputs.address import parse_address, reachable
    from fer_edge.outputs.prometheus import MetricsServer

    server = MetricsServer(parse_address(arguments.metrics, "--metrics"), wanted.board, web_token(arguments))
    names = " or ".join(f"http://{name}:{server.port}/metrics" for name in reachable(server.host))
    wanted.notice(f"figures for Prometheus at {names}")
    return server


def open_mqtt(wanted: Wanted) -> Sink | None:
    """``--mqtt``."""
    arguments = wanted.arguments
    if not arguments.mqtt:
        return None
    from fer_edge.app.credentials import MQTT_PASSWORD, secret
    from fer_edge.outputs.mqtt import MqttPublisher, parse_broker

    password = secret("--mqtt-password-file", arguments.mqtt_password_file, MQTT_PASSWORD)
    broker = parse_broker(arguments.mqtt, password)
    return MqttPublisher(broker, wanted.board, wanted.notice, ca_file=arguments.mqtt_ca)


def open_jsonl(wanted: Wanted) -> Sink | None:
    """``--jsonl``; a live source's lines are added to those of its earlier runs."""
    arguments = wanted.arguments
    if not arguments.jsonl:
        return None
    from fer_edge.outputs.jsonl import JsonLines

    limit = None if arguments.jsonl_max_mb is None else int(arguments.jsonl_max_mb * 1e6)
    return JsonLines(arguments.jsonl, max_bytes=limit, keep=wanted.source.live)


def open_save(wanted: Wanted) -> Sink | None:
    """``--save``: a file, or into a folder under the source's name."""
    arguments, source = wanted.arguments, wanted.source
    if not arguments.save:
        return None
    from fer_edge.capture.files import ImageFiles
    from fer_edge.outputs.video import open_recorder

    target = Path(arguments.save)
    if is_folder(arguments.save):
        from fer_edge.outputs.image_folder import ImageFolder, make_image_folder

        if isinstance(source, ImageFiles):
            return ImageFolder(target, source.paths, blur=arguments.blur, on_notice=wanted.notice)
        target = make_image_folder(target, wanted.job.files) / wanted.job.save_as
    target = spared(target, live=source.live, notice=wanted.notice)
    single = isinstance(source, ImageFiles) and len(source.paths) == 1
    return open_recorder(target, single_image=single, fps=source.fps, live=source.live, blur=arguments.blur)


def open_answers(wanted: Wanted) -> Sink | None:
    """Words on standard output, unless they would disturb what stands there or nobody asked for them."""
    arguments, source = wanted.arguments, wanted.source
    elsewhere = any((arguments.jsonl, arguments.web, arguments.mqtt, arguments.metrics))
    if arguments.jsonl == STDOUT or (elsewhere and source.live):
        return None
    if arguments.quiet and (elsewhere or arguments.save):
        return None
    from fer_edge.outputs.answers import Answers

    follow = source.live and not arguments.save
    return Answers(title=wanted.job.title, continuous=source.continuous, follow=follow)


SHARED: Final[tuple[Opener, ...]] = (open_web, open_metrics, open_mqtt, open_jsonl)
"""Outputs that stay open from one source to the next; those that may lack a package or a port before any file."""
OF_EACH_SOURCE: Final[tuple[Opener, ...]] = (open_save, open_answers)


def open_outputs(openers: tuple[Opener, ...], wanted: Wanted) -> list[SinkRunner]:
    """All outputs of this kind that are asked for, each on its own thread; on an error none stays open."""
    from fer_edge.outputs.base import SinkRunner

    sinks: list[Sink] = []
    try:
        for opener in openers:
            sink = opener(wanted)
            if sink is not None:
                sinks.append(sink)
    except FerError:
        for sink in sinks:
            sink.close()
        raise
    return [SinkRunner(sink, live=wanted.source.live, on_notice=wanted.notice) for sink in sinks]


def is_folder(target: str) -> bool:
    """Whether ``--save`` names a folder: one that is there, or a name without a suffix or with a slash at its end."""
    return target.endswith(("/", os.sep)) or Path(target).is_dir() or not Path(target).suffix


def spared(target: Path, *, live: bool, notice: Callable[[str], None]) -> Path:
    """Where to write instead of over an older recording, which nobody could make again; a file's is replaced.

    Both are told.
    """
    if not target.is_file():
        return target
    if not live:
        notice(f"{target} is there already and is replaced")
        return target
    free = unused_path(target)
    notice(f"{target} is kept; this recording goes to {free}")
    return free


def check_targets(arguments: argparse.Namespace, jobs: Sequence[Job]) -> None:
    """Refuse to write over what is read, two outputs into one file, or several videos into one.

    Raises:
        UsageError: in these cases.
    """
    files = [path for job in jobs for path in job.files]
    for option, target in (("--save", arguments.save), ("--jsonl", arguments.jsonl)):
        if target and target != STDOUT and Path(target).is_file() and any(map(Path(target).samefile, files)):
            raise UsageError(f"{option} {target} would write over the source; give it another name")
    if arguments.save and arguments.jsonl and Path(arguments.save).resolve() == Path(arguments.jsonl).resolve():
        raise UsageError(f"--save and --jsonl both name {arguments.save}; give them two names")
    if arguments.save and len(jobs) > 1 and not is_folder(arguments.save):
        raise UsageError(f"--save {arguments.save}: one file for several videos; give a folder (a name ending in /)")
    path = Path(arguments.jsonl or STDOUT)
    if arguments.jsonl and arguments.jsonl != STDOUT and path.is_file() and not _holds_json_lines(path):
        raise UsageError(f"--jsonl {path} is there already and holds something else than JSON lines; give another name")


def _holds_json_lines(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(1) in (b"", b"{")
    except OSError:  # told when it is opened
        return True
