"""One output that takes the results of several cameras."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from fer_edge.outputs.base import Output
    from fer_edge.outputs.status import StatusBoard
    from fer_edge.results import Result

__all__ = ["OfCameras", "SharedOutput"]


@runtime_checkable
class OfCameras(Protocol):
    """An output that treats each camera by itself, for example to show them side by side."""

    def of_camera(self, name: str, board: StatusBoard, *, blur: bool) -> Output:
        """What takes the results of one camera; closing it leaves the output open for the others.

        Args:
            name: of the camera.
            board: how it fares.
            blur: whether its faces must not be recognised in any picture.

        Returns:
            The output of this camera.
        """
        ...


class SharedOutput:
    """An output between several cameras, whose results it takes one at a time.

    Args:
        output: open; closed by whoever opened it.
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self._turn = threading.Lock()
        self._has_failed = False

    def of_camera(self, name: str, board: StatusBoard, *, blur: bool) -> Output:
        """See :meth:`OfCameras.of_camera`.

        Args:
            name: of the camera.
            board: how it fares.
            blur: whether its faces must not be recognised in any picture.

        Returns:
            The output of this camera.
        """
        if isinstance(self.output, OfCameras):
            return self.output.of_camera(name, board, blur=blur)
        return _Share(self.output, self, name)

    def write(self, result: Result) -> None:
        """Take a result of any camera.

        Args:
            result: of a camera.

        Raises:
            BrokenPipeError: the output has failed before, which has been reported.
        """
        with self._turn:
            if self._has_failed:
                raise BrokenPipeError
            try:
                self.output.write(result)
            except Exception:
                self._has_failed = True
                raise

    def close(self) -> None:
        """Close the output."""
        with self._turn:
            self.output.close()


class _Share:
    """One camera's share of an output."""

    def __init__(self, output: Output, shared: SharedOutput, camera: str) -> None:
        self.name = output.name
        self.lossless = output.lossless
        self.camera = camera
        self._shared = shared

    def write(self, result: Result) -> None:
        self._shared.write(result)

    def close(self) -> None:
        """The output stays open for the other cameras."""
