"""What a reader of a data set yields: stored images with their class and split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2

from fer_edge.errors import InputError
from fer_edge.preprocess import GrayImage, crop_square
from fer_train.data.decoding import BrokenImageError
from fer_train.data.folder_layout import Entry

__all__ = ["ImageReader", "Record", "StoredFace", "StoredImage"]


class StoredImage(Protocol):
    """One image where it lies; reading is put off until it is asked for."""

    def encoded(self) -> bytes:
        """The content of an image file.

        Returns:
            Bytes of an image file.

        Raises:
            BrokenImageError: they cannot be read.
        """
        ...

    def decode(self) -> GrayImage:
        """The image.

        Returns:
            ``(H, W)`` uint8, grey.

        Raises:
            BrokenImageError: it cannot be decoded.
        """
        ...


@dataclass(frozen=True)
class StoredFace:
    """A face in a larger picture, cut out as the device cuts it out."""

    whole: StoredImage
    """The picture."""
    box: tuple[int, int, int, int]
    """``(x, y, w, h)`` in its pixels."""

    def encoded(self) -> bytes:
        """See :meth:`StoredImage.encoded`; a PNG file."""
        return cv2.imencode(".png", self.decode())[1].tobytes()

    def decode(self) -> GrayImage:
        """See :meth:`StoredImage.decode`; square."""
        image = self.whole.decode()
        try:
            return crop_square(image, self.box)
        except InputError as error:
            raise BrokenImageError(str(error)) from error


@dataclass(frozen=True)
class Record:
    """One labelled image."""

    entry: Entry
    """Its name, split and class."""
    image: StoredImage
    """Its pixels, not yet read."""
    position: int
    """How far reading has come, in the unit of the source's ``total``."""


class ImageReader(Protocol):
    """Something that :func:`fer_train.data.dataset.load_dataset` can read."""

    path: Path
    """The folder or file that is read."""

    @property
    def total(self) -> int:
        """Length of the whole, in images or in bytes: the denominator of progress."""
        ...

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """``(name, reason)`` of what is not an image; complete once the records were read to their end."""
        ...

    @property
    def dropped(self) -> dict[str, int]:
        """Images of unknown classes, by class; only import rules drop any."""
        ...

    @property
    def notes(self) -> list[str]:
        """How the layout was read, where that was a choice: one line each."""
        ...

    @property
    def numbering(self) -> str | None:
        """Whose numbers numbered class folders were taken for; only import rules take any."""
        ...

    def key(self) -> str:
        """What changes when the content changes; cheap to compute.

        Returns:
            Text for the name of a cache entry.
        """
        ...

    def records(self) -> Iterator[Record]:
        """All images in a fixed order; they can be decoded until :meth:`close`.

        Yields:
            One record per image.
        """
        ...

    def close(self) -> None:
        """Let go of open files."""
        ...
