"""Passwords and tokens from the environment or a file."""

from __future__ import annotations

import os
from pathlib import Path

from fer_edge.errors import UsageError
from fer_edge.files import text_encoding
from fer_edge.redact import keep_secret

__all__ = ["MAX_BYTES", "MQTT_PASSWORD", "WEB_TOKEN", "secret"]

WEB_TOKEN: str = "FER_WEB_TOKEN"
MQTT_PASSWORD: str = "FER_MQTT_PASSWORD"
MAX_BYTES: int = 4096


def secret(option: str, file: str | os.PathLike[str] | None, variable: str) -> str | None:
    """The first line of ``file`` (given with ``option``), else the environment's ``variable``, else None.

    Args:
        option: the option that names the file, for messages.
        file: the file, None where the option is not given.
        variable: name of the environment variable.

    Returns:
        The secret, None where there is none.

    Raises:
        UsageError: the file cannot be read, is empty, or is longer than a secret.
    """
    if file is None:
        value = os.environ.get(variable) or None
        keep_secret(value)
        return value
    try:
        with Path(file).open("rb") as handle:
            content = handle.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{option} {file}: {error.strerror}") from error
    try:
        line = content.decode(text_encoding(content)).split("\n", 1)[0].strip()
    except UnicodeDecodeError:
        line = ""
    if not line or len(content) > MAX_BYTES:
        raise UsageError(f"{option} {file}: expected a line of text, at most {MAX_BYTES} bytes")
    keep_secret(line)
    return line
