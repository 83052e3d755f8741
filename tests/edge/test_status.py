from __future__ import annotations

import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fer_edge.app.systemd import ServiceReporter, notify, watchdog_period_s
from fer_edge.capture.frames import Frame
from fer_edge.errors import UsageError
from fer_edge.outputs.address import is_loopback, listen, parse_address
from fer_edge.outputs.prometheus import MetricsServer, metrics_text
from fer_edge.outputs.status import STALE_S, Status, StatusBoard, recent_rate
from fer_edge.results import Face, PipelineStats, Result


def fake_pipeline(state: str = "running") -> Any:
    stats = PipelineStats(frames=30, faces=31, dropped=4)
    return SimpleNamespace(stats=stats, source=SimpleNamespace(state=state, description="camera 0"))


@pytest.fixture
def status() -> Status:
    pipeline = fake_pipeline()
    now = time.monotonic()
    pipeline.stats.done_at.extend(now - 0.1 * n for n in range(20, -1, -1))
    pipeline.stats.ages_s.extend([0.010] * 98 + [0.050] * 2)
    return StatusBoard(pipeline, Path("/nonexistent")).now()


def test_recent_rate_counts_what_is_recent() -> None:
    assert recent_rate([0.0, 50.0, 51.0, 52.0, 53.0], now=53.0) == pytest.approx(1.0)
    assert recent_rate([50.0, 51.0], now=54.0) == pytest.approx(0.25)  # it has slowed down since
    assert recent_rate([1.0], now=1.0) == 0.0
    assert recent_rate([1.0, 2.0], now=100.0) == 0.0


def test_status_of_a_running_pipeline(status: Status) -> None:
    assert (status.state, status.healthy) == ("running", True)
    assert (status.frames, status.faces, status.dropped) == (30, 31, 4)
    assert status.fps == pytest.approx(10.0, rel=0.05)
    assert status.age_p50_ms == pytest.approx(10.0)
    assert status.age_p99_ms == pytest.approx(50.0, rel=0.1)
    assert status.temperature_c is None
    assert status.as_dict()["healthy"] is True


def test_states(tmp_path: Path) -> None:
    thermal = tmp_path / "temp"
    thermal.write_text("48312\n")
    pipeline = fake_pipeline()
    board = StatusBoard(pipeline, thermal)
    assert (board.now().state, board.now().healthy, board.now().temperature_c) == ("starting", False, 48.312)
    pipeline.stats.done_at.append(time.monotonic() - STALE_S - 1)
    pipeline.stats.ages_s.append(0.1)
    assert (board.now().state, board.now().healthy) == ("running", False)  # it says so, but nothing comes
    pipeline.source.state = "lost, trying again every 2 s"
    assert board.now().state == "lost, trying again every 2 s"
    pipeline.stats.ended_at = 1.0
    assert board.now().state == "ended"


def test_metrics_are_what_prometheus_reads(status: Status) -> None:
    status = replace(status, temperature_c=51.5, busy_s={"detect": 1.5}, outputs_dropped={"web page": 3})
    lines = metrics_text(status, Counter(happy=30, uncertain=1)).splitlines()
    values = {}
    for line in lines:
        if line.startswith("#"):
            kind, name = line.split()[1:3]
            assert kind in ("HELP", "TYPE")
            assert name.startswith("fer_")
        else:
            name, value = line.rsplit(" ", 1)
            assert name not in values
            values[name] = float(value)
    assert values["fer_up"] == 1.0
    assert values["fer_frames_total"] == 30
    assert values['fer_emotions_total{emotion="happy"}'] == 30
    assert values['fer_emotions_total{emotion="sad"}'] == 0
    assert values['fer_capture_to_result_seconds{quantile="0.5"}'] == pytest.approx(0.010)
    assert values['fer_stage_busy_seconds_total{stage="detect"}'] == 1.5
    assert values['fer_output_dropped_total{output="web page"}'] == 3
    assert values["fer_temperature_celsius"] == 51.5
    unknown = metrics_text(replace(status, temperature_c=None, age_p50_ms=None, age_p99_ms=None), Counter())
    assert "temperature" not in unknown
    assert "capture_to_result" not in unknown  # no figure rather than a wrong one


