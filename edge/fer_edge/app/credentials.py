"""Passwords and tokens: from the environment or a file, because everybody on a machine may read command lines."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from urllib.parse import urlsplit

from fer_edge.errors import UsageError
from fer_edge.outputs.secret import MQTT_PASSWORD, WEB_TOKEN


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
