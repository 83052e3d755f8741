"""A real browser for the tests of the page."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Browser:
    """Headless Chromium over its debugging pipe (Chrome DevTools Protocol), with the standard library alone."""

    def __init__(self, folder: Path) -> None:
        from_us, to_browser = os.pipe()
        from_browser, to_us = os.pipe()
        assert CHROMIUM is not None

        # Through a shell, because the browser wants its pipe at descriptors 3 and 4.
        command = (
            f"exec {CHROMIUM} --headless --no-sandbox --disable-gpu --remote-debugging-pipe --window-size=900,900 "
            f"--user-data-dir={folder} about:blank 3<&{from_us} 4>&{to_us}"
        )
        self._process = subprocess.Popen(
            ["bash", "-c", command],
            pass_fds=(from_us, to_us),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(from_us)
        os.close(to_us)
        self._out = os.fdopen(to_browser, "wb", buffering=0)
        self._in = os.fdopen(from_browser, "rb")
        self._number = 0
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._read())
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _read(self) -> bytes:
        content = bytearray()
        while (byte := self._in.read(1)) != b"\0":
            assert byte, "the browser has gone"
            content += byte
        return bytes(content)

    def value(self, expression: str) -> Any:
        """What JavaScript gives; None also while the page goes elsewhere."""
        try:
            answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        except AssertionError as error:
            if "navigated" in str(error):
                return None
            raise
        return answer["result"].get("value")

    def close(self) -> None:
        self._out.close()
        self._in.close()
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
