"""What training minimises: distance to labels and teachers, and between the answers to two views of one face.

Faces come in one view ``(B, S, S, 3)``, or in two ``(B, 2, S, S, 3)``: as the student sees them, perhaps disturbed, and
clean. Answers lie side by side, ``(B, 7 k)``: the student's to what it sees; where consistency counts, its own to the
clean face; live teachers', who see the clean face.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from fer_edge.labels import NUM_EMOTIONS
from fer_train.runs.recipe import Recipe

__all__ = ["Objective", "divergence", "one_row_per_face", "views"]

_LEAST: Final[float] = 1e-7
"""Below it a probability's logarithm is of no use."""


def views(faces: Any, *, both: bool) -> tuple[Any, Any]:
    """What the student learns from, and what teachers see.

    Args:
        faces: ``(B, S, S, 3)`` or ``(B, 2, S, S, 3)``, of any engine.
        both: whether the student also learns from the clean faces.

    Returns:
        ``(B, S, S, 3)``, or both views of each face in turn, ``(2 B, S, S, 3)``; and the clean faces ``(B, S, S, 3)``.
    """
    if len(faces.shape) == 4:
        return faces, faces
    if not both:
        return faces[:, 0], faces[:, 1]
    return faces.reshape((-1, *faces.shape[2:])), faces[:, 1]


def one_row_per_face(answers: Any, *, both: bool) -> Any:
    """The student's answers to :func:`views`, side by side.

    Args:
        answers: ``(B, 7)`` or ``(2 B, 7)``, of any engine.
        both: as in :func:`views`.

    Returns:
        ``(B, 7)`` or ``(B, 14)``.
    """
    return answers.reshape((-1, 2 * NUM_EMOTIONS)) if both else answers


def divergence(first: Any, other: Any, log: Callable[[Any], Any], total: Callable[[Any], Any]) -> Any:
    """Jensen-Shannon divergence (Lin 1991, equation 4.1, equal weights) in nats, 0 to ``log(2)``.

    As a loss between views of one image: Hendrycks et al. 2020, "AugMix" (arXiv:1912.02781), with a disturbed and a
    clean view as in Zheng et al. 2016, "Improving the Robustness of Deep Neural Networks via Stability Training"
    (arXiv:1604.04326).

    Args:
        first: ``(B, 7)`` probabilities, of any engine.
        other: ``(B, 7)`` probabilities.
        log: the engine's natural logarithm.
        total: the engine's sum over the last axis.

    Returns:
        ``(B,)``.
    """
    first, other = (1.0 - _LEAST) * first + _LEAST, (1.0 - _LEAST) * other + _LEAST
    mean = log(0.5 * (first + other))
    return 0.5 * total(first * (log(first) - mean) + other * (log(other) - mean))


@dataclass(frozen=True)
class Objective:
    """The loss of the float stage, on any of Keras' engines."""

    taught: bool = False
    """Whether live teachers answer, too."""
    teacher_weight: float = 0.0
    """Their share of the target, 0 to 1."""
    consistency: float = 0.0
    """Weight of :func:`divergence` between the student's answers to both views; above 0 it learns from both."""

    @classmethod
    def of(cls, recipe: Recipe) -> Objective:
        """What a recipe says.

        Args:
            recipe: the recipe of the run.

        Returns:
            The loss.
        """
        return cls(bool(recipe.live_teachers), recipe.teacher_weight, recipe.consistency)

    @property
    def both(self) -> bool:
        """Whether the student learns from both views."""
        return self.consistency > 0

    @property
    def is_plain(self) -> bool:
        """Whether it is the cross-entropy with the targets, and nothing else."""
        return not (self.taught or self.both)

    def answers(self, faces: Any, student: Any, teachers: Any | None) -> Any:
        """For Keras: all answers to the faces, side by side, as :meth:`loss` takes them.

        Args:
            faces: in one view or two, symbolic.
            student: a Keras model.
            teachers: a layer; None without live teachers.

        Returns:
            ``(B, 7 k)``, symbolic.
        """
        import keras

        seen, clean = views(faces, both=self.both)
        answers = one_row_per_face(student(seen), both=self.both)
        if teachers is None:
            return answers
        return keras.layers.Concatenate(dtype="float32", name="taught")([answers, teachers(clean)])

    def targets(self, targets: Any, taught: Any) -> Any:
        """Targets with the teachers' answers in them.

        Args:
            targets: ``(B, 7)``.
            taught: ``(B, 7)``, of the teachers.

        Returns:
            ``(B, 7)``: ``(1 - weight) * target + weight * teachers``.
        """
        return (1.0 - self.teacher_weight) * targets + self.teacher_weight * taught

    def loss(self, targets: Any, answers: Any) -> Any:
        """For Keras: the cross-entropy, of both views the mean, and the weighted divergence between them.

        Args:
            targets: ``(B, 7)``.
            answers: side by side, see above.

        Returns:
            ``(B,)``, in nats.
        """
        import keras

        if self.taught:
            targets = self.targets(targets, answers[:, -NUM_EMOTIONS:])
        entropy = keras.losses.categorical_crossentropy
        seen = answers[:, :NUM_EMOTIONS]
        if not self.both:
            return entropy(targets, seen)
        clean = answers[:, NUM_EMOTIONS : 2 * NUM_EMOTIONS]
        apart = divergence(seen, clean, keras.ops.log, lambda x: keras.ops.sum(x, axis=-1))
        return 0.5 * (entropy(targets, seen) + entropy(targets, clean)) + self.consistency * apart

    @staticmethod
    def accuracy(targets: Any, answers: Any) -> Any:
        """Of the student's answers to what it sees.

        Args:
            targets: ``(B, 7)``.
            answers: side by side, see above.

        Returns:
            ``(B,)``, 0 or 1.
        """
        import keras

        return keras.metrics.categorical_accuracy(targets, answers[:, :NUM_EMOTIONS])
