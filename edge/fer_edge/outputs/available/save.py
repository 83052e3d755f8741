"""``--save``: the annotated picture, as a video or an image, or a folder of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge.logs import LOG
from fer_edge.outputs.output import OutputSpec, option

if TYPE_CHECKING:
    from fer_edge.outputs.base import Output
    from fer_edge.outputs.output import OutputRequest


def open_save(request: OutputRequest) -> Output:
    """A file, or in a folder one under the source's name."""
    from fer_edge.capture.files import ImageFiles
    from fer_edge.outputs.video import open_recorder

    arguments, source = request.arguments, request.source
    destination = Path(arguments.save)
    if is_folder(arguments.save):
        from fer_edge.outputs.image_folder import ImageFolder, make_image_folder

        if isinstance(source, ImageFiles):
            return ImageFolder(destination, source.paths, blur=arguments.blur)
        destination = make_image_folder(destination, request.job.files) / request.job.save_as
    destination = spared(destination, live=source.live)
    single = isinstance(source, ImageFiles) and len(source.paths) == 1
    return open_recorder(destination, single_image=single, fps=source.fps, live=source.live, blur=arguments.blur)


def is_folder(destination: str) -> bool:
    """Whether ``--save`` names a folder: one that is there, or a name without a suffix or with a slash at its end."""
    return destination.endswith(("/", os.sep)) or Path(destination).is_dir() or not Path(destination).suffix


def spared(destination: Path, *, live: bool) -> Path:
    """Where to write instead of over an older recording, which nobody could make again; a file's is replaced.

    Both are logged.
    """
    from fer_edge.files import unused_path

    if not destination.is_file():
        return destination
    if not live:
        LOG.info(f"{destination} exists and is replaced")
        return destination
    free = unused_path(destination)
    LOG.info(f"{destination} is kept; this recording goes to {free}")
    return free


OUTPUT = OutputSpec(
    name="save",
    options=(
        option(
            "--save",
            metavar="FILE",
            help="annotated video (.mp4, .mkv, .avi, .webm); of an image an image; or a folder, for each source "
            "its own",
        ),
    ),
    open=open_save,
    writes_file=True,
    of_each_source=True,
    holds_one=lambda destination: not is_folder(destination),
    of_one_camera=True,
    rank=50,
)
