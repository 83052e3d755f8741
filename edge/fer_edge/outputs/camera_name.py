"""What tells one camera from the others on a broker: the same at every start, and without secrets in it."""

from __future__ import annotations

import argparse
import hashlib
import re
import socket
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from fer_edge.capture.inputs import is_camera
from fer_edge.redact import HIDDEN, redact_address, split_userinfo

__all__ = ["camera_name", "default_name", "plain", "source_name"]

_DIGITS: Final[int] = 6


def plain(name: str) -> str:
    """Only what topics, client ids and Home Assistant's ids take: letters, digits, ``_`` and ``-``.

    Args:
        name: any text.

    Returns:
        The name with ``_`` for everything else; ``camera`` where nothing is left.
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "camera"


def camera_name(text: str) -> str:
    """A type for argparse: the name of a camera.

    Args:
        text: as typed.

    Returns:
        The name, without spaces around it.

    Raises:
        argparse.ArgumentTypeError: it holds nothing that a topic could hold, or what topics must not.
    """
    if not re.search(r"[A-Za-z0-9]", text) or re.search(r"[+#/\x00-\x1f]", text) or len(text) > 64:
        raise argparse.ArgumentTypeError(
            f"expected a name such as front-door, at most 64 characters and none of + # /, got {text!r}"
        )
    return text.strip()


def default_name(source: str) -> str:
    """A name for a source: ``HOSTNAME-WHAT``, and a few digits of its identity where ``WHAT`` leaves something out.

    Args:
        source: as it was given: a camera number, an address, a file.

    Returns:
        A plain name, the same for the same source on the same machine.
    """
    return f"{plain(socket.gethostname())}-{source_name(source, is_unique=True)}"


def source_name(source: str, *, is_unique: bool = False) -> str:
    """A name for a source among others on this machine: ``camera0``, the host of an address, the name of a file.

    Args:
        source: as it was given.
        is_unique: add a few digits of its identity where the name leaves something out.

    Returns:
        A plain name, without secrets.
    """
    if is_camera(source):
        number = source.removeprefix("/dev/video")
        return plain(f"camera{number}" if number.isdigit() else source)
    if "://" in source:
        # Password and user may change; the camera stays the same. So do secrets in the query.
        scheme, _, _, rest = split_userinfo(source)
        parts = urlsplit(redact_address(scheme + rest))
        query = sorted((key, value) for key, value in parse_qsl(parts.query) if HIDDEN not in value)
        identity = f"{parts.scheme}://{parts.netloc}{parts.path}?{urlencode(query)}"
        what = parts.netloc
    else:
        identity = str(Path(source).absolute())
        what = Path(source).stem
    name = plain(what)[:24]
    if not is_unique:
        return name
    digest = hashlib.sha256(identity.lower().encode(errors="replace")).hexdigest()[:_DIGITS]
    return f"{name}-{digest}"
