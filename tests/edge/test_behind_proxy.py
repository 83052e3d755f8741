"""The page behind a real nginx (Debian's nginx-light), under a path, as docs/how-to/behind-a-proxy.md has it."""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
from tests.edge.browser import Browser
from tests.edge.web_page import Page, make_result

from fer_edge.app.cli import main

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "behind-a-proxy.md"
HOST = {"Host": "cams.example"}
TOKEN = "s3cret-token"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """``proxy(page)``: the port of an nginx with the guide's first location in front of the page, or with another."""
    if NGINX is None:
        pytest.skip("nginx is not installed (apt-get install nginx-light)")
    running: list[subprocess.Popen[bytes]] = []

    def start(page: Page, location: str | None = None) -> int:
        if location is None:
            location = re.search(r"    location /cam1/ \{.*?\n    \}\n", GUIDE.read_text(), re.DOTALL)[0]  # type: ignore[index]
        port = free_port()
        kept = "\n".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi"))
        config = (
            f"daemon off; worker_processes 1; pid {tmp_path}/pid; error_log {tmp_path}/log;\n"
            f"events {{}}\nhttp {{ access_log off; {kept} uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;\n"
            f"server {{ listen 127.0.0.1:{port};\n{location.replace('8081', str(page.sink.port))} }} }}\n"
        )
        (tmp_path / "nginx.conf").write_text(config)
        command = [NGINX or "", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path), "-e", str(tmp_path / "log")]
        running.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        end = time.monotonic() + 5
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                return port
            assert time.monotonic() < end, (tmp_path / "log").read_text()
            time.sleep(0.02)

    yield start
    for process in running:
        process.terminate()
        process.wait(5)


