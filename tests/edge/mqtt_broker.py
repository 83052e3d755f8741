"""A mosquitto of a test, and what is published to it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fer_edge.capture.frames import Frame
from fer_edge.outputs.status import StatusBoard
from fer_edge.results import Face, PipelineStats, Result

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


def board() -> StatusBoard:
    pipeline: Any = SimpleNamespace(
        stats=PipelineStats(), source=SimpleNamespace(state="running", description="camera 0")
    )
    return StatusBoard(pipeline)


def result(emotion: str | None = "happy", n_faces: int = 1) -> Result:
    probabilities = np.full(7, 0.05, np.float32)
    probabilities[3] = 0.7
    sizes = [20 + 10 * number for number in range(n_faces)]
    faces = tuple(
        Face(number, (0, 0, size, size), 0.9, emotion if size == max(sizes) else "sad", probabilities, probabilities)
        for number, size in enumerate(sizes)
    )
    return Result(Frame(np.zeros((99, 99, 3), np.uint8), 0, 0.0, 0.0), faces, 0.0)


class Broker:
    """A mosquitto on loopback that can be stopped and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        (folder / "users").write_text("")
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        assert MOSQUITTO is not None
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._answers)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.2).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def wait_for(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    pytest.importorskip("paho.mqtt", reason="the extra mqtt is not installed")
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    made = Broker(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def heard(broker: Broker) -> Iterator[dict[str, list[bytes]]]:
    """What another client of the broker hears, by topic."""
    from paho.mqtt import client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    messages: dict[str, list[bytes]] = {}
    listener = mqtt.Client(CallbackAPIVersion.VERSION2)
    listener.on_connect = lambda client, *_: client.subscribe("#", qos=1)
    listener.on_message = lambda _c, _u, message: messages.setdefault(message.topic, []).append(bytes(message.payload))
    listener.reconnect_delay_set(1, 1)
    listener.connect("127.0.0.1", broker.port)
    listener.loop_start()
    yield messages
    listener.disconnect()
    listener.loop_stop()
