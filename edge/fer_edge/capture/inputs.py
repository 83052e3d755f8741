"""What a command line names as its source, as jobs that are done one after the other.

A camera, a stream, a file and a list of images are one job each. Of a folder, a pattern or several names the images are
one job and every video is one of its own; what is neither is reported, not skipped.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fer_edge.capture.files import ImageFiles
from fer_edge.capture.folders import MAX_SHOWN, matching, what_else
from fer_edge.capture.frames import CaptureOptions, Frame, Source
from fer_edge.capture.open import open_source
from fer_edge.capture.sniff import IMAGE_SUFFIXES, Kind, sniff_file
from fer_edge.capture.v4l2 import is_v4l2
from fer_edge.errors import SourceError, UsageError
from fer_edge.logs import LOG

__all__ = [
    "VIDEO_SUFFIXES",
    "Job",
    "NamedImage",
    "NamedVideo",
    "Notice",
    "is_camera",
    "is_image",
    "is_video",
    "plan",
    "unlike",
]

VIDEO_SUFFIXES: Final = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".ts", ".wmv"})
"""A file of such a name that is not a video is reported as broken, not as something else."""

Notice = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """One source, to be opened when its turn comes."""

    open: Callable[[], Source]
    """Raises :class:`FerError` where it cannot be opened."""
    files: tuple[Path, ...] = ()
    """What it reads, where these are local files."""
    title: str = ""
    """Names it among several; empty for the only one."""
    save_as: str = "fer-camera.mp4"
    """Name of an annotated video in the folder that ``--save`` names, unlike that of any other job."""


class NamedVideo:
    """A video among several: each frame says which file it is of.

    Args:
        source: the open video.
        path: its file.
    """

    continuous = True

    def __init__(self, source: Source, path: Path) -> None:
        self._source = source
        self._path = path
        self.description = source.description
        self.live = source.live
        self.fps = source.fps
        self.n_frames: int | None = getattr(source, "n_frames", None)

    @property
    def state(self) -> str:
        """See :attr:`Source.state`."""
        return self._source.state

    def frames(self) -> Iterator[Frame]:
        """See :meth:`Source.frames`."""
        for frame in self._source.frames():
            yield replace(frame, path=self._path)

    def stop(self) -> None:
        """See :meth:`Source.stop`."""
        self._source.stop()


class NamedImage(ImageFiles):
    """The only image among several sources: its frame says which file it is."""

    def frames(self) -> Iterator[Frame]:
        """See :meth:`Source.frames`."""
        for frame in super().frames():
            yield replace(frame, path=self.paths[0])


def plan(names: Sequence[str], options: CaptureOptions) -> list[Job]:
    """The jobs that ``names`` mean, at least one; nothing is opened yet.

    Args:
        names: what the user named: files, folders, patterns, or one camera or address.
        options: how each source is opened.

    Returns:
        At least one job, images (as one job) before videos.

    Raises:
        SourceError: nothing is found.
        UsageError: several names of which one is not a file, or ``options.loop`` with anything but one video.
    """
    if len(names) == 1 and not _is_list(names[0]):
        path = Path(names[0])
        files = (path,) if names[0] and path.is_file() else ()
        save_as = f"{path.stem}.mp4" if files else Job.save_as
        return [Job(lambda: open_source(names[0], options), files, save_as=save_as)]
    images, videos, others = _sort(names)
    if not images and not videos:
        advice = what_else(Path(names[0])) if Path(names[0]).is_dir() else "expected image or video files"
        raise SourceError(f"no images and no videos in {_together(names)}; {advice}")
    if others:
        shown = ", ".join(f"{path.name} ({what})" for path, what in list(others.items())[:MAX_SHOWN])
        more = f" and {len(others) - MAX_SHOWN} more" if len(others) > MAX_SHOWN else ""
        LOG.info(f"left out of {_together(names)}, neither image nor video: {shown}{more}")
    if options.loop and (images or len(videos) > 1):
        raise UsageError("--loop repeats one video; give one video as the source")
    several = len(images) + len(videos) > 1
    jobs = []
    if images:
        description = _together(names)
        kind = NamedImage if several and len(images) == 1 else ImageFiles
        jobs.append(Job(lambda: kind(images, description, options.orientation), tuple(images)))
    used: set[str] = set()
    for path in videos:
        save_as = unlike(f"{path.stem}.mp4", used)
        jobs.append(_video_job(path, options, several=several, save_as=save_as))
    return jobs


def unlike(name: str, used: set[str]) -> str:
    """``name``, or ``STEM-2.SUFFIX`` (3, ...) where it is among ``used``, to which the result is added.

    Args:
        name: the name wished for.
        used: names that are taken, in lower case; the result is added.

    Returns:
        The name, changed where it is taken.
    """
    free, number = name, 1
    while free.lower() in used:  # some file systems do not tell A from a
        number += 1
        free = f"{Path(name).stem}-{number}{Path(name).suffix}"
    used.add(free.lower())
    return free


def _video_job(path: Path, options: CaptureOptions, *, several: bool, save_as: str) -> Job:
    def open_video() -> Source:
        source = open_source(path, options)
        return NamedVideo(source, path) if several else source

    return Job(open_video, (path,), str(path) if several else "", save_as)


def _is_list(name: str) -> bool:
    return bool(name) and (
        Path(name).is_dir() or (glob.has_magic(name) and not Path(name).exists() and "://" not in name)
    )


def _together(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"the {len(names)} sources"


def _sort(names: Sequence[str]) -> tuple[list[Path], list[Path], dict[Path, str]]:
    """Images, videos, and what is neither with what it is; each file once, in the order in which they were named."""
    images: dict[Path, None] = {}
    videos: dict[Path, None] = {}
    others: dict[Path, str] = {}
    for name in names:
        if not _is_list(name):
            path = Path(name)
            if not (name and path.is_file()):
                raise UsageError(
                    f"{name or 'an empty name'} is not a file; of several sources each must be a file or a folder"
                )
            # Named by hand: what is neither is tried, and told what it is.
            (images if is_image(path) or sniff_file(path).kind is Kind.OTHER else videos)[path] = None
            continue
        for path in sorted(Path(name).iterdir()) if Path(name).is_dir() else _matches(name):
            if path.name.startswith("."):  # .DS_Store and the like
                continue
            if path.is_dir():
                others[path] = "a folder"
            elif not path.is_file():  # a pipe would be waited for
                others[path] = "no plain file"
            elif is_image(path):
                images[path] = None
            elif is_video(path):
                videos[path] = None
            else:
                others[path] = sniff_file(path).format
    return list(images), list(videos), others


def _matches(pattern: str) -> list[Path]:
    paths = matching(pattern)
    if not paths:
        raise SourceError(f"no images match {pattern}")
    return paths


def is_camera(name: str) -> bool:
    """Whether a source is a camera of this machine.

    Args:
        name: a source as the user names it.

    Returns:
        True for a number, ``/dev/videoN``, other names of it, ``picamera`` and ``picamera:N``.
    """
    return is_v4l2(name) or name.partition(":")[0] == "picamera"


def is_video(path: Path) -> bool:
    """Whether a file is a video: by its first bytes, else by its name, so that a broken one is reported, not left out.

    Args:
        path: the file.

    Returns:
        True for a video, and for a file of unknown content with a video's suffix.
    """
    kind = sniff_file(path).kind
    return kind is Kind.VIDEO or (kind is Kind.UNKNOWN and path.suffix.lower() in VIDEO_SUFFIXES)


def is_image(path: Path) -> bool:
    """Whether a file is an image: by its first bytes, else by its name.

    Args:
        path: the file.

    Returns:
        True for an image.
    """
    kind = sniff_file(path).kind
    return kind is Kind.PICTURE or (kind is Kind.UNKNOWN and path.suffix.lower() in IMAGE_SUFFIXES)
