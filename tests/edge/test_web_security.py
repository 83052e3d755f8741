"""What the listening outputs do about strangers: with real sockets, and with limits shortened."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.edge.web_page import Page, Pipeline, make_result

from fer_edge.app.cli import main
from fer_edge.errors import UsageError
from fer_edge.outputs import prometheus
from fer_edge.outputs.address import same
from fer_edge.outputs.prometheus import MetricsServer
from fer_edge.outputs.secret import secret

pytest.importorskip("uvicorn", reason="the extra web is not installed")
from fer_edge.outputs import web_guard
from fer_edge.outputs.status import StatusBoard


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 5)


def seconds_until_cut_off(connection: socket.socket, limit_s: float = 5.0) -> float:
    """Sends a byte of a header every now and then; how long until the other side has enough."""
    began = time.monotonic()
    connection.settimeout(0.05)
    while time.monotonic() - began < limit_s:
        try:
            connection.send(b"a")
            if connection.recv(4096) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


def test_every_answer_has_security_headers(serve: Callable[..., Page]) -> None:
    page = serve(token="s3cret-token")
    for path, status in (("/", 401), ("/healthz", 503), ("/?token=s3cret-token", 303)):
        answer = page.get(path)
        assert answer[0] == status
        headers = answer[1]
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert len(re.findall(r"'sha256-[A-Za-z0-9+/]{43}='", policy)) == 2  # the page's own script and style


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import secrets

    compared: list[tuple[bytes, bytes]] = []
    right = secrets.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return right(a, b)

    monkeypatch.setattr("secrets.compare_digest", compare)
    assert same("s3cret", "s3cret")
    assert not same("s3creT", "s3cret")
    assert not same("\udcff", "s3cret")  # half a character
    assert len(compared) == 3


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/web_page.html",
        "/static/../web.py",
        "/api/faces/../../../etc/passwd",
        "/healthz/../api/faces",
    ],
)
def test_there_is_no_way_to_files_and_none_around_the_token(serve: Callable[..., Page], path: str) -> None:
    page = serve()
    status, _, body = page.get(path)
    assert status in (404, 403)
    assert b"root:" not in body
    locked = serve(token="s3cret-token")
    assert locked.get(path)[0] == 401


def test_only_reading_is_offered(serve: Callable[..., Page]) -> None:
    page = serve()
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"):
        with connect(page.sink.port) as connection:
            connection.sendall(f"{method} /api/faces HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert b" 405 " in connection.recv(4096).split(b"\r\n")[0] + b" ", method


def test_slow_requests_are_cut_off(serve: Callable[..., Page], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_guard, "REQUEST_S", 0.5)
    page = serve()
    page.show(make_result())
    with connect(page.sink.port) as silent, connect(page.sink.port) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        assert 0.3 < seconds_until_cut_off(slow) < 2.5
        silent.settimeout(2)
        assert silent.recv(10) == b""
    with connect(page.sink.port) as second:  # the second request of a connection has no more time than the first
        second.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in second.recv(4096)
        second.sendall(b"GET / HTTP/1.1\r\n")
        assert seconds_until_cut_off(second) < 2.5
    with connect(page.sink.port) as patient:  # a long answer is no slow request
        patient.settimeout(5)
        patient.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            page.show(make_result())
            assert patient.recv(65536)


def test_headers_without_end_are_refused(serve: Callable[..., Page]) -> None:
    page = serve()
    with connect(page.sink.port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000)
        assert b" 400 " in connection.recv(4096)


def test_connections_are_limited(serve: Callable[..., Page], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_guard, "MAX_CONNECTIONS", 5)
    page = serve()
    held = [connect(page.sink.port) for _ in range(5)]
    for connection in held:
        connection.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
    with connect(page.sink.port) as one_more:
        one_more.settimeout(3)
        try:
            one_more.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert one_more.recv(100) == b""
        except ConnectionError:
            pass
    held.pop().close()
    end = time.monotonic() + 5
    while True:
        try:
            assert page.get("/healthz")[0] in (200, 503)
            break
        except (OSError, http.client.HTTPException):
            assert time.monotonic() < end
            time.sleep(0.1)
    for connection in held:
        connection.close()


def test_who_never_reads_is_sent_away(serve: Callable[..., Page], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_guard, "STALL_S", 0.5)
    page = serve()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", page.sink.port))
        deaf.sendall(b"GET /video HTTP/1.1\r\nHost: localhost\r\n\r\n")
        end = time.monotonic() + 120
        seen = 0
        shown = make_result(size=(1920, 1080))
        shown.image[:] = np.random.default_rng(0).integers(0, 256, shown.image.shape)  # fills buffers soon
        while not (seen and page.sink.state.viewers == 0):
            seen = max(seen, page.sink.state.viewers)
            page.show(shown)
            assert time.monotonic() < end
            time.sleep(0.02)


def metrics(token: str | None = None, host: str = "127.0.0.1") -> MetricsServer:
    pipeline: Any = Pipeline()
    return MetricsServer((host, 0), StatusBoard(pipeline), token)


def ask(port: int, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/metrics", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_metrics_demand_a_token_off_loopback() -> None:
    with pytest.raises(UsageError, match="needs FER_WEB_TOKEN"):
        metrics(host="0.0.0.0")
    server = metrics("s3cret-token", "0.0.0.0")
    try:
        assert ask(server.port) == 401
        assert ask(server.port, Authorization="Bearer wrong") == 401
        assert ask(server.port, Authorization="Bearer s3cret-token") == 200
    finally:
        server.close()


def test_metrics_are_not_read_by_foreign_pages_nor_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "CONNECTION_S", 0.5)
    monkeypatch.setattr(prometheus, "MAX_CONNECTIONS", 3)
    server = metrics()
    try:
        assert ask(server.port) == 200
        assert ask(server.port, Host="evil.example") == 403
        with connect(server.port) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\nX: ")
            assert seconds_until_cut_off(slow) < 2.5
        held = [connect(server.port) for _ in range(3)]
        time.sleep(0.2)
        with connect(server.port) as one_more:
            one_more.settimeout(3)
            assert one_more.recv(10) == b""
        time.sleep(1.0)  # those have been cut off by now
        assert ask(server.port) == 200
        for connection in held:
            connection.close()
    finally:
        server.close()


def test_secrets_on_the_command_line(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--source", str(video), "--headless", "--backend", "fake", "--detector", "haar", "--max-frames", "1"]
    assert main([*common, "--mqtt", "mqtt://me:s3cret@127.0.0.1"]) == 2
    error = capsys.readouterr().err
    assert "FER_MQTT_PASSWORD" in error
    assert "s3cret" not in error
    assert main([*common, "--web", "127.0.0.1:0", "--web-token", "s3cret-token"]) == 0
    error = capsys.readouterr().err
    assert "better: FER_WEB_TOKEN" in error
    assert "s3cret" not in error
    token = tmp_path / "token"
    token.write_text("s3cret-token\n")
    assert main([*common, "--web", "0.0.0.0:0", "--web-token-file", str(token)]) == 0
    error = capsys.readouterr().err
    assert "command line" not in error
    assert "s3cret" not in error
    for content in (b"", b"\n", b"\xff\xfe", b"x" * 5000):
        token.write_bytes(content)
        assert main([*common, "--web", "127.0.0.1:0", "--web-token-file", str(token)]) == 2
        assert "expected a line of text" in capsys.readouterr().err
    assert main([*common, "--mqtt", "mqtt://127.0.0.1", "--mqtt-password-file", str(tmp_path / "none")]) == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_token_file_may_be_written_by_powershell(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "token").write_bytes("s3cret-token\r\n".encode(encoding))
    assert secret("--web-token-file", tmp_path / "token", "FER_WEB_TOKEN") == "s3cret-token"


def test_a_configuration_file_may_hold_the_password(video: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('mqtt = "mqtt://me:s3cret@127.0.0.1:9"\n')
    common = ["--source", str(video), "--headless", "--backend", "fake", "--detector", "haar", "--max-frames", "1"]
    pytest.importorskip("paho.mqtt")
    pytest.importorskip("tomllib")
    assert main([*common, "--config", str(config)]) == 0


def test_the_timeline_does_not_trust_the_wall_clock(
    serve: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = serve()
    page.show(make_result(0))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 86_400.0)  # a Pi without a clock learns the time
    page.sink.state._next_mark = 0.0
    page.show(make_result(1))
    first, second = json.loads(page.get("/api/timeline")[2])
    assert 0.0 <= second["ago_s"] <= first["ago_s"] < 5.0
    assert 0.0 <= second["t"] - first["t"] < 5.0
