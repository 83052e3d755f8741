"""Every option as a user meets it: what the help says, and what is said of options that do nothing."""

from __future__ import annotations

import argparse
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.edge.web_page import Page

from fer_edge.app.cli import main, parse_arguments
from fer_edge.app.option_checks import pointless
from fer_edge.app.options import build_parser
from fer_edge.errors import UsageError
from fer_edge.inference import backends
from fer_edge.outputs.address import reachable
from fer_edge.outputs.mqtt import parse_broker

FAKE = ["--headless", "--backend", "fake", "--detector", "haar"]


def test_the_help() -> None:
    parser = build_parser()
    text = " ".join(parser.format_help().split())
    for wrong in ("``", "%%", "(default: None)", "(default: False)", "fake"):
        assert wrong not in text
    for right in ("[SOURCE ...]", "fer-camera face.jpg", "for example 8080", "space pauses", "s saves", "f fills"):
        assert right in text
    for action in parser._actions:
        assert action.help and action.help != argparse.SUPPRESS, action
        assert not re.search(r"\ba (frame|second)\b", action.help.replace("a frame and", "")), action.help
    assert all(len(line) <= 100 for line in parser.format_help().splitlines())


def test_backends_for_tests_are_no_offer() -> None:
    with pytest.raises(UsageError) as caught:
        backends.load_backend("fke")
    assert "fake" not in str(caught.value)
    assert "litert" in str(caught.value)


@pytest.mark.parametrize("option", ["--jsonl", "--save", "--web", "--mqtt", "--metrics", "--model", "--web-token"])
def test_an_unset_variable_is_no_value(option: str, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--jsonl "$FILE"`` must not record nothing without a word."""
    assert main([str(video), *FAKE, option, ""]) == 2
    assert f"{option} is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--jsonl-max-mb 1", "--jsonl-max-mb has no effect without --jsonl"),
        ("--web-token abc", "--web-token has no effect without --web or --metrics"),
        ("--mqtt-ca x.pem", "--mqtt-ca has no effect without --mqtt"),
        ("--size 640x480 --mjpg", "--size, --mjpg: no effect, as the source is not a camera"),
    ],
)
def test_what_has_no_effect_is_told(
    arguments: str, message: str, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(video), *FAKE, "--max-frames", "1", *arguments.split()]) == 0
    assert message in capsys.readouterr().err


def test_how_often_to_ask_an_address_is_not_told_to_be_without_effect() -> None:
    arguments = parse_arguments(["http://camera/snap.jpg", "--fps", "2", "--mjpg"])
    lines = pointless(arguments, camera=False, video=True, polled=True)
    assert lines == ["--mjpg: no effect, as the source is not a camera"]


def test_a_backend_that_does_not_fit_the_model(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(video), "--headless", "--detector", "haar", "--backend", "onnx"]) == 2
    assert "--backend onnx does not run fer_int8.tflite; leave --backend out" in capsys.readouterr().err


def test_the_hint_of_mqtt_is_one_that_is_taken() -> None:
    with pytest.raises(UsageError) as caught:
        parse_broker("broker.local")
    assert "PASSWORD@" not in str(caught.value)
    assert "FER_MQTT_PASSWORD" in str(caught.value)


def test_addresses_to_open() -> None:
    assert reachable("127.0.0.1") == ["127.0.0.1"]
    assert reachable("::1") == ["[::1]"]
    assert reachable("pi.local") == ["pi.local"]
    for everywhere, here in (("0.0.0.0", "127.0.0.1"), ("::", "[::1]")):
        found = reachable(everywhere)
        assert found[0] == here
        assert everywhere not in found


def test_without_a_network_there_is_still_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", connect)
    assert reachable("0.0.0.0") == ["127.0.0.1"]


def test_what_is_shown_can_be_opened(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("uvicorn", reason="the extra web is not installed")
    common = [str(video), *FAKE, "--max-frames", "1"]
    monkeypatch.setenv("FER_WEB_TOKEN", "s3cret-token")
    assert main([*common, "--web", "0.0.0.0:0"]) == 0
    err = capsys.readouterr().err
    assert "://0.0.0.0" not in err
    assert "s3cret" not in err
    assert re.search(r"watch at http://127\.0\.0\.1:\d+/\?token=\.\.\.", err)
    monkeypatch.delenv("FER_WEB_TOKEN")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert main([*common, "--web", str(port)]) == 0
    assert f"watch at http://127.0.0.1:{port}/\n" in capsys.readouterr().err
    assert main([*common, "--metrics", "127.0.0.1:0"]) == 0
    assert re.search(r"metrics for Prometheus at http://127\.0\.0\.1:\d+/metrics", capsys.readouterr().err)
    assert main([*common, "--web", "0.0.0.0:0"]) == 2
    err = capsys.readouterr().err
    assert "FER_WEB_TOKEN=" in err  # not what is warned of afterwards: the token on the command line
    assert "--web-token " not in err


def test_the_page_has_an_icon(serve: Callable[..., Page]) -> None:
    page = serve(token="s3cret-token")
    for path in ("/favicon.ico", "/favicon.svg"):  # browsers ask for it before they have a cookie
        status, headers, body = page.get(path)
        assert status == 200
        assert headers["content-type"].startswith("image/svg+xml")
        assert body.startswith(b"<svg")


def test_one_source_in_a_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a.jpg", "b.jpg", "--print-config"]) == 2
    assert "takes one source, not 2" in capsys.readouterr().err
    assert main(["a.jpg", "--print-config"]) == 0
    assert '\nsource = "a.jpg"\n' in capsys.readouterr().out
    assert parse_arguments([]).inputs == ["0"]
