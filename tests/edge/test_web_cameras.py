"""The page of several cameras: a grid, one enlarged by a tap, the day of each; in a browser where there is one."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.edge.browser import Browser
from tests.edge.test_web import wait_for
from tests.edge.web_page import Pipeline, make_result

from fer_edge.outputs.history import History
from fer_edge.outputs.status import StatusBoard

NAMES = ("front door", "hall", 'a"<b>&c')


class Grid:
    """A page with cameras, and results for them."""

    def __init__(self, **options: Any) -> None:
        from fer_edge.outputs.web import WebPage
        from fer_edge.outputs.web_state import WebOptions

        pipelines: Any = {name: Pipeline() for name in NAMES}
        self.pipelines: dict[str, Pipeline] = pipelines
        self.page = WebPage(WebOptions(**{"port": 0, **options}), StatusBoard(pipelines["hall"]), several=True)
        self.tiles = {
            name: self.page.of_camera(name, StatusBoard(pipelines[name]), blur=name == "hall") for name in NAMES
        }

    def show(self, number: int = 0) -> bool:
        for name in NAMES:
            result = make_result(number)
            self.pipelines[name].count(result)
            self.tiles[name].write(result)
        return False

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=5)) as connection:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()


@pytest.fixture
def grid() -> Iterator[Callable[..., Grid]]:
    pytest.importorskip("uvicorn", reason="the extra web is not installed")
    made: list[Grid] = []

    def make(**options: Any) -> Grid:
        made.append(Grid(**options))
        return made[-1]

    yield make
    for each in made:
        each.page.close()


def test_what_is_served(grid: Callable[..., Grid], tmp_path: Path) -> None:
    history = History(tmp_path / "day.db")
    page = grid(history=str(tmp_path / "day.db"))
    page.show()
    cameras = json.loads(page.get("/api/cameras")[1])
    assert [camera["camera"] for camera in cameras] == list(NAMES)
    assert all(camera["status"]["frames"] == 1 and camera["faces"] for camera in cameras)
    assert page.get("/camera/front%20door/picture") == (204, b"")  # somebody looks from now on
    page.show(1)
    status, jpeg = page.get("/camera/front%20door/picture")
    assert (status, jpeg[:2]) == (200, b"\xff\xd8")
    assert page.tiles["hall"].name == "web page"
    assert json.loads(page.get("/camera/hall/api/history")[1]) == []
    status, body = page.get("/camera/a%22%3Cb%3E%26c/")
    assert status == 200
    assert b"a&quot;&lt;b&gt;&amp;c" in body
    assert b'a"<b>' not in body
    assert page.get("/camera/nobody/")[0] == 404
    forget: Any = page.tiles["hall"]
    forget.forget()
    assert page.get("/camera/hall/")[0] == 404
    history.close()


def test_nothing_without_the_token_and_no_pictures_without_video(grid: Callable[..., Grid]) -> None:
    page = grid(token="s3cret-token", video=False)
    for path in ("/", "/api/cameras", "/events", "/camera/hall/", "/camera/hall/picture", "/camera/hall/video"):
        assert page.get(path)[0] == 401
    right = {"Authorization": "Bearer s3cret-token"}
    assert page.get("/camera/hall/api/faces", **right)[0] == 200
    for path in ("/camera/hall/picture", "/camera/hall/video", "/camera/hall/api/history"):
        assert page.get(path, **right)[0] == 404


def test_the_grid_in_a_browser(grid: Callable[..., Grid], browser: Browser) -> None:
    page = grid()
    page.show()
    browser.call("Page.navigate", url=f"http://127.0.0.1:{page.page.port}/")

    def value(expression: str) -> Any:
        time.sleep(0.05)
        page.show(int(time.monotonic() * 20))
        return browser.value(expression)

    wait_for(lambda: value("document.querySelectorAll('article').length") == 3)
    assert value("document.querySelectorAll('article')[2].querySelector('a').textContent") == NAMES[2]
    wait_for(lambda: value("[...document.querySelectorAll('article img')].every(i => i.naturalWidth == 160)"))
    assert value("document.getElementById('summary').textContent") == "3 of 3 cameras running"
    assert value("document.querySelector('.faces').textContent") == "#7 happy"
    assert value("document.querySelector('.state').className") == "state ok"
    browser.value("document.querySelectorAll('article button')[1].click()")
    wait_for(lambda: page.page.cameras["hall"].viewers == 1)  # the stream of the enlarged one alone
    assert value("document.querySelectorAll('article')[1].className") == "large"
    browser.value("document.querySelectorAll('article button')[0].click()")
    wait_for(lambda: (page.page.cameras["hall"].viewers, page.page.cameras["front door"].viewers) == (0, 1))
    assert value("document.querySelectorAll('.large').length") == 1
    page.pipelines["hall"].source.state = "lost, trying again every 2 s"
    wait_for(lambda: value("document.querySelectorAll('.state')[1].textContent").startswith("lost"))
    assert value("document.getElementById('summary').textContent") == "2 of 3 cameras running"
    browser.value("document.querySelectorAll('article a')[1].click()")
    wait_for(lambda: value("document.querySelector('h1')?.textContent") == "all cameras hall")
    wait_for(lambda: value("document.querySelector('#face7 h2')?.textContent") == "#7 happy")


def test_the_day_in_a_browser(grid: Callable[..., Grid], browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "day.db"
    history = History(path)
    history._waiting["hall", int(time.time() // 60) - 300, "happy"] = 500.0
    history.close()
    page = grid(history=str(path))
    browser.call("Page.navigate", url=f"http://127.0.0.1:{page.page.port}/camera/hall/")
    wait_for(lambda: page.show() or browser.value("document.getElementById('day')?.hidden") is False)
    drawn = "(() => { const c = document.getElementById('hours'); return c.getContext('2d')"
    drawn += ".getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 == 0 && v == 250).length })()"
    wait_for(lambda: browser.value(drawn) > 0)