def get(port: int, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={**HOST, **headers})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def beginning(port: int, path: str, wanted: bytes, show: Callable[[], object], **headers: str) -> bytes:
    """What an endless answer begins with, as far as ``wanted``; that it comes at all means nothing buffers it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={**HOST, **headers})
        answer = connection.getresponse()
        assert answer.status == 200
        content = b""
        end = time.monotonic() + 5
        done = threading.Event()

        def go_on() -> None:  # a picture is made only once somebody looks
            while not done.wait(0.05):
                show()

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            while wanted not in content:
                content += answer.read1(65536)
                assert time.monotonic() < end
        finally:
            done.set()
            thread.join()
        return content


def test_under_a_path_with_a_token(serve: Callable[..., Page], proxy: Callable[..., int]) -> None:
    page = serve(token=TOKEN, proxies=("cams.example",))
    port = proxy(page)
    page.show(make_result())
    status, headers, _ = get(port, f"/cam1/?token={TOKEN}", **{"X-Forwarded-Prefix": "//evil.example"})
    assert status == 303
    assert urljoin("https://cams.example/cam1/?token=x", headers["location"]) == "https://cams.example/cam1/"
    cookie = headers["set-cookie"]
    assert "Path=/cam1;" in f"{cookie};"
    assert "HttpOnly" in cookie
    assert "Secure" not in cookie  # this nginx speaks plain HTTP
    known = {"Cookie": cookie.partition(";")[0]}
    status, _, body = get(port, "/cam1/", **known)
    assert status == 200
    used = re.findall(r"""(?:href=|fetch\(|EventSource\(|src = )"([^"]+)""", body.decode())
    assert {"favicon.svg", "events", "api/timeline", "video?"} <= set(used)
    for address in used:
        assert urljoin("/cam1/", address).startswith("/cam1/"), address
    assert get(port, "/cam1/api/faces", **known)[0] == 200
    assert get(port, "/cam1/api/faces")[0] == 401
    assert b'"happy"' in beginning(port, "/cam1/events", b"\n\ndata:", lambda: None, **known)
    assert b"\xff\xd8" in beginning(port, "/cam1/video", b"\xff\xd8", lambda: page.show(make_result()), **known)


LEFT_IN_FRONT = """location {at} {{ proxy_pass http://127.0.0.1:8081; proxy_http_version 1.1;
    proxy_set_header Host $host; proxy_set_header X-Forwarded-Prefix {prefix}; }}"""
PLACES: dict[str, tuple[str | None, str, str]] = {
    "the guide's location, to whose slash nginx redirects": (None, "/cam1", "/cam1/"),
    "a location of this name alone": (LEFT_IN_FRONT.format(at="/cam1", prefix="/cam1"), "/cam1", "/cam1/"),
    "a deep one, with a question": (LEFT_IN_FRONT.format(at="/a/b.c", prefix="/a/b.c"), "/a/b.c?x=1", "/a/b.c/?x=1"),
    "already with its slash": (LEFT_IN_FRONT.format(at="/cam1", prefix="/cam1"), "/cam1/", "/cam1/"),
}


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("place", PLACES)
def test_a_browser_ends_at_the_path_with_its_slash(
    serve: Callable[..., Page], proxy: Callable[..., int], browser: Browser, place: str, token: str | None
) -> None:
    """All addresses of the page are relative: without the slash they would point beside it."""
    location, asked, reached = PLACES[place]
    page = serve(token=token, proxies=("cams.example",))
    address = f"http://127.0.0.1:{proxy(page, location)}"
    if token is not None:  # the first visit, which leaves the cookie
        browser.call("Page.navigate", url=f"{address}{asked.partition('?')[0]}?token={token}")
        _wait_until(lambda: browser.value("location.search") == "" and browser.value("location.pathname[0]") == "/")
        _wait_until(lambda: browser.value("typeof showFaces") == "function")
    browser.call("Page.navigate", url=f"{address}{asked}")
    _wait_until(lambda: browser.value("location.pathname + location.search") == reached)

    def shown(expression: str, expected: object) -> Callable[[], bool]:
        def check() -> bool:
            page.show(make_result())
            time.sleep(0.05)
            return bool(browser.value(expression) == expected)

        return check

    _wait_until(shown("document.querySelector('#face7 h2')?.textContent", "#7 happy"))
    _wait_until(shown("document.getElementById('video').naturalWidth", 160))
    assert browser.value("document.getElementById('state').textContent") == "running"


def _wait_until(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_name_of_the_proxy_must_be_allowed(serve: Callable[..., Page], proxy: Callable[..., int]) -> None:
    page = serve()
    assert get(proxy(page), "/cam1/")[0] == 403
    allowed = serve(proxies=("cams.example", "other.example"))
    for host, status in (("cams.example", 200), ("CAMS.example:8443", 200), ("evil.example", 403), ("", 403)):
        assert allowed.get("/", Host=host)[0] == status, host
    assert allowed.get("/")[0] == 200


def test_forwarded_headers_count_only_with_the_option(serve: Callable[..., Page]) -> None:
    forged = [{"X-Forwarded-For": f"192.0.2.{n}", "X-Forwarded-Prefix": "/x"} for n in range(15)]
    plain = serve(token=TOKEN)
    assert "Path" not in plain.get(f"/?token={TOKEN}", **forged[0])[1]["set-cookie"]
    answers = [plain.get(f"/?token=wrong{n}", **headers)[0] for n, headers in enumerate(forged)]
    assert 429 in answers
    behind = serve(token=TOKEN, proxies=("cams.example",))
    answers = [behind.get(f"/?token=wrong{n}", **headers)[0] for n, headers in enumerate(forged)]
    assert answers == [401] * 15
    for wrong in ("//evil.example", "/a;Domain=x", "/a b", "/a\tb", "evil"):
        cookie = behind.get(f"/?token={TOKEN}", **{"X-Forwarded-Prefix": wrong})[1]["set-cookie"]
        assert "Path" not in cookie
        assert "evil" not in cookie
        assert "Domain" not in cookie
    secure = behind.get(f"/?token={TOKEN}", **{"X-Forwarded-Prefix": "/c/", "X-Forwarded-Proto": "https"})[1]
    assert "Path=/c;" in secure["set-cookie"]
    assert "Secure" in secure["set-cookie"]


def test_proxies_that_leave_their_path_in_front_or_slashes_over(serve: Callable[..., Page]) -> None:
    page = serve(proxies=("cams.example",))
    prefixed = {**HOST, "X-Forwarded-Prefix": "/cam1"}
    for path in ("/cam1/", "/cam1", "//", "/"):
        assert b"EventSource" in page.get(path, **prefixed)[2], path
    for path in ("/cam1/healthz", "//healthz", "/healthz"):
        assert page.get(path, **prefixed)[0] in (200, 503), path
    for path in ("/cam1/", "/cam12/", "/cam1healthz"):  # not ours to take away
        status, _, body = page.get(path, **HOST, **({"X-Forwarded-Prefix": "/cam1"} if path != "/cam1/" else {}))
        assert (status, b"proxy_pass" in body) == (404, True), path
    with_token = serve(token=TOKEN, proxies=("cams.example",))
    assert with_token.get(f"/cam1?token={TOKEN}", **prefixed)[1]["location"] == "/cam1/"
    assert with_token.get("/cam1/api/faces", **prefixed)[0] == 401
    assert serve().get("/cam1/", **{"X-Forwarded-Prefix": "/cam1"})[0] == 404  # only with the option


def test_the_option_on_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--web-host", "http://cams.example", "x.mp4"]) == 2
    assert "no http://" in capsys.readouterr().err
    config = tmp_path / "c.toml"
    config.write_text('web-host = ["a.example", "B.example"]\nweb = "8080"\n')
    assert main(["--config", str(config), "--print-config"]) == 0
    printed = capsys.readouterr().out
    assert 'web-host = ["a.example", "b.example"]' in printed
    config.write_text(printed)
    assert main(["--config", str(config), "--print-config"]) == 0
    assert capsys.readouterr().out == printed
