"""The page and its addresses: with plain requests, and with a real browser (headless Chromium) where there is one."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from tests.edge.browser import Browser
from tests.edge.web_page import Page, make_result

from fer_edge.app.cli import main
from fer_edge.errors import MissingDependencyError, UsageError
from fer_edge.labels import EMOTIONS
from fer_edge.results import Result


def test_page_and_figures(serve: Callable[..., Page]) -> None:
    page = serve()
    assert page.get("/healthz")[0] == 503  # nothing has come yet
    for index in range(3):
        page.show(make_result(index))
    status, headers, body = page.get("/")
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert headers["cache-control"] == "no-store"
    assert b"http://" not in body  # no external assets
    assert b"https://" not in body
    faces = json.loads(page.get("/api/faces")[2])
    assert (faces["frame"], faces["width"], faces["status"]["frames"]) == (2, 160, 3)
    assert faces["faces"][0]["track_id"] == 7
    assert tuple(faces["faces"][0]["probabilities"]) == EMOTIONS
    [mark] = json.loads(page.get("/api/timeline")[2])
    assert mark["faces"] == {"7": ["happy", 0.7]}
    assert page.get("/healthz")[0] == 200
    assert b'fer_emotions_total{emotion="happy"} 3' in page.get("/metrics")[2]
    assert page.get("/nothing")[0] == 404


def test_events_come_as_results_do(serve: Callable[..., Page]) -> None:
    page = serve()
    connection = http.client.HTTPConnection("127.0.0.1", page.sink.port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", "/events")
        answer = connection.getresponse()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.readline() == b"retry: 1000\n"
        for index in (4, 5):
            page.show(make_result(index))
            frame = None
            while frame != index:
                line = answer.readline()
                if line.startswith(b"data: "):
                    frame = json.loads(line[6:])["frame"]


def read_picture(answer: http.client.HTTPResponse) -> npt.NDArray[np.uint8]:
    while not (line := answer.readline()).startswith(b"Content-Length"):
        assert line, "the stream has ended"
    length = int(line.split(b":")[1])
    assert answer.readline() == b"\r\n"
    return np.asarray(cv2.imdecode(np.frombuffer(answer.read(length), np.uint8), cv2.IMREAD_COLOR), np.uint8)


def wait_for(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


@pytest.mark.parametrize("blur", [False, True])
def test_live_picture(serve: Callable[..., Page], blur: bool) -> None:
    page = serve(blur=blur)
    page.show(make_result())
    assert page.sink.state.jpeg is None  # nobody watches: no work
    connection = http.client.HTTPConnection("127.0.0.1", page.sink.port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", "/video")
        wait_for(lambda: page.sink.state.viewers == 1)
        page.show(make_result(1, size=(1920, 1080)))
        answer = connection.getresponse()
        assert "multipart/x-mixed-replace" in answer.headers["Content-Type"]
        picture = read_picture(answer)
        assert picture.shape == (540, 960, 3)
    wait_for(lambda: page.sink.state.viewers == 0)


def test_without_video_only_numbers_leave(serve: Callable[..., Page]) -> None:
    page = serve(video=False)
    page.show(make_result())
    assert page.get("/video")[0] == 404
    assert b"const VIDEO = false" in page.get("/")[2]
    page.sink.state.viewers = 1
    page.show(make_result(1))
    assert page.sink.state.jpeg is None


def test_other_addresses_demand_a_token(serve: Callable[..., Page]) -> None:
    with pytest.raises(UsageError, match="needs --web-token"):
        serve(host="0.0.0.0")
    page = serve(host="0.0.0.0", token="s3cret")
    page.show(make_result())
    for path in ("/", "/api/faces", "/api/timeline", "/events", "/video", "/metrics", "/?token=wrong", "/nothing"):
        assert page.get(path)[0] == 401, path
    assert page.get("/api/faces", Authorization="Bearer wrong")[0] == 401
    assert page.get("/api/faces", Authorization="Bearer s3cret")[0] == 200
    assert page.get("/api/faces?token=s3cret")[0] == 200
    status, headers, _ = page.get("/?token=s3cret")
    assert (status, headers["location"]) == (303, "./")  # the token leaves the address bar
    assert "httponly" in headers["set-cookie"].lower()
    assert page.get("/api/faces", Cookie=headers["set-cookie"].split(";")[0])[0] == 200
    assert page.get("/healthz")[0] == 200  # tells nothing about anybody


def test_a_foreign_page_cannot_read_this_one(serve: Callable[..., Page]) -> None:
    page = serve()
    assert page.get("/api/faces", Host="evil.example")[0] == 403
    assert page.get("/api/faces", Host=f"127.0.0.1.evil.example:{page.sink.port}")[0] == 403
    assert page.get("/api/faces", Host=f"localhost:{page.sink.port}")[0] == 200


def test_closing_sends_visitors_away_quickly(serve: Callable[..., Page]) -> None:
    page = serve()
    connections = [http.client.HTTPConnection("127.0.0.1", page.sink.port, timeout=5) for _ in range(2)]
    for connection, path in zip(connections, ("/events", "/video"), strict=True):
        connection.request("GET", path)
    wait_for(lambda: page.sink.state.viewers == 1)
    began = time.monotonic()
    page.sink.close()
    assert time.monotonic() - began < 3
    for connection in connections:
        connection.close()


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, package, option in [
        ("starlette", "starlette", ["--web", "127.0.0.1:0"]),
        ("paho.mqtt", "paho-mqtt", ["--mqtt", "mqtt://127.0.0.1"]),
    ]:
        monkeypatch.setitem(sys.modules, name, None)
        common = ["--source", str(video), "--headless", "--backend", "fake", "--detector", "haar"]
        assert main([*common, *option]) == 3
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"fer-camera: error: {package} is not installed")
        assert line.endswith(f"pip install {package}")  # uvicorn is there
    assert MissingDependencyError.exit_code == 3


def test_the_page_in_a_browser(serve: Callable[..., Page], browser: Browser) -> None:
    """It shows the picture, bars change, and it recovers after the server was away."""
    page = serve()
    page.show(make_result())
    browser.call("Page.navigate", url=f"http://127.0.0.1:{page.sink.port}/")
    width = "document.querySelector('#face7 [data-name=happy] b')?.style.width"

    def shown_after(result: Result, expected: str) -> bool:
        page.show(result)
        time.sleep(0.1)
        return bool(browser.value(width) == expected)

    wait_for(lambda: shown_after(make_result(1, happy=0.7), "70%"))
    wait_for(lambda: page.show(make_result(2)) or browser.value("document.getElementById('video').naturalWidth") == 160)
    wait_for(lambda: shown_after(make_result(3, happy=0.4), "40%"))
    assert browser.value("document.querySelector('#face7 h2').textContent") == "#7 happy"
    assert browser.value("document.getElementById('state').textContent") == "running"
    assert "latency 12 ms" in browser.value("document.getElementById('age').textContent")
    drawn = "(() => { const c = document.getElementById('chart'); return c.getContext('2d')"
    drawn += ".getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 == 0 && v == 250).length })()"
    wait_for(lambda: page.show(make_result(4)) or browser.value(drawn) > 0)  # the colour of "happy" in the timeline

    port = page.sink.port
    page.sink.close()
    wait_for(lambda: browser.value("document.getElementById('state').textContent").startswith("no connection"))
    page = serve(port=port)
    wait_for(lambda: shown_after(make_result(5, happy=0.9), "90%"), 15.0)
    wait_for(lambda: page.sink.state.viewers == 1)  # the picture came back, too

    empty = Result(make_result(6).frame, (), time.monotonic())
    page.show(empty)
    wait_for(lambda: browser.value("document.querySelectorAll('.face').length") == 0)
    assert browser.value("document.getElementById('none').hidden") is False


def test_the_page_leaves_the_logging_of_others_alone(serve: Callable[..., Page]) -> None:
    """Uvicorn configures ``logging`` unless told not to, which closes every handler that somebody else has opened."""
    closed: list[bool] = []

    class Mine(logging.Handler):
        def close(self) -> None:
            closed.append(True)
            super().close()

    mine = Mine()
    serve()
    assert not closed
    mine.close()
