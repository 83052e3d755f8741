"""How often somebody may try a wrong token."""

from __future__ import annotations

import hashlib
import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

WRONG_TOKENS: Final[int] = 10
"""Wrong tokens that may be tried at once."""
SECONDS_EACH: Final[float] = 5.0
"""Seconds until one more may be tried after that."""
MAX_ADDRESSES: Final[int] = 1024


@dataclass
class _Visitor:
    left: float
    at: float
    last: bytes = b""


class GuessLimit:
    """Counts wrong tokens by address; IPv6 by its first 64 bits, which one household has to itself.

    The same wrong token again is not another guess: a browser or a Prometheus with last week's token locks nobody out.
    May be asked from several threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._visitors: OrderedDict[str, _Visitor] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, address: str) -> int:
        """Whole seconds until this address may try again; 0 when it may now."""
        with self._lock:
            visitor = self._visitors.get(_network(address))
            if visitor is None or self._refill(visitor) >= 1.0:
                return 0
            return math.ceil((1.0 - visitor.left) * SECONDS_EACH)

    def wrong(self, address: str, token: str) -> None:
        """A wrong token came from there."""
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        network = _network(address)
        with self._lock:
            visitor = self._visitors.pop(network, None) or _Visitor(float(WRONG_TOKENS), self._clock())
            self._visitors[network] = visitor  # the most recent stands last
            if len(self._visitors) > MAX_ADDRESSES:
                self._visitors.popitem(last=False)
            self._refill(visitor)
            if digest != visitor.last:
                visitor.left -= 1.0
                visitor.last = digest

    def _refill(self, visitor: _Visitor) -> float:
        now = self._clock()
        visitor.left = min(float(WRONG_TOKENS), visitor.left + (now - visitor.at) / SECONDS_EACH)
        visitor.at = now
        return visitor.left


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
