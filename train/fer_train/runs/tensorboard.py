"""A run's history as TensorBoard shows it."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from fer_train.runs.history import EpochMetrics

__all__ = ["TensorBoardLog"]


class TensorBoardLog:
    """Writes each epoch as scalars, by stage. Needs TensorBoard, not TensorFlow: a GPU machine may have JAX alone.

    Args:
        folder: of all event files of the run.
        stage: name of the stage, and of its folder.
    """

    def __init__(self, folder: Path, stage: str) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = EventFileWriter(str(folder / stage))

    def add(self, row: EpochMetrics) -> None:
        """Add one epoch, and flush it to disk.

        Args:
            row: the epoch.
        """
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in dataclasses.asdict(row).items()
            if isinstance(value, float)
        ]
        self._writer.add_event(Event(wall_time=time.time(), step=row.epoch, summary=Summary(value=values)))
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()
