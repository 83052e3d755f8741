"""Word to systemd: ready, alive, what the camera is doing (``sd_notify``; the protocol is one datagram of text)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

from fer_edge.outputs.status import Status

MIN_PERIOD_S: Final[float] = 0.5


def notify(message: str) -> bool:
    """Send ``KEY=value`` lines to the service manager; False where there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    import socket  # late: it is slow to load, and most runs are no service

    if not hasattr(socket, "AF_UNIX"):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # the abstract namespace
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(message.encode(), address)
    except OSError:
        return False
    return True


def watchdog_period_s() -> float | None:
    """How often to give a sign of life: half of what the unit's ``WatchdogSec`` allows; None without a watchdog."""
    allowed = os.environ.get("WATCHDOG_USEC", "")
    meant_for = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not allowed.isdigit() or not int(allowed) or meant_for != str(os.getpid()):
        return None
    return max(MIN_PERIOD_S, int(allowed) / 1e6 / 2.0)


class ServiceReporter:
    """Tells systemd how it goes, from a thread of its own; does nothing outside of a service.

    A sign of life is given while results come, and also while a lost camera is waited for: then there is nothing to
    restart. It stops when a source that says it runs gives nothing, or when ``alive`` says that a stage is dead.
    """

    def __init__(self, status: Callable[[], Status], alive: Callable[[], bool]) -> None:
        self._status = status
        self._alive = alive
        self._stop = threading.Event()
        self._period_s = watchdog_period_s()
        self._thread: threading.Thread | None = None
        if notify("READY=1\nSTATUS=starting"):
            self._thread = threading.Thread(target=self._run, name="fer-service", daemon=True)
            self._thread.start()

    def report(self) -> str:
        """The message for the present state."""
        status = self._status()
        line = (
            f"STATUS={status.state}, {status.fps:.1f} frames per second, {status.frames} frames, {status.faces} faces"
        )
        waiting = status.state not in ("running", "ended")
        return f"{line}\nWATCHDOG=1" if self._alive() and (status.healthy or waiting) else line

    def _run(self) -> None:
        while not self._stop.wait(self._period_s or 5.0):
            notify(self.report())

    def close(self) -> None:
        """Tell that we are ending."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            notify("STOPPING=1")
