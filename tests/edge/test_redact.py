"""No password in anything that is shown, whatever it is made of."""

from __future__ import annotations

import logging
import re
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fer_edge.errors import SourceError
from fer_edge.logs import LOG, shown_on_stderr
from fer_edge.redact import redact, redact_address, split_userinfo

SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "http", "https", "mqtt", "mqtts", "HTTP")
HOST = "cam-7.example"
awkward = st.text(st.sampled_from("aZ09/@:#?%!$&'()*+,;=[]{}~|^\\\"<>-_.ü"), min_size=6, max_size=20)
plain = st.text(st.sampled_from("abcXYZ0189-_.~"), min_size=6, max_size=20)
names = st.sampled_from(
    (
        *(
            "password",
            "Password",
            "PWD",
            "pwd",
            "pass",
            "passwd",
            "token",
            "access_token",
            "auth",
            "loginpas",
            "api_key",
        ),
        *(
            "userPass",
            "pass1",
            "passcode",
            "pswd",
            "accessKey",
            "appkey",
            "sessionKey",
            "stok",
            "psk",
            "ticket",
            "senha",
        ),
    )
)


def leaks(secret: str, shown: str, template: str = "") -> bool:
    """Whether the secret, or a piece of it of four characters that stands nowhere else, is there."""
    pieces = {secret[start : start + 4] for start in range(len(secret) - 3)}
    return any(piece in shown and piece not in template for piece in pieces)


@given(st.sampled_from(SCHEMES), awkward, st.sampled_from(("", "/", ":554/live", "/a/b?x=1", "?x=1#f")))
def test_a_password_of_any_characters_is_hidden_and_the_host_is_not(scheme: str, secret: str, tail: str) -> None:
    # Like "@b?c=" in "a@b?c=@host": a whole address with a query that holds an @. That is taken for the address.
    assume(not re.search(r"@[\w.-]+(:\d+)?([/#?][^@]*)?\?[\w.%\[\]-]+=", secret))
    assume("***" not in secret)  # then what it is replaced by looks like a piece of it
    template = f"{scheme}://me:@{HOST}{tail} cannot be opened; is it right? [rtsp @ 0x1] : 401 ()"
    address = f"{scheme}://me:{secret}@{HOST}{tail}"
    for text in (address, f"{address} cannot be opened; is it right?", f"[rtsp @ 0x1] {address}: 401 ({address})"):
        shown = redact(text)
        assert not leaks(secret, shown, template), shown
        assert HOST in shown
        assert redact(shown) == shown
    assert not leaks(secret, redact_address(address), template)
    assert split_userinfo(f"{scheme}://me:{secret}@{HOST}") == (f"{scheme}://", "me", secret, HOST)


@given(names, plain, st.booleans(), st.booleans(), st.sampled_from(SCHEMES))
def test_secret_values_of_queries_are_hidden(name: str, secret: str, encoded: bool, first: bool, scheme: str) -> None:
    parameter = f"{name}={secret}" if not encoded else quote(f"{name}={secret}", safe="")
    query = f"{parameter}&user=ada" if first else f"user=ada&{parameter}"
    address = f"{scheme}://{HOST}:80/snap.cgi?{query}"
    template = f"{scheme}://{HOST}:80/snap.cgi?user=ada&{name}= HTTP Error 401 for url: x"
    for text in (address, f"HTTP Error 401 for url: {address}", f"x {query}", f"({address})", f"'{address}'"):
        shown = redact(text)
        assert not leaks(secret, shown, template), shown
        assert "user=ada" in shown
        assert HOST in shown or HOST not in text
        assert redact(shown) == shown


@given(names, plain, st.sampled_from(("_", ";", ",", "/")), st.sampled_from(("", "channel=1", "stream=0.sdp?x")))
def test_secrets_in_other_notations_of_parameters(name: str, secret: str, between: str, last: str) -> None:
    """Recorders want ``/user=ada_password=..._channel=1_stream=0.sdp``; ``;`` separates parameters, too (HTML 4.01)."""
    assume("_" not in name)
    ending = f"{between}{last}" if last else ""
    for start in ("rtsp://cam:554/user=ada", "http://cam/snap.jpg?usr=ada"):
        shown = redact(f"{start}{between}{name}={secret}{ending} cannot be opened")
        assert shown.startswith(f"{start}{between}{name}=***") and shown.endswith(" cannot be opened")
        assert not leaks(secret, shown, f"{start}{between}{name}={ending} cannot be opened"), shown
        assert between != "_" or ending in shown
        assert redact(shown) == shown


@given(st.lists(st.tuples(st.sampled_from(SCHEMES), plain), min_size=2, max_size=4), st.sampled_from((",", ", ", "|")))
def test_several_addresses_in_one_text(addresses: list[tuple[str, str]], between: str) -> None:
    text = between.join(f"{scheme}://u{n}:{pw}@h{n}.example/x" for n, (scheme, pw) in enumerate(addresses))
    shown = redact(text)
    for number, (scheme, secret) in enumerate(addresses):
        assert not leaks(secret, shown, f"{scheme}://u0:@h0.example/x"), shown
        assert f"h{number}.example" in shown


