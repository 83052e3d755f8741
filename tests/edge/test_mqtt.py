"""MQTT against a real mosquitto (Debian's package), where there is one."""

from __future__ import annotations

import gc
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.edge.mqtt_broker import MOSQUITTO, Broker, board, result, wait_for

from fer_edge.app.cli import main
from fer_edge.errors import MissingDependencyError, UsageError
from fer_edge.outputs import mqtt
from fer_edge.outputs.camera_name import default_name
from fer_edge.outputs.home_assistant import device_message
from fer_edge.outputs.mqtt import MqttPublisher, client_id, parse_broker, state_of


def test_broker_addresses() -> None:
    broker = parse_broker("mqtts://ada:p%40ss@broker.local/home/door")
    assert (broker.host, broker.port, broker.tls, broker.user, broker.password, broker.base) == (
        "broker.local",
        8883,
        True,
        "ada",
        "p@ss",
        "home/door",
    )
    plain = parse_broker("mqtt://10.0.0.2:1884", "from the environment")
    assert (broker.own_topic, plain.own_topic) == (True, False)  # a --name tells cameras apart only without one
    assert (plain.port, plain.tls, plain.user, plain.password) == (1884, False, None, "from the environment")
    assert plain.base.startswith("fer-camera/")
    for wrong in ("broker.local", "http://broker", "mqtt://", "mqtt://h:port", "mqtt://h:99999", "mqtt://h/a/+/b"):
        with pytest.raises(UsageError, match="--mqtt"):
            parse_broker(wrong)


def test_state_is_of_the_largest_face() -> None:
    state = state_of(result("surprise", n_faces=3), 12.345)
    assert state == {"emotion": "surprise", "confidence": pytest.approx(70.0), "faces": 3, "fps": 12.3}
    assert state_of(result(None), 0.0)["emotion"] == "uncertain"
    assert state_of(result(n_faces=0), 0.0) == {"emotion": "nobody", "confidence": 0.0, "faces": 0, "fps": 0.0}


def test_without_paho(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("paho.mqtt", "paho.mqtt.client"):  # the second may be loaded already
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match="pip install paho-mqtt"):
        MqttPublisher(parse_broker("mqtt://127.0.0.1"), board())


def test_publishes_announces_and_says_goodbye(broker: Broker, heard: dict[str, list[bytes]]) -> None:
    sink = MqttPublisher(parse_broker(f"mqtt://127.0.0.1:{broker.port}/cam"), board())
    wait_for(lambda: heard.get("cam/availability") == [b"online"])
    wait_for(lambda: len([topic for topic in heard if topic.startswith("homeassistant/")]) == 1)
    for _ in range(50):
        sink.write(result())
    wait_for(lambda: "cam/faces" in heard and "cam/state" in heard)
    assert json.loads(heard["cam/faces"][0])["faces"][0]["emotion"] == "happy"
    assert json.loads(heard["cam/state"][0])["emotion"] == "happy"
    time.sleep(0.2)
    assert len(heard["cam/faces"]) == 1  # not fifty
    sink.close()
    wait_for(lambda: heard["cam/availability"] == [b"online", b"offline"])


def test_last_will_when_the_program_dies(broker: Broker, heard: dict[str, list[bytes]]) -> None:
    sink = MqttPublisher(parse_broker(f"mqtt://127.0.0.1:{broker.port}/cam"), board())
    wait_for(lambda: heard.get("cam/availability") == [b"online"])
    connection = sink._client.socket()
    sink._client.loop_stop()
    assert isinstance(connection, socket.socket)
    connection.shutdown(socket.SHUT_RDWR)  # as a killed process leaves it
    wait_for(lambda: heard["cam/availability"] == [b"online", b"offline"])
    connection.close()


def test_a_broker_that_comes_back_is_greeted_again(
    broker: Broker, heard: dict[str, list[bytes]], notices: list[str]
) -> None:
    sink = MqttPublisher(parse_broker(f"mqtt://127.0.0.1:{broker.port}/cam"), board())
    wait_for(lambda: heard.get("cam/availability") == [b"online"])
    broker.stop()
    wait_for(lambda: notices)
    assert "is lost" in notices[0]
    began = time.monotonic()
    for _ in range(100):
        sink.write(result())  # dropped, without waiting
    assert time.monotonic() - began < 0.5
    broker.start()
    wait_for(lambda: len(heard["cam/availability"]) >= 2, 15.0)
    sink.write(result("surprise"))
    wait_for(lambda: any(b"surprise" in payload for payload in heard.get("cam/state", [])))
    sink.close()


