"""Properties that hold for every input: preprocessing, quantisation, tracking, smoothing (by hypothesis)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fer_edge.errors import InputError
from fer_edge.faces.tracks import MIN_OVERLAP, Tracker, match_boxes, overlap
from fer_edge.inference.tensors import TensorSpec, dequantize, quantize
from fer_edge.labels import EMOTIONS
from fer_edge.preprocess import crop_square, preprocess_face, resize_gray, to_float_input, to_gray, to_int8_input

CALM = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""No deadline: a busy machine is not a fault of the code."""


@st.composite
def images(draw: st.DrawFn) -> npt.NDArray[np.uint8]:
    height, width, channels = draw(st.integers(1, 300)), draw(st.integers(1, 300)), draw(st.sampled_from([0, 1, 3, 4]))
    shape = (height, width, channels) if channels else (height, width)
    drawn: npt.NDArray[np.uint8] = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(
        0, 256, shape, dtype=np.uint8
    )
    return drawn


def touches(image: Any, box: tuple[int, int, int, int]) -> bool:
    x, y, w, h = box
    return x < image.shape[1] and y < image.shape[0] and x + w > 0 and y + h > 0


coordinates = st.integers(-400, 400)
boxes = st.tuples(coordinates, coordinates, st.integers(1, 400), st.integers(1, 400))
probabilities = st.lists(st.floats(0.0, 1.0, width=32), min_size=7, max_size=7)


@CALM
@given(image=images(), box=boxes, size=st.sampled_from([1, 8, 48, 96, 224]))
def test_any_box_in_any_image_gives_a_face(image: Any, box: tuple[int, int, int, int], size: int) -> None:
    if not touches(image, box):
        with pytest.raises(InputError, match="does not lie in an image"):
            preprocess_face(image, size, box)
        return
    face = preprocess_face(image, size, box)
    assert face.shape == (size, size)
    assert face.dtype == np.uint8
    # Resizing and cropping invent no brightness that is not in the picture.
    gray = to_gray(image)
    assert gray.min() <= face.min() <= face.max() <= gray.max()


@CALM
@given(level=st.integers(0, 255), height=st.integers(1, 300), width=st.integers(1, 300), size=st.integers(1, 230))
def test_a_plain_picture_stays_plain(level: int, height: int, width: int, size: int) -> None:
    assert np.all(resize_gray(np.full((height, width), level, np.uint8), size) == level)


@CALM
@given(image=images(), box=boxes)
def test_a_crop_is_square(image: Any, box: tuple[int, int, int, int]) -> None:
    assume(touches(image, box))
    crop = crop_square(image, box)
    assert crop.shape[:2] == (max(box[2:]),) * 2
    # OpenCV drops the last axis of one channel when it pads; to_gray takes both.
    assert crop.shape[2:] in (image.shape[2:], () if image.shape[2:] == (1,) else image.shape[2:])


@CALM
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 20))
def test_both_inputs_mean_the_same_number_and_lose_nothing(seed: int, size: int) -> None:
    faces = np.random.default_rng(seed).integers(0, 256, (2, size, size), dtype=np.uint8)
    stored, real = to_int8_input(faces), to_float_input(faces)
    assert np.array_equal(stored.astype(np.float32) / 128, real)
    assert np.array_equal(stored[..., 1].astype(int) + 128, faces)


@st.composite
def specs(draw: st.DrawFn) -> TensorSpec:
    dtype: np.dtype[Any] = np.dtype(draw(st.sampled_from(["int8", "uint8"])))
    info = np.iinfo(dtype)
    scale = draw(st.floats(2.0**-12, 4.0, width=32))
    return TensorSpec("t", (1, 7), dtype, scale, draw(st.integers(info.min, info.max)))


