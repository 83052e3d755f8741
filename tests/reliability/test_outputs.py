"""Outputs whose disk is full, whose broker goes away, whose visitors do not read."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.edge.mqtt_broker import Broker, broker, heard  # noqa: F401 - the fixtures
from tests.reliability.campaign import (
    Camera,
    Campaign,
    figures,
    playable_frames,
    rss_kib,
    wait_for,
    whole_lines,
)
from tests.reliability.conftest import FPS

PLAYED = ("--loop", "--realtime")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def scrape(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
            return text
    except OSError:
        return ""


def at_least(port: int, name: str, value: float) -> Callable[[], bool]:
    return lambda: metric(port, name) >= value


def metric(port: int, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", scrape(port), re.MULTILINE)
    return float(found[1]) if found else -1.0


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_disk_full(campaign: Campaign, clip: Path, tmp_path: Path, small_disk: Path, suffix: str) -> None:
    """Told once for each output; the rest goes on; whole lines and a video that plays stay behind."""
    times = campaign.count(1, 10)
    lines, played = [], []
    for _ in range(times):
        rows, video = small_disk / "t.jsonl", small_disk / f"v{suffix}"
        (small_disk / "ballast").write_bytes(bytes(700_000))
        port = free_port()
        with Camera(
            tmp_path, clip, *PLAYED, "--jsonl", rows, "--save", video, "--metrics", f"127.0.0.1:{port}"
        ) as camera:
            for name in ("JSON lines", "video"):
                gauge = f'fer_output_failed{{output="{name}"}}'
                wait_for(at_least(port, gauge, 1.0), f"the end of {name}", 120.0)
            frames = metric(port, "fer_frames_total")
            wait_for(at_least(port, "fer_frames_total", frames + 5), "the pipeline to go on")
            assert camera.end(signal.SIGTERM) == 2, camera.said
        for name in ("JSON lines", "video"):
            assert camera.said.count(f"output {name} stopped: No space left on device") == 1, camera.said
        content = rows.read_bytes()
        assert content.endswith(b"\n")
        found = whole_lines(rows)
        lines.append(len(found))
        recorded = video if suffix == ".mkv" else small_disk / "v.recording.mkv"
        played.append(playable_frames(recorded))
        assert played[-1] / FPS >= 1.0
        for path in small_disk.iterdir():
            path.unlink()
    campaign.record(times=times, whole_lines=figures(lines), playable_frames=figures(played))


def test_broker_down_and_back(
    campaign: Campaign,
    clip: Path,
    tmp_path: Path,
    broker: Broker,  # noqa: F811
    heard: dict[str, list[bytes]],  # noqa: F811
) -> None:
    times = campaign.count(1, 10)
    rows = tmp_path / "t.jsonl"
    seconds = []

    def greetings() -> int:
        return heard.get("cam/availability", []).count(b"online")

    address = f"mqtt://127.0.0.1:{broker.port}/cam"
    with Camera(tmp_path, clip, *PLAYED, "--jsonl", rows, "--mqtt", address) as camera:
        wait_for(lambda: greetings() >= 1, "the first greeting")
        camera.wait_for_lines(rows, 1)
        for _ in range(times):
            greeted = greetings()
            broker.stop()
            n = rows.read_bytes().count(b"\n")
            camera.wait_for_lines(rows, n + 10)  # nothing else stops
            broker.start()
            seconds.append(wait_for(lambda: greetings() > greeted, "another greeting", 120.0))  # noqa: B023
            states = len(heard.get("cam/state", []))
            wait_for(lambda: len(heard.get("cam/state", [])) > states, "a state")  # noqa: B023
        assert camera.end(signal.SIGTERM) == 0, camera.said
        wait_for(lambda: heard["cam/availability"][-1] == b"offline", "the goodbye")
    assert camera.said.count("is lost") == times
    campaign.record(times=times, back_after_s=figures(seconds))


@pytest.mark.slow
def test_web_clients_that_never_read(campaign: Campaign, clip: Path, tmp_path: Path) -> None:
    """Half of the visitors read, half do not; the pipeline keeps its pace, the readers get pictures."""
    pytest.importorskip("uvicorn", reason="the extra web is not installed")
    clients = campaign.count(10, 50)
    measured_s = campaign.count(3, 30)
    rows = tmp_path / "t.jsonl"
    port = free_port()
    options = (*PLAYED, "--jsonl", rows, "--web", f"127.0.0.1:{port}")
    counts: list[int] = []
    over = threading.Event()

    def rate() -> float:
        frames, began = metric(port, "fer_frames_total"), time.monotonic()
        time.sleep(measured_s)
        return (metric(port, "fer_frames_total") - frames) / (time.monotonic() - began)

    def read(connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            while not over.is_set():
                counts[number] += connection.recv(65_536).count(b"Content-Type: image/jpeg")

    with Camera(tmp_path, clip, *options) as camera, contextlib.ExitStack() as stack:
        camera.wait_for_lines(rows, 5)
        wait_for(lambda: metric(port, "fer_frames_total") > 0, "the page")
        alone, memory_alone = rate(), rss_kib(camera.process.pid)
        threads = []
        for number in range(clients):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            connection.sendall(b"GET /video HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if number % 2:
                counts.append(0)
                threads.append(threading.Thread(target=read, args=(connection, len(counts) - 1)))
                threads[-1].start()
        watched, memory_watched = rate(), rss_kib(camera.process.pid)
        over.set()
        for thread in threads:
            thread.join(15.0)
        assert camera.end(signal.SIGTERM) == 0, camera.said
    campaign.record(
        clients=clients,
        never_reading=clients - len(counts),
        frames_a_second_alone=round(alone, 2),
        frames_a_second_watched=round(watched, 2),
        memory_growth_mib=round((memory_watched - memory_alone) / 1024, 1),
        pictures_of_a_reader=figures(counts),
    )
    assert min(counts) > 0
    assert watched > 0.5 * alone  # the visitors of this test take processor time, too
    assert memory_watched - memory_alone < 64 * 1024