def test_a_broker_that_is_not_there_yet(broker: Broker, heard: dict[str, list[bytes]]) -> None:
    broker.stop()
    sink = MqttPublisher(parse_broker(f"mqtt://127.0.0.1:{broker.port}/cam"), board())
    sink.write(result())
    broker.start()
    wait_for(lambda: b"online" in heard.get("cam/availability", []), 15.0)
    sink.close()


def two(broker: Broker, first: str, second: str, **options: Any) -> tuple[MqttPublisher, MqttPublisher]:
    address = f"mqtt://127.0.0.1:{broker.port}"
    one = MqttPublisher(parse_broker(address, name=default_name(first)), board(), **options)
    wait_for(one._connected.is_set)
    other = MqttPublisher(parse_broker(address, name=default_name(second)), board(), **options)
    wait_for(other._connected.is_set)
    return one, other


def test_two_cameras_of_one_host_live_side_by_side(
    broker: Broker, heard: dict[str, list[bytes]], notices: list[str]
) -> None:
    one, other = two(broker, "0", "rtsp://me:s3cret@cam.local/live")
    wait_for(lambda: len([topic for topic in heard if topic.startswith("homeassistant/")]) == 2)
    devices = [json.loads(heard[topic][0]) for topic in heard if topic.startswith("homeassistant/")]
    assert len({c["unique_id"] for payload in devices for c in payload["components"].values()}) == 8
    assert len({payload["device"]["identifiers"][0] for payload in devices}) == 2
    assert len({payload["device"]["name"] for payload in devices}) == 2
    one.write(result("happy"))
    other.write(result("sad"))
    wait_for(lambda: len([topic for topic in heard if topic.endswith("/state")]) == 2)
    time.sleep(1.5)  # the one that was thrown out came back after a second
    assert one._connected.is_set()
    assert other._connected.is_set()
    assert notices == []
    assert not any("s3cret" in topic or b"s3cret" in b"".join(heard[topic]) for topic in heard)
    one.close()
    other.close()


@pytest.mark.parametrize("protocol", [5, 4])
def test_a_clash_is_named_and_not_fought(
    broker: Broker, notices: list[str], protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "RETRY_S", (1, 1))
    monkeypatch.setattr(mqtt, "CLASHES", 2)
    one, other = two(broker, "0", "0", protocol=protocol)
    wait_for(lambda: one.clashed or other.clashed, 15.0)
    loser, winner = (one, other) if one.clashed else (other, one)
    wait_for(winner._connected.is_set, 15.0)
    said = [notice for notice in notices if "another client uses our client id" in notice]
    assert len(said) == 1
    assert "--name or a /TOPIC in --mqtt" in said[0]
    time.sleep(1.5)
    assert winner._connected.is_set()
    assert not loser._connected.is_set()
    loser.write(result())
    one.close()
    other.close()


def test_a_broker_of_mqtt_3_is_spoken_to_in_its_own_way() -> None:
    pytest.importorskip("paho.mqtt", reason="the extra mqtt is not installed")
    levels: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        sink = MqttPublisher(parse_broker(f"mqtt://127.0.0.1:{server.getsockname()[1]}/cam"), board())
        server.settimeout(10)
        for answer in (b"\x20\x02\x00\x01", b"\x20\x02\x00\x00"):  # MQTT 3.1.1, 3.2.2.3: wrong level; accepted
            connection = server.accept()[0]
            levels.append(connection.recv(1000)[8])
            connection.sendall(answer)
            if answer.endswith(b"\x01"):
                connection.close()
        wait_for(sink._connected.is_set)
        connection.close()
        sink._client.disconnect()
        sink._client.loop_stop()
    assert levels == [5, 4]


