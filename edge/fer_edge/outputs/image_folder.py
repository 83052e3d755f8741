"""``--save FOLDER`` for images: each annotated image under its own name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fer_edge.capture.inputs import unlike
from fer_edge.command import counted
from fer_edge.errors import UsageError
from fer_edge.files import why_read_only
from fer_edge.logs import LOG
from fer_edge.outputs.video import ImageWriter
from fer_edge.outputs.written import Written
from fer_edge.results import Result

WRITTEN_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
"""Images of other kinds are written as ``.jpg``."""


class ImageFolder:
    """Writes every result as an image into a folder, whole or not at all.

    Two sources of one name (from two folders) get two names, and so do the pages of one file; what an earlier run wrote
    is replaced, and logged.

    Args:
        folder: made if it is not there.
        sources: the images to come, in their order; a result without a path is the first one's.
        blur: make faces unrecognisable.

    Raises:
        UsageError: for a folder that cannot be one, or that holds the sources themselves.
    """

    name = "images"
    lossless = True

    def __init__(
        self,
        folder: str | os.PathLike[str],
        sources: Sequence[Path],
        *,
        blur: bool = False,
    ) -> None:
        self.folder = make_image_folder(folder, sources)
        self._blur = blur
        self._used: set[str] = set()
        self._names = output_names(sources, self._used)
        self._written: set[str] = set()
        self._first = sources[0]
        self._replaced = 0

    def write(self, result: Result) -> None:
        """Write one picture; raises ``OSError`` when the disk is full."""
        name = self._names[result.frame.path or self._first]
        if name in self._written:  # a further page of the same file
            name = unlike(name, self._used)
        self._written.add(name)
        destination = self.folder / name
        self._replaced += destination.exists()
        ImageWriter(destination, blur=self._blur).write(result)

    def close(self) -> None:
        """Tell what was replaced."""
        if self._replaced:
            LOG.info(f"{counted(self._replaced, 'image')} of an earlier run replaced in {self.folder}")

    def written(self) -> Written:
        """The images."""
        return Written(len(self._written), "image", self.folder, is_folder=True)


def output_names(sources: Sequence[Path], used: set[str]) -> dict[Path, str]:
    """A name for each source, unlike those in ``used``, to which they are added."""
    return {
        source: unlike(f"{source.stem}{source.suffix if source.suffix.lower() in WRITTEN_SUFFIXES else '.jpg'}", used)
        for source in sources
    }


def make_image_folder(folder: str | os.PathLike[str], sources: Sequence[Path]) -> Path:
    """Make the folder for annotated files; see :class:`ImageFolder`."""
    made = Path(folder)
    try:
        made.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--save {folder}: no folder can be made there: {error.strerror}") from error
    if (reason := why_read_only(made)) is not None:
        raise UsageError(f"--save {folder} cannot be written: {reason}")
    if any(made.samefile(source.parent) for source in sources if source.exists()):
        raise UsageError(f"--save {folder} would write over the sources, which are there; give another folder")
    return made
