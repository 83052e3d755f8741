"""``--save``: the annotated picture, as a video or an image, or a folder of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fer_edge.logs import LOG
from fer_edge.outputs.output import OutputSpec, option

if TYPE_CHECKING:
    from fer_edge.outputs.base import Output
    from fer_edge.outputs.output import Wanted


def open_save(wanted: Wanted) -> Output:
    """A file, or in a folder one under the source's name."""
    from fer_edge.capture.files import ImageFiles
    from fer_edge.outputs.video import open_recorder

    arguments, source = wanted.arguments, wanted.source
    target = Path(arguments.save)
    if is_folder(arguments.save):
        from fer_edge.outputs.image_folder import ImageFolder, make_image_folder

        if isinstance(source, ImageFiles):
            return ImageFolder(target, source.paths, blur=arguments.blur)
        target = make_image_folder(target, wanted.job.files) / wanted.job.save_as
    target = spared(target, live=source.live)
    single = isinstance(source, ImageFiles) and len(source.paths) == 1
    return open_recorder(target, single_image=single, fps=source.fps, live=source.live, blur=arguments.blur)


def is_folder(target: str) -> bool:
    """Whether ``--save`` names a folder: one that is there, or a name without a suffix or with a slash at its end."""
    return target.endswith(("/", os.sep)) or Path(target).is_dir() or not Path(target).suffix


def spared(target: Path, *, live: bool) -> Path:
    """Where to write instead of over an older recording, which nobody could make again; a file's is replaced.

    Both are logged.
    """
    from fer_edge.files import unused_path

    if not target.is_file():
        return target
    if not live:
        LOG.info(f"{target} exists and is replaced")
        return target
    free = unused_path(target)
    LOG.info(f"{target} is kept; this recording goes to {free}")
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
    holds_one=lambda target: not is_folder(target),
    rank=50,
)