def test_metrics_server() -> None:
    server = MetricsServer(("127.0.0.1", 0), StatusBoard(fake_pipeline()))
    try:
        faces = (Face(1, (0, 0, 9, 9), 0.9, "sad", np.zeros(7, np.float32), np.zeros(7, np.float32)),)
        server.write(Result(Frame(np.zeros((9, 9, 3), np.uint8), 0, 0.0, 0.0), faces, 0.0))
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert 'fer_emotions_total{emotion="sad"} 1' in answer.read().decode()
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/etc/passwd", timeout=5)
        assert caught.value.code == 404
        caught.value.close()
    finally:
        server.close()


def test_addresses() -> None:
    assert parse_address("127.0.0.1:8080", "--web") == ("127.0.0.1", 8080)
    assert parse_address("[::1]:80", "--web") == ("::1", 80)
    assert parse_address("http://0.0.0.0:8080/", "--web") == ("0.0.0.0", 8080)
    assert parse_address("HTTP://[::1]:9100", "--metrics") == ("::1", 9100)
    assert parse_address("http://localhost", "--web") == ("localhost", 80)
    for address, reason in (
        ("http://127.0.0.1:8080/cam1/", "served at /, not at /cam1/.*give 127.0.0.1:8080$"),
        ("http://127.0.0.1:8080?token=x", "served at /"),
        ("https://127.0.0.1:8080/", "plain HTTP is served"),
        ("ftp://127.0.0.1:8080", "expected http://"),
    ):
        with pytest.raises(UsageError, match=reason):
            parse_address(address, "--web")
    assert parse_address(":9", "--web") == parse_address("9", "--web") == ("127.0.0.1", 9)
    assert parse_address("[fe80::1%eth0]:80", "--web") == ("fe80::1%eth0", 80)
    assert parse_address("my_pi-2.local:80", "--web") == ("my_pi-2.local", 80)
    for wrong in (
        "localhost",
        "host:port",
        "1.2.3.4:99999",
        "",
        "0.0.0.0:80:80",
        "::1:80",
        "[1.2.3.4]:80",
        "[::1:80",
        "a b:80",
        "u@h:80",
        "256.0.0.1:80",
        "1.2.3:80",
        "fe80::1%eth0:80",
    ):
        with pytest.raises(UsageError, match="expected HOST:PORT"):
            parse_address(wrong, "--web")
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.1.2", "", "evil.example", "127.0.0.1.evil.example"]))


def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1", 0, "--web") as taken, pytest.raises(UsageError, match="cannot listen there"):
        listen("127.0.0.1", taken.getsockname()[1], "--web")


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A socket in systemd's place."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield receiver


def test_systemd_hears_ready_alive_and_stopping(
    manager: socket.socket, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    reporter = ServiceReporter(lambda: status, lambda: True)
    assert manager.recv(999) == b"READY=1\nSTATUS=starting"
    assert b"WATCHDOG=1" in manager.recv(999)
    reporter.close()
    assert manager.recv(999) in (b"STOPPING=1", reporter.report().encode())


@pytest.mark.parametrize(
    ("change", "alive", "sign_of_life"),
    [
        ({}, True, True),
        ({"state": "lost, trying again every 30 s"}, True, True),  # no reason to restart
        ({"state": "starting", "since_last_s": None}, True, True),
        ({"since_last_s": STALE_S + 5}, True, False),  # hangs
        ({}, False, False),  # a stage is dead
    ],
)
def test_when_the_watchdog_is_fed(change: dict[str, Any], alive: bool, sign_of_life: bool, status: Status) -> None:
    reporter = ServiceReporter(lambda: replace(status, **change), lambda: alive)
    assert ("WATCHDOG=1" in reporter.report()) == sign_of_life


def test_outside_of_a_service_nothing_happens(status: Status, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    before = threading.active_count()
    ServiceReporter(lambda: status, lambda: True).close()
    assert threading.active_count() == before
    monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent/notify")
    assert not notify("READY=1")


def test_watchdog_period(monkeypatch: pytest.MonkeyPatch) -> None:
    read: Callable[[], float | None] = watchdog_period_s
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    for text, expected in [("", None), ("0", None), ("20000000", 10.0), ("nonsense", None), ("100", 0.5)]:
        monkeypatch.setenv("WATCHDOG_USEC", text)
        assert read() == expected
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert read() is None  # meant for another process