def test_names_of_cameras() -> None:
    sources = ["0", "1", "/dev/video2", "picamera", "picamera:1", "a/v.mp4", "b/v.mp4", "http://cam/1", "http://cam/2"]
    sources += ["rtsp://cam:554/live", "rtsp://cam:555/live", "http://cam/?channel=1", "http://cam/?channel=2"]
    assert len(set(map(default_name, sources))) == len(sources)
    assert default_name("0") == default_name("0") == default_name("/dev/video0")
    # Who logs in, and with which password, is not which camera it is.
    names = {default_name(f"http://{who}cam/?pwd={pwd}&channel=1") for who in ("", "me:a@", "you:b/c@") for pwd in "xy"}
    assert len(names) == 1
    for source in sources:
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,130}", default_name(source))
    first, second = (parse_broker("mqtt://h", name=default_name(source)) for source in "01")
    assert client_id(first.base) != client_id(second.base)
    assert len(client_id(first.base)) == 23
    devices = [device_message(base)["device"] for base in ("a b", "a/b", "a.b")]
    assert len({device["identifiers"][0] for device in devices}) == 3
    assert parse_broker("mqtt://h", name="Front door").base == "fer-camera/Front_door"
    assert device_message("b", "Front door")["device"]["name"] == "Front door"
    assert parse_broker("mqtt://me:a/b@c@h/t").password == "a/b@c"


def test_the_option_name(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ("", "a/b", "#", "+", "x" * 65, "..."):
        assert main(["0", "--mqtt", "mqtt://h", "--name", wrong]) == 2
        assert "--name" in capsys.readouterr().err


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def tls_broker(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A mosquitto that speaks TLS only and wants ada's password; its port, and the certificate to trust."""
    pytest.importorskip("paho.mqtt", reason="the extra mqtt is not installed")
    if MOSQUITTO is None or shutil.which("openssl") is None or shutil.which("mosquitto_passwd") is None:
        pytest.skip("mosquitto or openssl is not installed")
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    openssl(tmp_path, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k.pem", "-out", "c.pem", *subject)
    (tmp_path / "users").touch(mode=0o600)
    command = ["mosquitto_passwd", "-b", str(tmp_path / "users"), "ada", "s3cret"]
    subprocess.run(command, check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    lines = [f"listener {port} 127.0.0.1", "allow_anonymous false", f"password_file {tmp_path / 'users'}"]
    lines += [f"certfile {tmp_path / 'c.pem'}", f"keyfile {tmp_path / 'k.pem'}", "user root"]
    (tmp_path / "m.conf").write_text("\n".join(lines) + "\n")
    process = subprocess.Popen([MOSQUITTO, "-c", str(tmp_path / "m.conf")], stderr=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            return False
        return True

    wait_for(answers)
    yield port, tmp_path / "c.pem"
    process.kill()
    process.wait()


def test_tls_and_a_password(tls_broker: tuple[int, Path], notices: list[str]) -> None:
    port, certificate = tls_broker
    broker = parse_broker(f"mqtts://ada@localhost:{port}/cam", "s3cret")
    sink = MqttPublisher(broker, board(), ca_file=str(certificate))
    wait_for(sink._connected.is_set, 15.0)
    sink.close()
    assert notices == []
    wrong = MqttPublisher(parse_broker(f"mqtts://ada@localhost:{port}/cam", "no"), board(), ca_file=str(certificate))
    wait_for(lambda: notices, 15.0)
    assert "refuses us" in notices[0]
    wrong.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho does not close the socket
def test_a_broker_whose_certificate_is_not_trusted_hears_nothing(
    tls_broker: tuple[int, Path], notices: list[str]
) -> None:
    port, _ = tls_broker
    sink = MqttPublisher(parse_broker(f"mqtts://ada@localhost:{port}/cam", "s3cret"), board())
    wait_for(lambda: notices, 15.0)
    assert "cannot be reached (self-signed certificate)" in notices[0]
    sink.write(result())
    assert not sink._connected.is_set()
    gc.collect()
    sink.close()


def test_certificates_that_are_none_and_passwords_in_the_open(tmp_path: Path, notices: list[str]) -> None:
    pytest.importorskip("paho.mqtt", reason="the extra mqtt is not installed")
    (tmp_path / "c.pem").write_text("no certificate")
    for name in ("c.pem", "missing.pem"):
        with pytest.raises(UsageError, match="expected certificates"):
            MqttPublisher(parse_broker("mqtts://localhost"), board(), ca_file=str(tmp_path / name))
    MqttPublisher(parse_broker("mqtt://ada@192.0.2.1", "s3cret"), board()).close()
    assert "unencrypted" in notices[0]
    assert not any("s3cret" in notice for notice in notices)
