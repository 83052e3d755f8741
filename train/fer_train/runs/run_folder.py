"""The folder of one training run: its files, and a lock that keeps a second process out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fer_edge.file_lock import locked

__all__ = ["RunFolder"]


@dataclass(frozen=True)
class RunFolder:
    """Names of the files of one run."""

    root: Path
    """The folder."""

    @property
    def config(self) -> Path:
        """The recipe (:class:`fer_train.runs.recipe.Recipe`)."""
        return self.root / "config.json"

    @property
    def metrics(self) -> Path:
        """One row per epoch and stage."""
        return self.root / "metrics.csv"

    @property
    def float_weights(self) -> Path:
        """Best epoch of the float stage, by validation accuracy."""
        return self.root / "float.weights.h5"

    @property
    def best_half(self) -> Path:
        """Best float weights so far, kernels in half precision."""
        return self.root / "best.npz"

    @property
    def latest_half(self) -> Path:
        """Float weights of the last checkpoint, averaged where the run averages, kernels in half precision."""
        return self.root / "latest.npz"

    @property
    def qat_weights(self) -> Path:
        """Best epoch of the QAT stage, by validation accuracy of the converted INT8 model."""
        return self.root / "qat.h5"

    @property
    def float_checkpoint(self) -> Path:
        """State after the last complete epoch of the float stage."""
        return self.root / "float.checkpoint.npz"

    @property
    def qat_checkpoint(self) -> Path:
        """State after the last complete epoch of the QAT stage."""
        return self.root / "qat.checkpoint.npz"

    @property
    def summary(self) -> Path:
        """Final figures of both stages, as JSON."""
        return self.root / "summary.json"

    @property
    def predictions(self) -> Path:
        """Probabilities of both networks for every validation image, and the labels (npz)."""
        return self.root / "predictions.npz"

    @property
    def plots(self) -> Path:
        """Pictures: curves and confusion matrices."""
        return self.root / "plots"

    @property
    def tensorboard(self) -> Path:
        """Event files for TensorBoard."""
        return self.root / "tensorboard"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder.

        The lock belongs to the process and goes with it, so a killed run leaves no lock.

        Yields:
            Nothing.

        Raises:
            UsageError: another process trains in it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        busy = f"another process is training in {self.root}; wait for it or choose another --run"
        with locked(self.root / ".lock", busy):
            yield
