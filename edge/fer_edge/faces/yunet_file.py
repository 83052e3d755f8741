"""The file of the YuNet face detector: fetched once over https, checked, and kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fer_edge.errors import MissingDependencyError
from fer_edge.files import sha256_of, write_bytes
from fer_edge.system import cache_folder, places_to_look

__all__ = ["STALL_S", "TOTAL_S", "YUNET", "PinnedFile", "cached_yunet_file", "download", "yunet_file"]


@dataclass(frozen=True)
class PinnedFile:
    """A file on the net of which content and length are known beforehand."""

    url: str
    """Address to fetch it from."""
    sha256: str
    """64 hexadecimal digits."""
    size: int
    """In bytes."""

    @property
    def name(self) -> str:
        """The bare file name."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def origin(self) -> str:
        """Name and host, for messages: the whole address would fill a line."""
        return f"{self.name} from {self.url.split('/')[2]}"


YUNET: Final = PinnedFile(
    # MIT licence. Runs on OpenCV 4.8 to 5.0; the same boxes on both.
    "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/face_detection_yunet_2023mar.onnx",
    "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    232_589,
)
STALL_S: Final[float] = 5.0
"""Longest wait for the connection and between two pieces of the answer."""
TOTAL_S: Final[float] = 30.0
"""Longest wait for the whole file."""
_PIECE = 1 << 16


def yunet_file(pinned: PinnedFile = YUNET) -> Path:
    """Path of YuNet's file in the cache folder; fetched if it is not there, or is there but damaged.

    Args:
        pinned: address, size and checksum of the file.

    Returns:
        Path of a file with this checksum.

    Raises:
        MissingDependencyError: it cannot be fetched, or not be kept; the message says why.
    """
    kept = cached_yunet_file(pinned)
    if kept is not None:
        return kept
    content = download(pinned)
    path = cache_folder() / pinned.name
    try:
        write_bytes(path, content)
    except OSError as error:
        raise MissingDependencyError(
            f"YuNet was fetched but cannot be kept in {path.parent}: {error.strerror}; "
            "set XDG_CACHE_HOME to a folder that can be written, or give --detector-model FILE"
        ) from error
    return path


def cached_yunet_file(pinned: PinnedFile = YUNET) -> Path | None:
    """Path of YuNet's file in the cache folder, None where it is not there whole. Fetches nothing.

    Args:
        pinned: address, size and checksum of the file.

    Returns:
        Path of a file with this checksum, or None.
    """
    for path in places_to_look(pinned.name):
        try:
            if path.stat().st_size == pinned.size and sha256_of(path) == pinned.sha256:
                return path
        except OSError:
            continue  # not there, or not readable: both are cured by fetching, or explained by its error
    return None


def download(pinned: PinnedFile, *, stall_s: float = STALL_S, total_s: float = TOTAL_S) -> bytes:
    """Fetch a pinned file into memory: at most ``pinned.size`` bytes, at most ``total_s`` seconds.

    Args:
        pinned: address, size and checksum of the file.
        stall_s: longest wait for the connection and between two pieces of the answer, in seconds.
        total_s: longest wait for all of it, in seconds.

    Returns:
        The file's content.

    Raises:
        MissingDependencyError: no network, a time-out, another length or another checksum.
    """
    import http.client  # late: with ssl these cost more than a tenth of a second
    import urllib.error
    import urllib.request

    advice = "; get it on another machine and give it with --detector-model"
    failed = f"cannot fetch {pinned.origin}"
    began = time.monotonic()
    content = b""
    try:
        with urllib.request.urlopen(pinned.url, timeout=stall_s) as answer:
            # One byte more than expected tells a longer file from the right one.
            while len(content) <= pinned.size and (piece := answer.read1(_PIECE)):
                content += piece
                if time.monotonic() - began > total_s:
                    raise TimeoutError
    except TimeoutError as error:
        waited = time.monotonic() - began
        raise MissingDependencyError(f"{failed}: no complete answer in {waited:.0f} s{advice}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        cause = getattr(error, "reason", None) or error  # URLError wraps what the system said
        reason = getattr(cause, "strerror", None) or cause
        raise MissingDependencyError(f"{failed}: {reason}{advice}") from error
    if len(content) != pinned.size:
        came = "more" if len(content) > pinned.size else str(len(content))
        raise MissingDependencyError(f"{failed}: expected {pinned.size} bytes, got {came}{advice}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != pinned.sha256:
        raise MissingDependencyError(
            f"{failed}: expected sha256 {pinned.sha256[:12]}..., got {digest[:12]}..., so it is not used{advice}"
        )
    return content
