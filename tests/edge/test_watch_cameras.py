"""``fer-camera`` with several cameras as the user meets it: configuration, outputs, signals, exit codes."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.edge.mqtt_broker import Broker

from fer_edge.app.cli import main, parse_arguments
from fer_edge.app.reload import changes_between
from fer_edge.errors import UsageError

tomllib = pytest.importorskip("tomllib", reason="configuration files need Python 3.11")
RUN_CAMERA = Path(__file__).parents[2] / "edge" / "run_camera.py"
COMMON = (
    'headless = true\nbackend = "fake"\ndetector = "haar"\ndetect-width = 160\ndetect-every = 8\nopencv-threads = 1\n'
)
FAKE = ["--headless", "--backend", "fake", "--detector", "haar"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "cameras.toml"


def write(config: Path, cameras: dict[str, str], common: str = COMMON) -> None:
    tables = "".join(f'[[camera]]\nname = "{name}"\n{text}\n' for name, text in cameras.items())
    config.write_text(f"{common}\n{tables}")


def looped(video: Path, more: str = "") -> str:
    return f"source = '{video}'\nrealtime = true\nloop = true\n{more}"


class Running:
    """The command in a process of its own."""

    def __init__(self, *arguments: str | Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(RUN_CAMERA), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a test has no terminal, and neither has this
        )

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        if self.process.poll() is None:
            self.process.send_signal(number)
        err = self.process.communicate(timeout=20)[1]
        return self.process.returncode, err

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def begin(*arguments: str | Path) -> Running:
        running.append(Running(*arguments))
        return running[-1]

    yield begin
    for each in running:
        each.kill()


def lines_of(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def by_camera(path: Path) -> Counter[str]:
    return Counter(line["camera"] for line in lines_of(path) if "camera" in line)


def wait_for(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def test_cameras_of_a_file(config: Path) -> None:
    config.write_text(
        'detect-every = 2\nhistory = "h.db"\n'
        '[[camera]]\nname = "front door"\nsource = "rtsp://cam/live"\nrotate = 90\nmax-fps = 5\njsonl = "door.jsonl"\n'
        "[[camera]]\nsource = 1\ndetect-every = 3\nmotion = false\n"
    )
    arguments = parse_arguments(["--config", str(config), "--margin", "0.2"])
    door, other = arguments.cameras
    assert (door.name, other.name) == ("front door", "camera1")
    assert (door.arguments.rotate, door.arguments.max_fps, door.arguments.detect_every) == (90, 5.0, 2)
    assert (other.arguments.source, other.arguments.detect_every, other.arguments.motion) == ("1", 3, False)
    assert (door.arguments.jsonl, other.arguments.jsonl) == ("door.jsonl", None)
    assert {camera.arguments.margin for camera in arguments.cameras} == {0.2}
    assert arguments.inputs == ["rtsp://cam/live", "1"]
    typed = parse_arguments(["--config", str(config), "--detect-every", "7"])  # the command line counts more
    assert {camera.arguments.detect_every for camera in typed.cameras} == {7}


def test_several_sources_of_a_command_line() -> None:
    arguments = parse_arguments(["--source", "rtsp://me:pw@a/live", "--source", "0", "--source", "x/v.mp4", "--flip"])
    assert [camera.name for camera in arguments.cameras] == ["a", "camera0", "v"]
    assert all(camera.arguments.flip for camera in arguments.cameras)
    same_host = parse_arguments(["--source", "rtsp://a/1", "--source", "rtsp://a/2"])
    names = [camera.name for camera in same_host.cameras]
    assert len({*names}) == 2
    assert all(name.startswith("a-") for name in names)
    assert parse_arguments(["--source", "0"]).cameras == []
    assert parse_arguments(["a.mp4", "b.mp4"]).cameras == []  # one after the other, as before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[camera]]\nname = "a"', "camera a: expected one source"),
        ('[[camera]]\nname = "a"\nsource = 0\n[[camera]]\nname = "A"\nsource = 1', "two cameras of one name, a and A"),
        ('[[camera]]\nname = "a b"\nsource = 0\n[[camera]]\nname = "a_b"\nsource = 1', "two cameras of one name"),
        ("[[camera]]\nsource = 0\n[[camera]]\nsource = 0", "two cameras of one name, camera0"),
        ("[[camera]]\nsource = 0\nrotates = 90", "unknown option rotates; did you mean rotate?"),
        ('[[camera]]\nsource = 0\nweb = "8080"', "web is of all cameras; put it above the first [[camera]]"),
        ("[[camera]]\nsource = 0\nrotate = 45", "camera 1: argument --rotate: invalid choice"),
        ('name = "x"\n[[camera]]\nsource = 0', "--name is of one camera"),
        ("source = 1\n[[camera]]\nsource = 0", "a source, 1, besides [[camera]] tables"),
        ("camera = 3", "expected one table [[camera]] for each camera"),
        ('[[camera]]\nname = "a/b"\nsource = 0', "expected a name such as front-door"),
    ],
)
def test_mistakes_in_tables(config: Path, text: str, message: str) -> None:
    config.write_text(text)
    with pytest.raises(UsageError) as caught:
        parse_arguments(["--config", str(config)])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_and_windows_on_the_command_line(capsys: pytest.CaptureFixture[str], video: Path) -> None:
    two = ["--source", str(video), "--source", "rtsp://a/b"]
    for arguments, message in (
        ([*two, "--name", "x"], "--name x with 2 sources"),
        ([*two, "--no-headless", "--backend", "fake"], "a window shows one camera; watch several with --web 8080"),
        (["--source", str(video), "--source", str(video)], "two cameras of one name, scene-"),
        ([*two, "--save", "one.mp4"], "--save one.mp4: one file for several videos; give a folder"),
        ([*two, "--jsonl", str(video)], "would write over the source"),
        ([str(video), *two], "two sources"),
    ):
        assert main(arguments) == 2, arguments
        assert message in capsys.readouterr().err


def test_the_printed_configuration_means_the_same(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(config, {"a": "source = 0\nrotate = 90\nflip = true", "b": 'source = "rtsp://x/y"\njsonl = "b.jsonl"'})
    before = parse_arguments(["--config", str(config)])
    assert main(["--config", str(config), "--print-config"]) == 0
    config.write_text(capsys.readouterr().out)
    after = parse_arguments(["--config", str(config)])
    assert changes_between(before, after).summary() == "nothing has changed"
    for old, new in zip(before.cameras, after.cameras, strict=True):
        assert vars(old.arguments) == vars(new.arguments)


def test_what_changes_between_two_readings(config: Path) -> None:
    def read(text: str) -> Any:
        config.write_text(text)
        return parse_arguments(["--config", str(config)])

    a, b, c = (
        '[[camera]]\nname = "a"\nsource = 0\n',
        '[[camera]]\nname = "b"\nsource = 1\n',
        "[[camera]]\nsource = 2\n",
    )
    before = read(f'jsonl = "x"\nweb = "8080"\n{a}{b}')
    changes = changes_between(before, read(f'jsonl = "x"\nweb = "8080"\n{a}flip = true\n{c}'))
    assert (changes.added, changes.removed, changes.changed) == (("camera2",), ("b",), ("a",))
    assert (changes.outputs, changes.engine) == ((), False)
    changes = changes_between(before, read(f'jsonl = "y"\nweb = "8081"\nquiet = true\n{a}{b}'))
    assert (changes.changed, changes.outputs, changes.later) == ((), ("web", "jsonl"), ("quiet",))
    changes = changes_between(before, read(f'jsonl = "x"\nweb = "8080"\ndetect-width = 640\n{a}{b}'))
    assert (changes.changed, changes.engine) == (("a", "b"), True)
    changes = changes_between(before, read(f'jsonl = "x"\nweb = "8080"\nmqtt = "mqtt://h"\n{a}{b}'))
    assert (changes.changed, changes.outputs) == (("a", "b"), ())  # each has its own connection


def test_two_videos_at_once(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = shutil.copy(video, tmp_path / "other.avi")
    lines = tmp_path / "all.jsonl"
    saved = tmp_path / "saved"
    arguments = ["--source", str(video), "--source", str(other), *FAKE, "--jsonl", str(lines), "--save", f"{saved}/"]
    assert main(arguments) == 0
    assert by_camera(lines) == {"scene": 12, "other": 12}
    for name in ("scene", "other"):
        assert [line["frame"] for line in lines_of(lines) if line["camera"] == name] == list(range(12))
    assert sorted(path.name for path in saved.iterdir()) == ["other.mp4", "scene.mp4"]
    captured = capsys.readouterr()
    assert captured.out.splitlines() != []
    assert all(line.startswith(("scene: ", "other: ")) for line in captured.out.splitlines())
    [summary] = captured.err.splitlines()
    assert summary.startswith("fer-camera: 2 cameras, 24 frames, ")


def test_one_of_several_fails_and_the_others_go_on(
    video: Path, tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.jsonl"
    write(config, {"good": f"source = '{video}'\njsonl = '{own}'", "bad": "source = 'missing.mp4'"})
    assert main(["--config", str(config)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "camera bad is left out: no source missing.mp4" in line]) == 1
    assert by_camera(own) == {"good": 12}


def test_none_can_be_opened(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(config, {"a": "source = 'missing.mp4'", "b": "source = 'none.mp4'"})
    assert main(["--config", str(config)]) == 2
    assert "none of the 2 cameras can be opened; the last: no source" in capsys.readouterr().err


def test_an_output_that_cannot_be_opened(video: Path, tmp_path: Path, config: Path) -> None:
    """Each camera's own are opened with its source: that is an error all the same."""
    write(config, {"a": f"source = '{video}'\nsave = '{tmp_path}/x.txt'", "b": looped(video)})
    assert main(["--config", str(config)]) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_soon(
    start: Callable[..., Running], video: Path, tmp_path: Path, config: Path, number: int
) -> None:
    """Also beside an address that nobody answers: its connection is waited for by a thread of its own."""
    lines = tmp_path / "all.jsonl"
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        address = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/x"
        write(config, {"a": looped(video), "b": looped(video), "mute": f'source = "{address}"'})
        running = start("--config", config, "--jsonl", lines, "--save", f"{tmp_path}/saved/")
        wait_for(lambda: min(by_camera(lines)[name] for name in "ab") > 5)
        began = time.monotonic()
        code, err = running.end(number)
        assert time.monotonic() - began < 8.0
    assert code == 0
    assert "fer-camera: 3 cameras, " in err
    assert "Traceback" not in err
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {"a.mp4", "b.mp4"}


