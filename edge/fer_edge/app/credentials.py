"""Passwords and tokens: from the environment or a file, because everybody on a machine may read command lines."""

from __future__ import annotations

import argparse

from fer_edge.errors import UsageError
from fer_edge.logs import LOG
from fer_edge.outputs.secret import MQTT_PASSWORD, WEB_TOKEN
from fer_edge.redact import HIDDEN, keep_secret, keep_secrets_of, redact_address, split_userinfo


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
    if any(redact_address(address) != address for address in (*(given.source or ()), *given.inputs)):
        LOG.warning(f"the password of the source is on the command line, {advice}; better: source in a --config file")


def _password(address: str) -> str | None:
    return split_userinfo(address)[2] if redact_address(address) != address else None


def keep_secrets(arguments: argparse.Namespace) -> None:
    """Register the passwords among the options, so that no message holds them, not even one of a library.

    Raises:
        UsageError: for an address as it was shown, with the password left out.
    """
    for address in (*arguments.inputs, arguments.mqtt or ""):
        if f":{HIDDEN}@" in address or f"={HIDDEN}" in address:
            raise UsageError(f"{address}: the password was left out when this was shown; put it in for {HIDDEN}")
        keep_secrets_of(address)
    if arguments.web_token == HIDDEN:
        raise UsageError(f"--web-token {HIDDEN}: the token was left out when this was shown; put it in for {HIDDEN}")
    keep_secret(arguments.web_token)