@given(plain)
def test_addresses_inside_of_addresses(secret: str) -> None:
    inner = f"rtsp://me:{secret}@{HOST}/live"
    for text in (f"http://proxy.example/?url={inner}", f"http://proxy.example:80/?url={quote(inner, safe='')}"):
        shown = redact(text)
        assert not leaks(secret, shown, f"http://proxy.example:80/?url=rtsp://me:@{HOST}/live%3A%2F"), shown
        assert HOST in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://me:s3cret@cam.local:554/live?x=a@b", "rtsp://me:***@cam.local:554/live?x=a@b"),
        ("rtsp://:s3cret@cam/", "rtsp://:***@cam/"),
        ("rtsp://me:12/34@cam/", "rtsp://me:***@cam/"),
        ("me:s3c/ret@cam/live is not a file", "me:***@cam/live is not a file"),
        ("rtsp:/me:s3cret@cam", "rtsp:/me:***@cam"),
        ("http://cam/?p%61ssword=s3cret&x=1", "http://cam/?p%61ssword=***&x=1"),
        ("GET /?token=s3cret HTTP/1.1", "GET /?token=*** HTTP/1.1"),
        ("{'Authorization': 'Bearer s3cret'}", "{'Authorization': 'Bearer ***'}"),
        ("Authorization: Basic czNjcmV0", "Authorization: Basic ***"),
        ("Cookie: stok=s3cret; x=1", "Cookie: *** x=1"),
        ("http://me:s3cret%40cam/live", "http://me:***%40cam/live"),
        ("//me:s3c/ret@cam/live", "//me:***@cam/live"),
        ("http://cam/snap?u=ada&p=s3cret&x=1", "http://cam/snap?u=ada&p=***&x=1"),
        ("http://cam/snap?pin=s3cret", "http://cam/snap?pin=***"),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://cam.local:554/live and http://[::1]:8080/a",
        "https://unpkg.example/pkg@1.2/file",
        "write to me@example.org",
        "C:\\videos\\a@b.mp4 is not a file",
        "watch at http://127.0.0.1:8080/?token=...",
        "for example FER_WEB_TOKEN=yZx81-abc",
        "author=ada&keyboard=us&passive=1&p=2&keys=3",
        "exit code=1, md5=d41d8",
        "http://127.0.0.1:8080/a%40b",
        "100 % of 3 @ 5",
    ],
)
def test_what_holds_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://cam/realmonitor?channel=1&authbasic=YWRtaW46SHVu", "rtsp://cam/realmonitor?channel=1&authbasic=***"),
        ("http://cam/?basicAuth=YWRtaW46SHVu&x=1", "http://cam/?basicAuth=***&x=1"),
        ("http://cam/video?user=admin:Hunt3r22&size=2", "http://cam/video?user=admin:***&size=2"),
        ("http://cam/video?login=admin%3AHunt3r22", "http://cam/video?login=admin%3A***"),
        ('{"host": "cam", "password": "Hunt3r22", "x": 1}', '{"host": "cam", "password": "***", "x": 1}'),
        ("{'mqtt_pwd': 'Hunt\\'3r22'}", "{'mqtt_pwd': '***'}"),
        ("http://cam/?usuario=a&contraseña=Hunt3r22", "http://cam/?usuario=a&contraseña=***"),
        ("http://cam/?密码=Hunt3r22", "http://cam/?密码=***"),
        ('Authorization: Digest username="a", response="5ccc0690"', "Authorization: Digest ***"),
        ("http://cam/?secretKey=Hunt3r22", "http://cam/?secretKey=***"),
    ],
)
def test_secrets_of_other_makes(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://cam/?monkey=2&turkey=3",
        "http://cam/?author=ada&authority=none",
        "http://cam/?user=admin&size=2",
        '{"tokens": 5, "name": "value"}',
        "the password: give it by FER_MQTT_PASSWORD",
    ],
)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_an_address_that_was_encoded_as_a_whole() -> None:
    """urllib would tell "nonnumeric port: 's3cret@cam'"."""
    assert split_userinfo("http://me:s3cret%40cam/live") == ("http://", "me", "s3cret", "cam/live")
    assert split_userinfo("http://cam:80/a%40b") == ("http://", None, None, "cam:80/a%40b")


def test_every_way_to_the_outside(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    error = SourceError("rtsp://me:s3c/ret@cam/live cannot be opened")
    assert "s3c" not in f"{error} {error!r}"
    with shown_on_stderr("fer-camera"), caplog.at_level(logging.INFO, "fer_edge"):
        LOG.addHandler(caplog.handler)
        LOG.warning("%s is lost (%s)", "rtsp://me:s3c/ret@cam/live", OSError("http://cam/?pwd=s3cret"))
        LOG.removeHandler(caplog.handler)
    shown = capsys.readouterr().err
    assert "s3c" not in shown + caplog.text
    assert "rtsp://me:***@cam/live is lost (http://cam/?pwd=***)" in shown


def test_print_config_leaves_passwords_out_and_what_it_leaves_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    from fer_edge.app.cli import main

    assert main(["rtsp://me:s3c/ret@cam/live", "--web-token", "t0ken-of-mine", "--print-config"]) == 0
    out, err = capsys.readouterr()
    assert 'source = "rtsp://me:***@cam/live"' in out
    assert "put it in for ***" in out
    assert "s3c" not in out + err
    assert "t0ken" not in out + err
    for shown in (["rtsp://me:***@cam/live"], ["0", "--web", "0", "--web-token", "***"]):  # anybody would guess it
        assert main([*shown, "--headless"]) == 2
        assert "put it in for ***" in capsys.readouterr().err


def test_http_addresses_with_awkward_passwords(capsys: pytest.CaptureFixture[str]) -> None:
    """urllib tells "nonnumeric port: 's3c'", a piece of the password, of what looks to it like host and port."""
    from fer_edge.app.cli import main

    assert main(["http://me:s3c/r#e?t@127.0.0.1:9/live", "--headless"]) == 2
    error = capsys.readouterr().err
    assert "s3c" not in error
    assert "http://me:***@127.0.0.1:9/live cannot be opened" in error
