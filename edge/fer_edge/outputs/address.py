"""``HOST:PORT`` of an output that listens."""

from __future__ import annotations

import ipaddress
import secrets
import socket

from fer_edge.errors import UsageError


def parse_address(text: str, option: str) -> tuple[str, int]:
    """``127.0.0.1:8080``, ``[::1]:8080``, ``:8080`` or ``8080`` (both on 127.0.0.1); raises :class:`UsageError`."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isdigit() or int(port) > 65535:
        raise UsageError(f"{option} {text}: expected HOST:PORT, for example 127.0.0.1:8080")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine itself can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def same(given: str, expected: str) -> bool:
    """Whether a secret is the right one, in a time that does not tell how much of it is."""
    return secrets.compare_digest(given.encode(errors="replace"), expected.encode())


def listen(host: str, port: int, option: str) -> socket.socket:
    """A listening socket; raises :class:`UsageError` where there can be none (port taken, for example)."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=32)
    except OSError as error:
        raise UsageError(f"{option} {host}:{port}: cannot listen there: {error.strerror or error}") from error