def test_sighup_restarts_only_what_has_changed(
    start: Callable[..., Running], video: Path, tmp_path: Path, config: Path
) -> None:
    lines = tmp_path / "all.jsonl"
    write(config, {"stays": looped(video), "goes": looped(video), "turns": looped(video)})
    running = start("--config", config, "--jsonl", lines)
    wait_for(lambda: min(by_camera(lines)[name] for name in ("stays", "goes", "turns")) > 5)
    write(config, {"stays": looped(video), "turns": looped(video, "rotate = 90"), "comes": looped(video)})
    running.process.send_signal(signal.SIGHUP)
    wait_for(lambda: by_camera(lines)["comes"] > 5)
    gone = by_camera(lines)["goes"]
    config.write_text("camera = 7\n")  # a mistake changes nothing
    running.process.send_signal(signal.SIGHUP)
    n_stays = by_camera(lines)["stays"]
    wait_for(lambda: by_camera(lines)["stays"] > n_stays + 20)
    assert by_camera(lines)["goes"] == gone
    code, err = running.end()
    assert code == 0
    notices = [line for line in err.splitlines() if "configuration" in line]
    assert "added comes; removed goes; started again turns" in notices[0]
    assert "the configuration is not taken over: " in notices[1]
    frames = {
        name: [line["frame"] for line in lines_of(lines) if line.get("camera") == name] for name in ("stays", "turns")
    }
    assert frames["stays"] == sorted(frames["stays"])  # it was not begun again
    assert frames["turns"] != sorted(frames["turns"])


