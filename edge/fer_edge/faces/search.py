"""Where to search in the next frame of a video, so that pixels are spent where faces are.

The whole frame is searched at least every :data:`WHOLE_EVERY_S` seconds of the source's time. In between, each face in
sight gets a close look (:mod:`fer_edge.faces.look`); where none is in sight, the frame is searched at half the width.
When a look does not find its face again, or half the width shows one, the whole frame is searched at once. What is
done depends on the frames and their times alone, never on the clock: a file gives the same answers every time.
With a motion test (:mod:`fer_edge.faces.motion`) the whole frame is searched only where something but the known faces
has moved since, and every two seconds; faces in sight are followed in any case.

A face begins with the detector's own score (0.7), in the whole frame or in a look, or with less if it stays; it is kept
down to :data:`KEEP_SCORE`: turned and tilted heads have scores between.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from fer_edge.arrays import Image
from fer_edge.defaults import DEFAULT_DETECT_EVERY, DEFAULT_SEARCH, SEARCHES
from fer_edge.faces.detection import DetectedFace, FaceDetector
from fer_edge.faces.follow import BoxFlow
from fer_edge.faces.look import LOOK_SIDE, TURN_STEP, Aim, CloseLook, ScalableDetector, aim
from fer_edge.faces.motion import STILL_S, MotionGate
from fer_edge.faces.searched import Searched
from fer_edge.faces.tracks import FORGET_AFTER_S, match_boxes, overlap

__all__ = ["BEGIN_AFTER_S", "KEEP_SCORE", "WHOLE_EVERY_S", "FaceSearch", "check_search"]

WHOLE_EVERY_S: Final[float] = 0.2
"""Longest time between two searches of the whole frame, in seconds: so long a new face may remain unseen."""
KEEP_SCORE: Final[float] = 0.5
"""Least score of a face that has been seen before."""
_SURE_SCORE: Final[float] = 0.8
"""Of a look at what the whole frame showed with too little score to begin: a second chance asks for more.

