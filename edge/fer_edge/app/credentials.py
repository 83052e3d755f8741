"""Passwords and tokens: from the environment or a file, because everybody on a machine may read command lines."""

from __future__ import annotations

import argparse
from urllib.parse import urlsplit

from fer_edge.errors import UsageError
from fer_edge.logs import LOG
from fer_edge.outputs.secret import MQTT_PASSWORD, WEB_TOKEN


def check_command_line(given: argparse.Namespace) -> None:
    """Look for secrets among the options given on the command line itself.

    Raises :class:`UsageError` for a password in ``--mqtt``; the others, which are easier to change, get a warning.
    """
    if given.mqtt and _password(given.mqtt):
        raise UsageError(
            "--mqtt: a password on the command line can be read by every user of this machine; put it into "
            f"{MQTT_PASSWORD}, --mqtt-password-file or a --config file"
        )
    if given.web_token == "":
        raise UsageError(f"--web-token is empty; set {WEB_TOKEN} or give --web-token-file")
    advice = "every user of this machine can read it there"
    if given.web_token:
        LOG.warning(f"--web-token is on the command line, {advice}; better: {WEB_TOKEN} or --web-token-file")
    if any(map(_password, (str(given.source), *given.inputs))):
        LOG.warning(f"the password of the source is on the command line, {advice}; better: source in a --config file")


def _password(address: str) -> str | None:
    try:
        return urlsplit(address).password
    except ValueError:
        return None
