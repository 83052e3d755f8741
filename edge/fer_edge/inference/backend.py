"""What the toolkit has to know of a backend without loading it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fer_edge.inference.classifier import Classifier

__all__ = ["EXACT", "BackendSpec", "Tolerance"]


@dataclass(frozen=True)
class Tolerance:
    """How far a runtime may stray from the recorded outputs and still count as computing the same network."""

    mean_difference: float
    """Largest mean absolute difference of probabilities, over all vectors and classes."""
    agreement: float
    """Smallest fraction of vectors decided alike."""

    @property
    def is_exact(self) -> bool:
        """Whether every output must be identical."""
        return self.mean_difference == 0.0


EXACT: Final[Tolerance] = Tolerance(0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class BackendSpec:
    """One backend; ``BACKEND`` in each module of :mod:`fer_edge.inference.backends`."""

    name: str
    """What ``--backend`` takes."""
    open: Callable[..., Classifier]
    """``open(model_path, *, threads=1)``; imports the runtime, and raises ``MissingDependencyError`` without it."""
    runtime_module: str | None = None
    """The module whose import loads the runtime; None where there is nothing to load."""
    package: str | None = None
    """Name of the runtime's package on PyPI, for versions in reports."""
    suffixes: tuple[str, ...] = ()
    """Endings of the file names that it runs. Of several backends for a file, those with the longest ending count."""
    rank: int = 100
    """Of several backends with the same ending, ``--backend auto`` takes the installed one of the lowest rank."""
    install_hint: str | None = None
    """What installs it, after ``pip install``, where that is more than the package's name."""
    is_tflite: bool = False
    """Whether it computes ``.tflite`` files by TFLite's own kernels or delegates."""
    tolerance: Tolerance = EXACT
    """For the quantised models, against the golden vectors, which LiteRT made on x86 (``fer-camera --verify``)."""
    tolerance_elsewhere: Tolerance | None = None
    """The same on other processors than x86; None: the same there."""
    owns_device: bool = False
    """Whether it holds an accelerator alone: then no model is tried in a child process, and CPU time says nothing."""
    can_profile: bool = False
    """Whether ``fer-bench --profile`` can take its operators apart (TFLite's interpreter, or ONNX Runtime)."""
    needs_model: bool = True
    """Whether it reads a model file at all."""
    offered: bool = True
    """Whether ``--help`` and messages name it; False for what is for tests only."""

    def takes(self, name: str) -> bool:
        """Whether files of this name are of its kind, by the last suffix: ``.tflite`` for all that run TFLite files.

        Args:
            name: of a model file.

        Returns:
            True where the backend can be asked to open it.
        """
        return not self.suffixes or any(name.endswith("." + suffix.rpartition(".")[2]) for suffix in self.suffixes)

    def is_installed(self) -> bool:
        """Whether the runtime's package is there; it is not imported.

        Returns:
            True where its package is found, and for a backend that needs none.
        """
        if self.runtime_module is None:
            return True
        return importlib.util.find_spec(self.runtime_module.partition(".")[0]) is not None