@CALM
@given(spec=specs(), numbers=st.lists(st.floats(-2000, 2000, width=32), min_size=1, max_size=20))
def test_a_quantised_number_is_the_nearest_that_can_be_said(spec: TensorSpec, numbers: list[float]) -> None:
    real = np.array(numbers, np.float32)
    info = np.iinfo(spec.dtype)
    low, high = ((bound - spec.zero_point) * spec.scale for bound in (info.min, info.max))
    back = dequantize(quantize(real, spec), spec)
    # Half a step, and the rounding of float32 itself
    allowed = 0.5 * spec.scale + 1e-6 * np.maximum(np.abs(real), spec.scale * 256)
    assert np.all(np.abs(back - np.clip(real, low, high)) <= allowed)


@CALM
@given(spec=specs())
def test_every_stored_value_survives(spec: TensorSpec) -> None:
    info = np.iinfo(spec.dtype)
    stored = np.arange(info.min, info.max + 1).astype(spec.dtype)
    assert np.array_equal(quantize(dequantize(stored, spec), spec), stored)
    assert np.all(np.diff(dequantize(stored, spec)) > 0)


@CALM
@given(a=boxes, b=boxes)
def test_overlap_is_a_symmetric_fraction(a: Any, b: Any) -> None:
    assert overlap(a, b) == overlap(b, a)
    assert 0.0 <= overlap(a, b) <= 1.0
    assert overlap(a, a) == 1.0


@CALM
@given(old=st.lists(boxes, max_size=8), new=st.lists(boxes, max_size=8))
def test_boxes_are_matched_once_and_only_where_they_overlap(old: Any, new: Any) -> None:
    matched = match_boxes(old, new)
    assert len(set(matched.values())) == len(matched)
    assert all(overlap(old[i], new[j]) >= MIN_OVERLAP for j, i in matched.items())


frames = st.lists(
    st.tuples(st.floats(0.001, 2.0), st.lists(st.tuples(boxes, probabilities), max_size=4)), min_size=1, max_size=12
)


@CALM
@given(frames=frames, smoothing_s=st.sampled_from([0.0, 0.05, 0.2, 3.0]), least=st.sampled_from([0.0, 0.5]))
def test_tracking_keeps_its_promises(frames: Any, smoothing_s: float, least: float) -> None:
    tracker = Tracker(smoothing_s=smoothing_s, min_confidence=least)
    time_s = 0.0
    seen_at: dict[int, float] = {}
    bounds: dict[int, tuple[Any, Any]] = {}
    for step, faces in frames:
        time_s += step
        raw = np.array([p for _, p in faces], np.float32).reshape(-1, 7)
        answers = tracker.update(time_s, [box for box, _ in faces], raw)
        assert len(answers) == len(faces)
        numbers = [answer.track_id for answer in answers]
        assert len(set(numbers)) == len(numbers)
        for answer, one in zip(answers, raw, strict=True):
            # Identities are never given again after they were lost.
            if answer.track_id in seen_at:
                assert time_s - seen_at[answer.track_id] <= 1.0
            else:
                assert answer.track_id > max(seen_at, default=0)
            seen_at[answer.track_id] = time_s
            # An average lies between the least and the greatest that went into it.
            low, high = bounds.get(answer.track_id, (one, one))
            low, high = np.minimum(low, one), np.maximum(high, one)
            bounds[answer.track_id] = low, high
            assert np.all(answer.probabilities >= low - 1e-5)
            assert np.all(answer.probabilities <= high + 1e-5)
            assert answer.emotion is None or answer.emotion in EMOTIONS
            if answer.emotion is not None:
                assert answer.probabilities[EMOTIONS.index(answer.emotion)] >= least


@pytest.mark.parametrize("rate", [5.0, 25.0, 100.0])
def test_smoothing_means_the_same_at_any_frame_rate(rate: float) -> None:
    """After one time constant a change has come through to 1 - 1/e, give or take a frame."""
    tracker, box = Tracker(smoothing_s=0.4), (0, 0, 50, 50)
    before, after = np.eye(7, dtype=np.float32)[:2]
    for i in range(int(4 * rate)):
        tracker.update(i / rate, [box], before[None])
    for i in range(int(4 * rate), int(4.4 * rate)):
        (answer,) = tracker.update(i / rate, [box], after[None])
    assert answer.probabilities[1] == pytest.approx(1 - np.exp(-1.0), abs=0.02)
