"""Loss and accuracy of an epoch that may be interrupted."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EpochSums"]


@dataclass
class EpochSums:
    """Loss and accuracy of an epoch so far; as JSON in a checkpoint, it goes on where it was."""

    steps: int = 0
    """Batches done."""
    loss: float = 0.0
    """Sum over the batches of their mean loss."""
    right: float = 0.0
    """Sum of the accuracies of batches, each times its weight."""
    weight: float = 0.0
    """Sum of these weights."""

    def add(self, loss: float, accuracy: float, *, steps: int = 1, weight: float | None = None) -> None:
        """Take in some batches.

        Args:
            loss: their mean loss.
            accuracy: their accuracy.
            steps: how many there are.
            weight: of their accuracy; as many as there are batches, if not given.
        """
        weight = float(steps) if weight is None else weight
        self.steps += steps
        self.loss += loss * steps
        self.right += accuracy * weight
        self.weight += weight

    def means(self) -> tuple[float, float]:
        """Mean loss and accuracy.

        Returns:
            Both.
        """
        return self.loss / self.steps, self.right / self.weight
