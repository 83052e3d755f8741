from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.faces.tracks import FORGET_AFTER_S, Tracker, match_boxes, overlap
from fer_edge.labels import EMOTIONS, NUM_EMOTIONS

BOX = (100, 100, 50, 50)


def raw(**probabilities: float) -> npt.NDArray[np.float32]:
    """One row of raw probabilities; what is left over goes to the emotions that are not named, equally."""
    rest = (1.0 - sum(probabilities.values())) / (NUM_EMOTIONS - len(probabilities))
    return np.array([[probabilities.get(name, rest) for name in EMOTIONS]], np.float32)


def test_overlap_is_intersection_over_union() -> None:
    assert overlap(BOX, BOX) == 1.0
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert overlap((0, 0, 10, 10), (10, 0, 10, 10)) == 0.0


def test_matching_takes_the_best_pairs_and_each_box_once() -> None:
    old = [(0, 0, 10, 10), (4, 0, 10, 10)]
    assert match_boxes(old, [(4, 0, 10, 10), (1, 0, 10, 10), (90, 90, 10, 10)]) == {0: 1, 1: 0}


def test_identity_follows_a_moving_face_whatever_the_order_of_the_boxes() -> None:
    tracker = Tracker()
    two = np.repeat(raw(happy=0.9), 2, axis=0)
    first = [a.track_id for a in tracker.update(0.0, [(0, 0, 40, 40), (200, 0, 40, 40)], two)]
    second = [a.track_id for a in tracker.update(0.04, [(205, 2, 40, 40), (6, 0, 40, 40)], two)]
    assert first == [1, 2]
    assert second == [2, 1]


def test_a_face_that_was_away_briefly_keeps_its_number_and_later_gets_a_new_one() -> None:
    tracker = Tracker()
    assert tracker.update(0.0, [BOX], raw(happy=0.9))[0].track_id == 1
    assert tracker.update(0.3, [], np.zeros((0, 7), np.float32)) == []
    assert tracker.update(0.6, [BOX], raw(happy=0.9))[0].track_id == 1
    assert tracker.update(0.7 + FORGET_AFTER_S, [BOX], raw(happy=0.9))[0].track_id == 2


def test_separate_pictures_share_no_identity() -> None:
    tracker = Tracker(follow=False)
    assert [tracker.update(float(t), [BOX], raw(sad=0.8))[0].track_id for t in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("fps", [5.0, 25.0, 100.0])
def test_smoothing_means_the_same_at_any_frame_rate(fps: float) -> None:
    """0.5 s after a step, an average with a time constant of 0.5 s has gone 1 - 1/e of the way."""
    tracker = Tracker(smoothing_s=0.5)
    for number in range(int(10 * fps)):
        tracker.update(number / fps, [BOX], raw(neutral=1.0))
    for number in range(int(10 * fps), int(10.5 * fps)):
        answer = tracker.update(number / fps, [BOX], raw(happy=1.0))[0]
    happy = answer.probabilities[EMOTIONS.index("happy")]
    assert happy == pytest.approx(1 - np.exp(-(0.5 - (0.5 * fps) % 1 / fps) / 0.5), abs=0.01)
    assert answer.probabilities.sum() == pytest.approx(1.0, abs=1e-5)


def test_average_of_the_smoothed_equals_average_of_the_raw() -> None:
    """Without bias: not the first frame, but all of them decide."""
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(7), 500).astype(np.float32)
    tracker = Tracker(smoothing_s=0.5)
    smooth = np.array([tracker.update(i / 25, [BOX], rows[i : i + 1])[0].probabilities for i in range(500)])
    np.testing.assert_allclose(smooth.mean(axis=0), rows.mean(axis=0), atol=0.015)


def test_first_frame_is_taken_as_it_is() -> None:
    np.testing.assert_allclose(Tracker().update(0.0, [BOX], raw(sad=0.7))[0].probabilities, raw(sad=0.7)[0], atol=1e-6)


def test_hysteresis_keeps_the_label_until_another_leads_clearly() -> None:
    rows = [raw(happy=0.45, sad=0.40), raw(happy=0.40, sad=0.45), raw(happy=0.36, sad=0.47), raw(happy=0.42, sad=0.44)]

    def labels(hysteresis: float) -> list[str | None]:
        # A time constant far below the frame distance: only the hysteresis acts.
        tracker = Tracker(smoothing_s=1e-3, hysteresis=hysteresis)
        return [tracker.update(i / 25, [BOX], row)[0].emotion for i, row in enumerate(rows)]

    assert labels(0.1) == ["happy", "happy", "sad", "sad"]
    assert labels(0.0) == ["happy", "sad", "sad", "sad"]


def test_without_smoothing_the_raw_values_come_out() -> None:
    tracker = Tracker(smoothing_s=0.0, hysteresis=0.5)
    tracker.update(0.0, [BOX], raw(happy=0.9))
    answer = tracker.update(0.04, [BOX], raw(sad=0.4, happy=0.39))[0]
    assert answer.emotion == "sad"
    np.testing.assert_array_equal(answer.probabilities, raw(sad=0.4, happy=0.39)[0])


def test_below_the_confidence_there_is_no_emotion() -> None:
    tracker = Tracker(min_confidence=0.5, smoothing_s=0.0)
    assert tracker.update(0.0, [BOX], raw(happy=0.49))[0].emotion is None
    assert tracker.update(0.1, [BOX], raw(happy=0.51))[0].emotion == "happy"
