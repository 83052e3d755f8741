"""Large pictures of files: one at a time in memory, drawn on where they lie, and yet everybody gets the same."""

from __future__ import annotations

import contextlib
import inspect
import json
import pkgutil
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.edge.test_sinks import result

import fer_edge.outputs
from fer_edge.app.cli import main
from fer_edge.arrays import Image
from fer_edge.capture.files import VideoFile
from fer_edge.channel import Channel, ChannelClosed
from fer_edge.outputs.base import OutputRunner, hand_out
from fer_edge.outputs.draw import annotate
from fer_edge.results import Result

WITHOUT_OTHERS = {"ImageWriter", "ImageFolder", "Window"}
"""Of pictures, which are few, and on the screen, where the last one stays."""


class Taker:
    """Draws on the picture, as a recording does."""

    name = "taker"
    lossless = True
    wants_own = True

    def __init__(self) -> None:
        self.own: list[bool] = []
        self.pictures: list[Image] = []

    def write(self, result: Result) -> None:
        self.own.append(result.own)
        if result.own:
            result.image[:] = 0
        self.pictures.append(result.image)

    def close(self) -> None:
        pass


class Looker:
    """Looks at the picture for a while."""

    name = "looker"
    lossless = True
    lets_go = True

    def __init__(self, takes_s: float = 0.0) -> None:
        self.sums: list[int] = []
        self._takes_s = takes_s

    def write(self, result: Result) -> None:
        time.sleep(self._takes_s)
        self.sums.append(int(result.image.sum()))

    def close(self) -> None:
        pass


class Keeper(Looker):
    """An output of somebody's own that says nothing."""

    lets_go = False


@pytest.fixture
def runners() -> Iterator[Callable[..., list[OutputRunner]]]:
    made: list[OutputRunner] = []

    def make(*outputs: Taker | Looker) -> list[OutputRunner]:
        made.extend(OutputRunner(output, live=False) for output in outputs)
        return made

    yield make
    for runner in made:
        runner.close()


@pytest.mark.parametrize("first", [True, False])
def test_who_draws_gets_the_picture_last_and_for_itself(
    first: bool, runners: Callable[..., list[OutputRunner]]
) -> None:
    taker, lookers = Taker(), [Looker(), Looker(0.02)]
    given = runners(taker, *lookers) if first else runners(*lookers, taker)
    for index in range(4):
        hand_out(result(index), given)
        assert len(taker.own) == index + 1  # it has done with it
    seen = int(result().image.sum())
    assert taker.own == [True] * 4
    assert [looker.sums for looker in lookers] == [[seen] * 4] * 2