def test_figures_and_page_of_each_camera(
    start: Callable[..., Running], video: Path, tmp_path: Path, config: Path
) -> None:
    pytest.importorskip("uvicorn", reason="the extra web is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    write(config, {"front door": looped(video), "hall": looped(video, "max-fps = 2"), "none": "source = 'no.mp4'"})
    running = start("--config", config, "--web", str(port), "--history", tmp_path / "day.db")

    def get(path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            content: bytes = answer.read()
            return content

    def cameras() -> dict[str, Any]:
        try:
            return {each["camera"]: each for each in json.loads(get("/api/cameras"))}
        except OSError:
            return {}

    wait_for(lambda: cameras().get("hall", {}).get("status", {}).get("frames", 0) > 5)
    found = cameras()
    assert set(found) == {"front door", "hall"}  # the third has never been there
    assert found["front door"]["status"]["state"] == "running"
    assert found["front door"]["status"]["frames"] > found["hall"]["status"]["frames"]
    assert found["hall"]["status"]["fps"] < 4  # six frames into it, on a busy machine: 2.7 was seen
    assert json.loads(get("/camera/front%20door/api/faces"))["width"] == 320
    assert json.loads(get("/camera/hall/api/history")) == []  # it is written every ten seconds
    assert b"all cameras" in get("/camera/hall/")
    assert b"new EventSource" in get("/")
    wait_for(lambda: get("/camera/hall/picture")[:2] == b"\xff\xd8")
    text = get("/metrics").decode()
    assert 'fer_up{camera="hall"} 1' in text
    assert 'fer_emotions_total{camera="front door",emotion="happy"}' in text
    assert text.count("# TYPE fer_up gauge") == 1
    for path in ("/camera/nobody/", "/camera/nobody/video", "/api/faces"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(path)
        assert caught.value.code == 404
        caught.value.close()
    code, err = running.end()
    assert (code, "Traceback" in err) == (0, False)
    assert ((tmp_path / "day.db").stat().st_mode & 0o777) == 0o600


def test_brokers_topics_and_a_page_that_moves(
    start: Callable[..., Running],
    video: Path,
    config: Path,
    broker: Broker,
    heard: dict[str, list[bytes]],
) -> None:
    """Each camera has topics of its own; one that is taken out is taken back; an output of all may change its port."""
    pytest.importorskip("uvicorn", reason="the extra web is not installed")
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])
    common = COMMON + f'mqtt = "mqtt://127.0.0.1:{broker.port}/home"\n'
    write(config, {"a b": looped(video), "c": looped(video)}, f'{common}web = "{ports[0]}"\n')
    running = start("--config", config)
    announced = {f"homeassistant/device/home_{name}/config" for name in ("a_b", "c")}
    wait_for(lambda: {*heard} >= {"home/a_b/state", "home/c/state", "home/a_b/availability", *announced})
    assert json.loads(heard["home/c/faces"][-1])["camera"] == "c"
    assert json.loads(heard["homeassistant/device/home_a_b/config"][0])["device"]["name"] == "a b"
    write(config, {"a b": looped(video)}, f'{common}web = "{ports[1]}"\n')
    running.process.send_signal(signal.SIGHUP)
    wait_for(lambda: heard["homeassistant/device/home_c/config"][-1] == b"")
    assert heard["home/c/availability"][-2:] == [b"offline", b""]

    def cameras(port: int) -> list[str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/cameras", timeout=5) as answer:
                return [each["camera"] for each in json.loads(answer.read())]
        except OSError:
            return []

    wait_for(lambda: cameras(ports[1]) == ["a b"])
    assert cameras(ports[0]) == []
    assert heard["home/a_b/availability"] == [b"online"]  # it was left alone
    code, err = running.end()
    assert (code, "Traceback" in err) == (0, False)
    assert "removed c; opened again web" in err
