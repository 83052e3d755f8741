"""What awaits a finished run at ``fer-export``: the gate's default limits, and an honest word after training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from fer_edge.labels import EMOTIONS
from fer_train.evaluation.evaluate import Evaluation
from fer_train.evaluation.paired_interval import paired_drop

__all__ = ["FEW_STEPS", "MAX_DROP", "MAX_RECALL_LOSS", "MIN_AGREEMENT", "QUICK_HINT", "outlook"]

MAX_DROP: Final[float] = 1.0
"""Largest accuracy drop of a quantised model against the float model, in percentage points."""
MIN_AGREEMENT: Final[float] = 0.80
"""Smallest fraction of labelled images that a quantised model decides like the float model."""
MAX_RECALL_LOSS: Final[float] = 10.0
"""Largest loss of one class's recall, in percentage points; counts when it is more than chance."""
FEW_STEPS: Final[int] = 300
"""Of the float stage: runs with fewer are called short. Ranges that QAT measures settle as the network does."""
QUICK_HINT: Final[str] = "fer-train --quick is a recipe for a first model"


def outlook(evaluations: Mapping[str, Evaluation], steps: int) -> str | None:
    """Say whether the gate of ``fer-export`` will probably refuse a run's models, and what to do then.

    Args:
        evaluations: ``float`` and, after a QAT stage, ``int8``, over the same validation images.
        steps: Batches that the float stage has learnt from.

    Returns:
        One line, or None where nothing speaks against the models.
    """
    short = f"such a short run ({steps} steps of the float stage)" if steps < FEW_STEPS else ""
    if "int8" not in evaluations:
        if not short:
            return None
        return (
            f"Without a QAT stage, {short} will probably be refused by the gate of fer-export: train longer (--epochs, "
            f"--qat-epochs; {QUICK_HINT}), or accept a larger loss with fer-export --max-drop POINTS"
        )
    refusals = _refusals(evaluations["float"], evaluations["int8"])
    if not refusals:
        return None
    return (
        f"The gate of fer-export will probably refuse these models: {', '.join(refusals)}. "
        + (f"That is to be expected of {short}. " if short else "")
        + f"Train longer (--epochs, --qat-epochs; {QUICK_HINT}), or accept the loss with the options that fer-export "
        "then names, such as --max-drop"
    )


def _refusals(reference: Evaluation, int8: Evaluation) -> list[str]:
    """What the gate will measure again on the same images: drop, agreement, recall of each class."""
    right = np.asarray(reference.decisions == reference.labels)
    int8_right = np.asarray(int8.decisions == int8.labels)
    drop = paired_drop(right, int8_right).value
    refusals = []
    if drop > MAX_DROP:
        refusals.append(f"INT8 is {drop:.1f} points less accurate than float (at most {MAX_DROP:.1f} allowed)")
    agreement = reference.agreement(int8)
    if agreement < MIN_AGREEMENT and drop >= 0.0:
        refusals.append(
            f"INT8 decides {agreement:.1%} of the images like float (at least {MIN_AGREEMENT:.0%} required)"
        )
    for label, emotion in enumerate(EMOTIONS):
        mask = reference.labels == label
        if mask.any():
            loss = paired_drop(right[mask], int8_right[mask])
            if loss.value > MAX_RECALL_LOSS and loss.low > 0.0:
                refusals.append(f"recall of {emotion} is {loss.value:.1f} points lower")
    return refusals