@pytest.mark.parametrize("other", [Looker(0.3), Keeper()])
def test_who_takes_long_or_says_nothing_keeps_its_picture(
    other: Looker, runners: Callable[..., list[OutputRunner]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_edge.outputs.base.SETTLE_S", 0.1)
    taker = Taker()
    given = runners(other, taker)
    for index in range(2):
        hand_out(result(index), given)
    for runner in given:
        runner.close()
    assert taker.own == [False] * 2
    assert other.sums == [int(result().image.sum())] * 2


def test_an_output_that_has_failed_is_not_waited_for(
    runners: Callable[..., list[OutputRunner]], notices: list[str]
) -> None:
    class Dead(Looker):
        def write(self, result: Result) -> None:
            raise OSError(28, "No space left on device")

    taker = Taker()
    given = runners(Dead(), taker)
    hand_out(result(), given)
    given[0].close()
    hand_out(result(), given)
    assert taker.own[1]
    assert len(notices) == 1


def test_without_an_output_that_draws_nothing_is_waited_for(runners: Callable[..., list[OutputRunner]]) -> None:
    slow = Looker(0.5)
    began = time.monotonic()
    hand_out(result(), runners(slow))
    assert time.monotonic() - began < 0.4


def test_every_output_says_what_it_does_with_pictures() -> None:
    outputs = set()
    for module in pkgutil.iter_modules(fer_edge.outputs.__path__, "fer_edge.outputs."):
        for name, kind in inspect.getmembers(import_module(module.name), inspect.isclass):
            if kind.__module__ == module.name and "lossless" in vars(kind):
                outputs.add(name)
                says = hasattr(kind, "lets_go") or hasattr(kind, "wants_own")
                assert says or name in WITHOUT_OTHERS or hasattr(kind, "forget"), name  # the latter: of several cameras
    assert len(outputs) >= 9


def test_a_channel_settles_when_its_last_item_is_done_with() -> None:
    channel: Channel[int] = Channel(2, weigh=lambda item: item, most=100)
    assert channel.settle(0)
    channel.put(5)
    assert not channel.settle(0)
    channel.get()
    assert not channel.settle(0.01)

    def ask_for_the_next() -> None:
        with contextlib.suppress(ChannelClosed):
            channel.get()

    asking = threading.Timer(0.05, ask_for_the_next)
    asking.start()
    assert channel.settle(5)
    channel.close()
    assert not channel.settle(5)
    asking.join()


def test_drawing_on_the_frame_itself_gives_the_same_picture() -> None:
    copy = annotate(result(), blur=True)
    itself = result()
    assert annotate(itself, blur=True, into=itself.image) is itself.image
    np.testing.assert_array_equal(itself.image, copy)


def read(film: Path, orientation: int, n_frames: int, *, loop: bool = False) -> list[tuple[int, float, bytes]]:
    source = VideoFile(film, orientation=orientation, loop=loop)
    frames = []
    for frame in source.frames():
        frames.append((frame.index, frame.time_s, np.ascontiguousarray(frame.image).tobytes()))
        source.decode_ahead()
        source.decode_ahead()  # harmless
        if len(frames) == n_frames:
            source.stop()
    return frames


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_large_films_give_the_same_frames(
    orientation: int, loop: bool, make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = make_video(tmp_path / "film.avi", n_frames=5)
    expected = read(film, orientation, 12, loop=loop)
    monkeypatch.setattr("fer_edge.capture.files._LARGE_PIXELS", 0)
    assert read(film, orientation, 12, loop=loop) == expected
    assert len(expected) == (12 if loop else 5)


@pytest.mark.parametrize("options", [[], ["--blur"], ["--rotate", "90"]])
def test_recordings_of_large_films_are_the_same(
    options: list[str], make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(name: str) -> tuple[bytes, list[dict[str, object]]]:
        saved, lines = tmp_path / f"{name}.avi", tmp_path / f"{name}.jsonl"
        command = [
            str(film),
            "--headless",
            "--detector",
            "haar",
            "--save",
            str(saved),
            "--jsonl",
            str(lines),
            "--quiet",
        ]
        assert main([*command, *options]) == 0
        reader = cv2.VideoCapture(str(saved))
        pictures = b"".join(reader.read()[1].tobytes() for _ in range(6))
        reader.release()
        return pictures, [json.loads(line) for line in lines.read_text().splitlines()]

    film = make_video(tmp_path / "film.avi", n_frames=6)
    own: list[bool] = []
    draw = annotate

    def watched(result: Result, *, blur: bool = False, into: Image | None = None) -> Image:
        own.append(into is result.image)
        return draw(result, blur=blur, into=into)

    monkeypatch.setattr("fer_edge.outputs.video.annotate", watched)
    expected = record("as_small")
    assert own == [False] * 6
    own.clear()
    monkeypatch.setattr("fer_edge.capture.files._LARGE_PIXELS", 0)
    monkeypatch.setattr("fer_edge.app.watch.FRAME_BYTES", 1)
    assert record("as_large") == expected
    assert own == [True] * 6
    assert any(line["faces"] for line in expected[1]) == ("--rotate" not in options)
