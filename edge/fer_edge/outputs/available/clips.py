"""``--clips``: a short video of each event, with what came before it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fer_edge.labels import EMOTIONS
from fer_edge.option_types import number
from fer_edge.outputs.output import OutputSpec, option

if TYPE_CHECKING:
    from fer_edge.outputs.base import Output
    from fer_edge.outputs.output import OutputRequest


def emotion(text: str) -> str:
    """A type for argparse: one of the seven emotions."""
    if text not in EMOTIONS:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(EMOTIONS)}, got {text!r}")
    return text


def open_clips(request: OutputRequest) -> Output | None:
    """A folder of clips; None where the source is not a video."""
    from fer_edge.outputs.camera_name import source_name
    from fer_edge.outputs.clips import CLIP_EMOTIONS, ClipOptions, ClipRecorder

    arguments = request.arguments
    if not request.source.continuous:
        return None
    options = ClipOptions(
        emotions=arguments.clip_emotion or CLIP_EMOTIONS,
        hold_s=arguments.clip_hold_s,
        before_s=arguments.clip_before_s,
        after_s=arguments.clip_after_s,
        blur=arguments.blur,
        keep_days=arguments.clip_days,
    )
    return ClipRecorder(arguments.clips, arguments.name or source_name(arguments.source), options)


OUTPUT = OutputSpec(
    name="clips",
    options=(
        option(
            "--clips",
            metavar="FOLDER",
            help="a short annotated video each time a face has shown an emotion for some seconds, from some seconds "
            "before it until some seconds after it",
        ),
        option(
            "--clip-emotion",
            type=emotion,
            action="append",
            metavar="NAME",
            help="an emotion that counts for --clips; may be repeated (default: all but neutral)",
        ),
        option(
            "--clip-hold-s",
            type=number(0, 600),
            default=2.0,
            metavar="S",
            help="seconds for which it must be shown (default: 2)",
        ),
        option(
            "--clip-before-s",
            type=number(0, 60),
            default=5.0,
            metavar="S",
            help="seconds of a clip before the emotion began (default: 5)",
        ),
        option(
            "--clip-after-s",
            type=number(0, 60),
            default=5.0,
            metavar="S",
            help="seconds of a clip after it ended (default: 5)",
        ),
        option(
            "--clip-days",
            type=number(0.01, 3650),
            metavar="DAYS",
            help="delete clips of this camera after DAYS days (default: they are kept)",
        ),
    ),
    open=open_clips,
    of_each_source=True,
    of_one_camera=True,
    rank=55,
)
