"""Passwords and tokens: from the environment or a file, because everybody on a machine may read command lines."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from fer_edge.errors import UsageError

WEB_TOKEN: str = "FER_WEB_TOKEN"
MQTT_PASSWORD: str = "FER_MQTT_PASSWORD"
MAX_BYTES: int = 4096


def check_command_line(given: argparse.Namespace, notice: Callable[[str], None]) -> None:
    """Look for secrets among the options that stand on the command line itself.

    Raises :class:`UsageError` for a password in ``--mqtt``; the others, which are easier to change, get a notice.
    """
    if given.mqtt and _password(given.mqtt):
        raise UsageError(
            "--mqtt: a password on the command line can be read by everybody on this machine; put it into "
            f"{MQTT_PASSWORD}, --mqtt-password-file or a --config file"
        )
    advice = "everybody on this machine can read it there"
    if given.web_token:
        notice(f"--web-token stands on the command line, {advice}; better: {WEB_TOKEN} or --web-token-file")
    if _password(str(given.source)):
        notice(f"the password of --source stands on the command line, {advice}; better: source in a --config file")


def _password(address: str) -> str | None:
    try:
        return urlsplit(address).password
    except ValueError:
        return None


def secret(option: str, file: str | os.PathLike[str] | None, variable: str) -> str | None:
    """The first line of ``file`` (given with ``option``), else the environment's ``variable``, else None.

    Raises :class:`UsageError` for a file that cannot be read, or is empty or longer than a secret.
    """
    if file is None:
        return os.environ.get(variable) or None
    try:
        with Path(file).open("rb") as handle:
            content = handle.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{option} {file}: {error.strerror}") from error
    try:
        line = content.decode().split("\n", 1)[0].strip()
    except UnicodeDecodeError:
        line = ""
    if not line or len(content) > MAX_BYTES:
        raise UsageError(f"{option} {file}: expected a line of text, at most {MAX_BYTES} bytes")
    return line
