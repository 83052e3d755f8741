"""``--save``: the annotated picture, as a video or an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fer_edge.outputs.output import OutputSpec, option

if TYPE_CHECKING:
    from fer_edge.outputs.base import Sink
    from fer_edge.outputs.output import Wanted


def open_save(wanted: Wanted) -> Sink:
    """A video, or of a single image an image."""
    from fer_edge.capture.files import ImageFiles
    from fer_edge.outputs.video import open_recorder

    arguments, source = wanted.arguments, wanted.source
    single = isinstance(source, ImageFiles) and len(source.paths) == 1
    return open_recorder(arguments.save, single_image=single, fps=source.fps, live=source.live, blur=arguments.blur)


OUTPUT = OutputSpec(
    name="save",
    options=(
        option("--save", metavar="FILE", help="annotated video (.mp4, .mkv, .avi, .webm); of an image: an image"),
    ),
    open=open_save,
    writes_file=True,
    rank=50,
)
