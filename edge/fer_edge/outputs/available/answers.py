"""The answers in words on standard output, where nothing else stands there."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fer_edge.outputs.output import STDOUT, OutputSpec

if TYPE_CHECKING:
    from fer_edge.outputs.base import Output
    from fer_edge.outputs.output import OutputRequest


def open_answers(request: OutputRequest) -> Output | None:
    """Words on standard output, unless they would disturb what stands there or nobody asked for them."""
    from fer_edge.outputs.answers import Answers

    arguments, source = request.arguments, request.source
    if source.live and _elsewhere(arguments):
        return None
    follow = source.live and not arguments.save
    return Answers(title=request.job.title, continuous=source.continuous, follow=follow)


def _elsewhere(arguments: argparse.Namespace) -> bool:
    return any((arguments.jsonl, arguments.csv, arguments.web, arguments.mqtt, arguments.metrics, arguments.clips))


def asked(arguments: argparse.Namespace) -> bool:
    """Always, but where standard output is another output's, and with ``--quiet`` where others get the answers."""
    if STDOUT in (arguments.jsonl, arguments.csv):
        return False
    return not (arguments.quiet and (_elsewhere(arguments) or arguments.save))


OUTPUT = OutputSpec(name="answers", options=(), asked=asked, open=open_answers, of_each_source=True, rank=60)
