"""Large films are turned by a quarter with one picture's memory, and come out as any other."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.capture import files
from fer_edge.capture.files import VideoFile
from fer_edge.capture.lean_turn import LeanTurn
from fer_edge.capture.orientation import turn
from fer_edge.channel import Channel
from fer_edge.pipeline import _wait_for_end_of

pytestmark = pytest.mark.skipif(not LeanTurn.works(), reason="this system gives memory back as a whole only")
SIZES = [(2160, 3840), (3840, 2160), (2500, 2501), (64, 64), (65, 1), (1, 65), (300, 513), (70, 2000)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_rows_become_columns(height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    lean = LeanTurn(height, width)
    for orientation in range(5, 9):  # one after the other, in the same memory
        stored = rng.integers(0, 256, (height, width, 3), np.uint8)
        lean.picture[:] = stored
        turned = turn(lean.picture, orientation, transpose=lean.transposed)
        np.testing.assert_array_equal(turned, turn(stored, orientation))
        assert turned.strides[1:] == (3, 1) and not np.shares_memory(turned, lean.picture)


def test_another_picture_is_left_as_it_is() -> None:
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    kept = picture.copy()
    np.testing.assert_array_equal(LeanTurn(4, 6).transposed(picture), cv2.transpose(kept))
    np.testing.assert_array_equal(picture, kept)


def resident_kib() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="/proc is Linux's")
def test_nothing_stays_of_what_was_turned() -> None:
    """But the result, whose memory the C library may keep, and not the picture and its tiles besides."""
    lean = LeanTurn(2160, 3840)
    before = resident_kib()
    for _ in range(3):
        lean.picture[:] = 7
        turned = lean.transposed(lean.picture)
    assert turned.any() and resident_kib() - before < 1.4 * lean.picture.nbytes / 1024


@pytest.mark.parametrize("orientation", range(1, 9))
def test_films_are_alike_however_they_are_turned(
    video: Path, monkeypatch: pytest.MonkeyPatch, orientation: int
) -> None:
    plain = [frame.image for frame in VideoFile(video, orientation=orientation).frames()]
    monkeypatch.setattr(files, "_LARGE_PIXELS", 1000)
    source = VideoFile(video, orientation=orientation)
    assert (source._lean is not None) == (orientation >= 5)
    lean = [frame.image for frame in source.frames()]
    assert len(lean) == len(plain) > 5
    for one, other in zip(lean, plain, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_wait_for_a_picture_has_an_end() -> None:
    import time
    import weakref

    picture = np.zeros((4, 4, 3), np.uint8)
    began = time.monotonic()
    _wait_for_end_of(weakref.ref(picture), 0.05)
    assert 0.05 <= time.monotonic() - began < 5.0
    held: Channel[np.ndarray] = Channel(1)
    reference = weakref.ref(picture)
    held.put(picture)
    del picture
    held.get()
    began = time.monotonic()
    _wait_for_end_of(reference, 5.0)
    assert time.monotonic() - began < 4.0
