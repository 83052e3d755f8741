"""``HOST:PORT`` of an output that listens."""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket

from fer_edge.errors import UsageError


def parse_address(text: str, option: str) -> tuple[str, int]:
    """``127.0.0.1:8080``, ``[::1]:8080``, ``:8080`` or ``8080`` (both on 127.0.0.1).

    Args:
        text: such an address, also as it is copied from a browser: ``http://127.0.0.1:8080/``.
        option: names it in messages.

    Raises:
        UsageError: for anything else.
    """
    text = _without_scheme(text, option)
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    # Only an IPv6 address has colons, and needs brackets, or nobody knows where the port begins (RFC 3986, 3.2.2).
    is_host = _is_address(host, 6) if bracketed else _may_be_host(host)
    if not (port.isascii() and port.isdigit() and int(port) <= 65535 and is_host):
        raise UsageError(f"{option} {text}: expected HOST:PORT or PORT, for example 127.0.0.1:8080 or 8080")
    return host, int(port)


def _may_be_host(host: str) -> bool:
    """Whether this is an IPv4 address or may be a name, so that ``256.0.0.1:80`` is refused at once."""
    if re.fullmatch(r"[\d.]+", host):
        return _is_address(host, 4)
    return re.fullmatch(r"[\w-]+(\.[\w-]+)*\.?", host) is not None


def _is_address(host: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(host).version == version
    except ValueError:
        return False


def _without_scheme(text: str, option: str) -> str:
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        return text
    if scheme.lower() != "http":
        reason = (
            "plain HTTP is served, put a proxy for TLS before it" if scheme.lower() == "https" else "expected http://"
        )
        raise UsageError(f"{option} {text}: {reason}; give HOST:PORT or PORT")
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if rest[len(place) :] not in ("", "/"):
        raise UsageError(
            f"{option} {text}: it is served at /, not at {rest[len(place) :]} (a proxy may put it there); "
            f"give {place or 'HOST:PORT'}"
        )
    # Without a port a browser means 80.
    return place if re.search(r":\d+$", place) else f"{place}:80"


def reachable(host: str) -> list[str]:
    """What to open in a browser for a server on ``host``, as it stands in an address (IPv6 in brackets).

    For "all addresses" (``0.0.0.0``, ``::``), which is none to open, these are this machine's own name for itself and
    the address at which other machines find it, where it has a network.
    """
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return [host]
    if not parsed.is_unspecified:
        return [f"[{host}]" if parsed.version == 6 else host]
    if parsed.version == 6:
        return ["[::1]", *(f"[{address}]" for address in _outward(socket.AF_INET6, "2001:db8::1"))]
    return ["127.0.0.1", *_outward(socket.AF_INET, "192.0.2.1")]


def _outward(family: socket.AddressFamily, somewhere: str) -> list[str]:
    """Our address on the way to ``somewhere``, an address for documents (RFC 5737, 3849); nothing is sent there."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((somewhere, 9))
            address = str(probe.getsockname()[0])
    except OSError:
        return []
    return [] if is_loopback(address) else [address]


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