Faces that are turned upright have 0.84 and more; what merely resembles one had up to 0.72.
"""
BEGIN_AFTER_S: Final[float] = 0.3
"""A face that never has the score to begin with does so after this time in sight, in seconds."""
_WHOLE_EVERY_FRAMES: Final[int] = 30
"""The same in frames, for sources of which the times do not grow as they should."""
_TICK_S: Final[float] = 1e-3
"""Times of files are rounded to milliseconds."""
_SAME_FACE: Final[float] = 0.4
"""Two boxes with more than this intersection over union are one face; YuNet itself gives no two with more than 0.3."""
_LOOKS_WORTH: Final[float] = 0.5
"""Share of the pixels of a whole search up to which looks cost less, with what each costs besides its pixels."""


@dataclass(frozen=True)
class _Followed:
    """A face that was seen, now or in the last second."""

    face: DetectedFace
    frame: int
    """Number of the last frame in which it was seen."""
    seen_s: float
    """Time of that frame."""
    since_s: float
    """From when on it has been in sight."""
    where: Aim
    """Of the next look at it."""
    begun: bool
    """Whether it is reported; others are only watched."""


@dataclass(frozen=True)
class _Claim:
    """A face found in the present frame, and the one that it continues."""

    face: DetectedFace
    where: Aim
    """Of the look at it."""
    before: _Followed | None
    begins: bool = False
    """Whether it has the score to begin with."""


@dataclass
class _Sight:
    """One frame, and what is known while it is searched."""

    image: Image
    small: Image | None
    frame: int
    """Its number, from 0."""
    time_s: float
    known: list[_Followed]
    """From the frames before; those of the last one first."""
    n_in_sight: int
    """How many of them were in the last one."""
    grey: Image | None = None
    """The small picture of the motion test, where it has been made."""
    looked: dict[int, _Claim | None] = field(default_factory=dict)
    """What looks at known faces found, by their place in :attr:`known`."""


class FaceSearch:
    """Finds the faces of successive frames of one video.

    Args:
        detector: any. Close looks, and a lower score for known faces, need a
            :class:`fer_edge.faces.look.ScalableDetector` such as YuNet; any other one searches every frame.
        mode: ``adaptive``, or ``full``: the whole of every frame at full width.
        every: search every N-th frame only, the whole of it, and move the boxes by optical flow in between.
        motion: search for new faces only where something has moved.

    Raises:
        ValueError: an unknown mode, or ``every`` below 1.
    """

    def __init__(
        self,
        detector: FaceDetector,
        *,
        mode: str = DEFAULT_SEARCH,
        every: int = DEFAULT_DETECT_EVERY,
        motion: bool = False,
    ) -> None:
        check_search(mode, every)
        self._motion = MotionGate() if motion else None
        self.searched = Searched()
        self._plain = detector
        self._scaled = _Scaled(detector, self.searched) if isinstance(detector, ScalableDetector) else None
        self._every = every
        self._adaptive = mode == "adaptive"
        self._flow = BoxFlow()
        self._count = 0
        self._followed: list[_Followed] = []
        self._last_s = self._whole_s = -math.inf
        self._whole_frame = 0

    def find(self, image: Image, small: Image | None, time_s: float) -> list[DetectedFace]:
        """The faces in the next frame.

        Args:
            image: ``(H, W, 3)`` BGR uint8.
            small: the same picture at fewer pixels, where the camera delivers one.
            time_s: of the frame, in seconds by the source's clock; grows from call to call.

        Returns:
            The faces from left to right, boxes in pixels of ``image``.
        """
        frame = self._count
        present = [known for known in self._followed if known.frame == frame - 1]
        lost = [
            known
            for known in self._followed
            if known.begun and known.frame < frame - 1 and time_s - known.seen_s <= FORGET_AFTER_S
        ]
        sight = _Sight(image, small, frame, time_s, [*present, *lost], len(present))
        is_searched = frame % self._every == 0
        if not is_searched:
            moved = self._flow.follow([known.face for known in present if known.begun], image, small)
            self._followed = [*_told(moved, sight), *lost]
        elif self._scaled is None:
            self._followed = [] if not present and self._is_still(sight) else self._search_plainly(sight)
        else:
            self._followed = self._search(self._scaled, sight)
        if is_searched and self._every > 1:
            self._flow.see(image, small)
        self._count, self._last_s = frame + 1, time_s
        reported = [known.face for known in self._followed if known.begun and known.frame == frame]
        return sorted(reported, key=lambda face: face.box)

    def _search_plainly(self, sight: _Sight) -> list[_Followed]:
        self._begin_whole(sight)
        self.searched.whole += 1
        return _told(self._plain.detect(sight.image, sight.small), sight)

    def _search(self, scaled: _Scaled, sight: _Sight) -> list[_Followed]:
        """Those in sight, then those remembered."""
        n_looks = scaled.looks_worth(sight.image) if self._adaptive else 0
        is_due = not self._adaptive or self._is_due(sight)
        is_still = (is_due or not sight.known) and self._is_still(sight)
        if is_still and not sight.known:
            return []
        if self._adaptive and (not is_due or (is_still and self._every == 1)):
            if sight.known and len(sight.known) <= n_looks:
                claims = _distinct(_found(scaled.again(sight, n) for n in range(len(sight.known))))
                if not _is_missing(claims, sight):
                    return _settled(claims, sight)
            elif not sight.known and not scaled.glance(sight):
                return []
        self._begin_whole(sight)
        return _settled(_distinct(_search_whole(scaled, sight, n_looks)), sight)

    def _begin_whole(self, sight: _Sight) -> None:
        self._whole_s, self._whole_frame = sight.time_s, sight.frame
        if self._motion is not None:
            self._motion.remember(self._motion.view(sight.image, sight.small) if sight.grey is None else sight.grey)

    def _is_still(self, sight: _Sight) -> bool:
        """Whether nothing but known faces has moved since the whole frame was searched, not long ago."""
        step_s = sight.time_s - self._last_s
        if self._motion is None or step_s <= 0.0 or sight.time_s + step_s > self._whole_s + STILL_S + _TICK_S:
            return False
        sight.grey = self._motion.view(sight.image, sight.small)
        known = (each.face.box for each in sight.known)
        is_still = not self._motion.moved(sight.grey, sight.image.shape[1], known)
        self.searched.still += is_still
        return is_still

    def _is_due(self, sight: _Sight) -> bool:
        """Whether to search the whole frame: it would be too late at the next one, if that takes as long to come."""
        step_s = sight.time_s - self._last_s
        if self._every > 1:
            return True
        late = sight.time_s + step_s > self._whole_s + WHOLE_EVERY_S + _TICK_S
        return late or step_s < 0.0 or sight.frame - self._whole_frame >= _WHOLE_EVERY_FRAMES


class _Scaled:
    """A detector at the widths that are needed, each made when it is."""

    def __init__(self, detector: ScalableDetector, searched: Searched) -> None:
        self.begin_score = detector.score
        self.sure_score = max(_SURE_SCORE, detector.score)
        self._keep_score = min(KEEP_SCORE, detector.score)
        self._detector = detector
        self._searched = searched
        self._look: CloseLook | None = None
        self._half: ScalableDetector | None = None
        self._whole: ScalableDetector | None = None

    def looks_worth(self, image: Image) -> int:
        """How many looks cost less than to search the whole frame."""
        return int(_LOOKS_WORTH * _pixels(image, self._detector.width) / LOOK_SIDE**2)

    def whole(self, sight: _Sight) -> list[DetectedFace]:
        """All faces at full width, down to the score at which one is kept."""
        if self._whole is None:
            self._whole = self._detector.at_width(self._detector.width, self._keep_score)
        self._searched.whole += 1
        self._searched.pixels += _pixels(sight.image, self._detector.width)
        return self._whole.detect(sight.image, sight.small)

    def glance(self, sight: _Sight) -> bool:
        """Whether there is a face at half the width; True, unseen, for a frame that is no wider than that."""
        width = self._detector.width // 2
        if sight.image.shape[1] <= width:
            return True
        if self._half is None:
            self._half = self._detector.at_width(width, self._keep_score)
        self._searched.half += 1
        self._searched.pixels += _pixels(sight.image, width)
        return bool(self._half.detect(sight.image, sight.small))

    def look(self, image: Image, where: Aim, face: DetectedFace, least: float) -> tuple[DetectedFace | None, Aim]:
        """A close look at a place, and others, turned to both sides, while the score is below ``least``."""
        best, best_where = self._look_once(image, where, face), where
        for step in (TURN_STEP, 2 * TURN_STEP):
            if best is not None and best.score >= least:
                break
            for turn in (where.turn + step, where.turn - step):
                turned = replace(where, turn=(turn + 180) % 360 - 180)
                look = self._look_once(image, turned, face)
                # Seen upright a face has a high score; what has not is something else.
                if look is not None and look.score >= max(self.begin_score, 0.0 if best is None else best.score):
                    best, best_where = look, turned
        return best, best_where

    def _look_once(self, image: Image, where: Aim, face: DetectedFace) -> DetectedFace | None:
        if self._look is None:
            self._look = CloseLook(self._detector, self._keep_score)
        self._searched.looks += 1
        self._searched.pixels += LOOK_SIDE**2
        return self._look.at(image, where, face)

    def again(
        self, sight: _Sight, number: int, seen: DetectedFace | None = None, *, is_whole: bool = False
    ) -> _Claim | None:
        """A known face by a close look, unless it has had one; ``seen`` is what the whole of this frame showed."""
        known = sight.known[number]
        if number in sight.looked and (sight.looked[number] is not None or seen is None):
            return sight.looked[number]
        where = known.where
        if seen is not None:
            where = aim(seen, where)
            if seen.score >= self.begin_score:
                where = replace(where, turn=0)
        # Turned looks, too, at a face that must be found, and now and then at one that looks doubtful: a head on its
        # side may pass for a much larger one that stands upright.
        least = 0.0
        if seen is not None or (is_whole and number < sight.n_in_sight):
            least = self.begin_score
        elif known.begun and sight.time_s - known.seen_s <= WHOLE_EVERY_S + _TICK_S:
            least = self._keep_score
        face, where = self.look(sight.image, where, seen or known.face, least)
        claim = None
        if face is not None:
            begins = face.score >= self.sure_score or (seen is not None and seen.score >= self.begin_score)
            claim = _Claim(face, where, known, begins)
        sight.looked[number] = claim
        return claim


def _search_whole(scaled: _Scaled, sight: _Sight, n_looks: int) -> list[_Claim]:
    """What the whole frame shows; boxes by close looks where these are few."""
    faces = scaled.whole(sight)
    matched = match_boxes([known.face.box for known in sight.known], [face.box for face in faces])
    seen = {old: faces[new] for new, old in matched.items()}
    is_looked = len(sight.known) + len(faces) - len(matched) <= n_looks
    claims = []
    for number, known in enumerate(sight.known):
        claim = scaled.again(sight, number, seen.get(number), is_whole=True) if is_looked else sight.looked.get(number)
        if claim is None and number in seen:
            claim = _Claim(seen[number], aim(seen[number]), known, seen[number].score >= scaled.begin_score)
        if claim is not None:
            claims.append(claim)
    for face in sorted((face for n, face in enumerate(faces) if n not in matched), key=lambda face: -face.score):
        closer, where = None, aim(face)
        if is_looked or (face.score < scaled.begin_score and n_looks > 0):
            n_looks -= 1
            closer, where = scaled.look(sight.image, where, face, scaled.begin_score)
        begins = face.score >= scaled.begin_score or (closer is not None and closer.score >= scaled.sure_score)
        claims.append(_Claim(closer or face, where, None, begins))
    return claims


def _found(claims: Iterable[_Claim | None]) -> list[_Claim]:
    return [claim for claim in claims if claim is not None]


def _distinct(claims: list[_Claim]) -> list[_Claim]:
    """One for each face: the one that has moved least, before one that is new."""

    def doubt(claim: _Claim) -> tuple[bool, float]:
        before = claim.before
        return before is None, -(claim.face.score if before is None else overlap(claim.face.box, before.face.box))

    kept: list[_Claim] = []
    for claim in sorted(claims, key=doubt):
        if all(overlap(claim.face.box, other.face.box) <= _SAME_FACE for other in kept):
            kept.append(claim)
    return kept


def _settled(claims: list[_Claim], sight: _Sight) -> list[_Followed]:
    """The faces in sight, then those that are remembered where no other face is now."""
    now = []
    for claim in claims:
        since_s, begun = sight.time_s, claim.begins
        if claim.before is not None:
            since_s = claim.before.since_s
            begun = begun or claim.before.begun or sight.time_s - since_s >= BEGIN_AFTER_S - _TICK_S
        where = aim(claim.face, claim.where)
        now.append(_Followed(claim.face, sight.frame, sight.time_s, since_s, where, begun))
    lost = [known for known in sight.known if known.begun and not any(known is claim.before for claim in claims)]
    return now + [
        known for known in lost if all(overlap(known.face.box, other.face.box) <= _SAME_FACE for other in now)
    ]


def _is_missing(claims: list[_Claim], sight: _Sight) -> bool:
    """Whether a face that was reported in the last frame is not found in this one."""
    reported = [known for known in sight.known[: sight.n_in_sight] if known.begun]
    return not all(any(known is claim.before for claim in claims) for known in reported)


def _told(faces: list[DetectedFace], sight: _Sight) -> list[_Followed]:
    """Faces that were moved, or found by a detector of another kind."""
    matched = match_boxes([known.face.box for known in sight.known], [face.box for face in faces])
    followed = []
    for number, face in enumerate(faces):
        where = aim(face, sight.known[matched[number]].where if number in matched else None)
        followed.append(_Followed(face, sight.frame, sight.time_s, sight.time_s, where, True))
    return followed


def check_search(mode: str, every: int) -> None:
    """Refuse what :class:`FaceSearch` does not know.

    Args:
        mode: one of :data:`fer_edge.defaults.SEARCHES`.
        every: 1 or more.

    Raises:
        ValueError: for the first that is wrong.
    """
    if mode not in SEARCHES:
        raise ValueError(f"search must be {' or '.join(SEARCHES)}, not {mode!r}")
    if every < 1:
        raise ValueError(f"detect_every must be 1 or more, not {every}")


def _pixels(image: Image, width: int) -> int:
    """Of a frame that is searched at a width."""
    height, full = image.shape[:2]
    wide = min(width, full)
    return int(wide * round(height * wide / full))
