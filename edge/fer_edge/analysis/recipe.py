"""What decides about the answers of a run: options and models; and the network and detector that are opened for it."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fer_edge._version import __version__
from fer_edge.defaults import DEFAULT_DETECT_WIDTH
from fer_edge.errors import ModelError
from fer_edge.files import sha256_of, write_bytes

if TYPE_CHECKING:
    from fer_edge.faces.detection import FaceDetector
    from fer_edge.inference.classifier import Classifier

__all__ = ["Recipe", "Tools", "open_tools", "recipe_from", "shipped_files"]

_FORMAT: Final[int] = 1
"""Of the tables; another number makes every file due again."""
_LEFT_OUT: Final = ("detector_file", "model_file", "threads", "opencv_threads")
"""Where a file lies and how many threads there are changes no answer."""


@dataclass(frozen=True)
class Recipe:
    """Everything but the file itself that a table depends on."""

    detector: str
    """Its name, ``auto`` resolved."""
    detector_engine: str
    """What computes it, where there is a choice; else empty."""
    detector_file: str | None
    """Of the machine on which the run was started."""
    detector_sha256: str | None
    """Of that file."""
    detect_width: int | None
    """In pixels; None takes the defaults of videos and photos."""
    search: str
    """How videos are searched for faces."""
    detect_every: int
    """Search every N-th frame."""
    margin: float
    """Space around a face, as a fraction of its box."""
    model_file: str
    """Of the machine on which the run was started."""
    model_sha256: str
    """Of that file."""
    backend: str
    """Name of the runtime, ``auto`` resolved."""
    threads: int
    """Of the network."""
    opencv_threads: int
    """Of OpenCV."""
    smoothing_s: float
    """Time constant of the average in seconds; 0 for none."""
    hysteresis: float
    """Lead in probability that a new label needs."""
    min_confidence: float
    """Below it the answer is uncertain."""
    orientation: int
    """How every picture is turned, 1 to 8."""
    max_frames: int | None
    """Of each file."""
    pictures: bool
    """Whether a picture is drawn for each file."""
    version: str = __version__
    """Of the toolkit."""

    def fingerprint(self) -> str:
        """What two runs have in common if and only if they give the same tables.

        Returns:
            64 hexadecimal digits.
        """
        values = {name: value for name, value in dataclasses.asdict(self).items() if name not in _LEFT_OUT}
        return hashlib.sha256(json.dumps([_FORMAT, values], sort_keys=True).encode()).hexdigest()


@dataclass
class Tools:
    """One network and one detector, for one thread."""

    classifier: Classifier
    """For faces."""
    detector: FaceDetector
    """For videos; photos take what :func:`fer_edge.faces.tiles.for_photos` makes of it."""


def recipe_from(arguments: argparse.Namespace) -> Recipe:
    """The recipe that the options mean on this machine; opens network and detector once, to know that they work.

    Args:
        arguments: the options of ``fer-analyze``.

    Returns:
        The recipe.

    Raises:
        FerError: what :func:`fer_edge.loading.open.open_classifier` and
            :func:`fer_edge.faces.detectors.open_detector` raise.
    """
    from fer_edge.capture.orientation import asked_orientation
    from fer_edge.faces.detectors import open_detector
    from fer_edge.inference.backends import backend_for, backend_spec
    from fer_edge.loading.model_files import find_model
    from fer_edge.loading.open import open_classifier

    chosen = arguments.backend
    needs_model = chosen == "auto" or backend_spec(chosen).needs_model
    model = find_model(arguments.model) if needs_model else None
    if chosen == "auto":
        assert model is not None
        chosen = backend_for(model)
    open_classifier(model, backend=chosen, threads=arguments.threads).close()
    detector = open_detector(
        arguments.detector, arguments.detector_model, width=arguments.detect_width or DEFAULT_DETECT_WIDTH
    )
    file: Path | None = getattr(detector, "model_path", None)
    return Recipe(
        detector=detector.name,
        detector_engine=str(getattr(detector, "engine", "")),
        detector_file=None if file is None else str(file.absolute()),
        detector_sha256=None if file is None else sha256_of(file),
        detect_width=arguments.detect_width,
        search=arguments.search,
        detect_every=arguments.detect_every,
        margin=arguments.margin,
        model_file="" if model is None else str(model.absolute()),
        model_sha256="" if model is None else sha256_of(model),
        backend=chosen,
        threads=arguments.threads,
        opencv_threads=arguments.opencv_threads or 1,
        smoothing_s=arguments.smoothing_s if arguments.smoothing else 0.0,
        hysteresis=arguments.hysteresis,
        min_confidence=arguments.min_confidence,
        orientation=asked_orientation(arguments.rotate, arguments.flip),
        max_frames=arguments.max_frames,
        pictures=arguments.pictures,
    )


def shipped_files(recipe: Recipe) -> dict[str, bytes]:
    """The files of a recipe for machines that may not have them.

    Args:
        recipe: of a run that starts here.

    Returns:
        ``{sha256: content}``.
    """
    pairs = ((recipe.model_sha256, recipe.model_file), (recipe.detector_sha256, recipe.detector_file))
    return {digest: Path(path).read_bytes() for digest, path in pairs if digest and path}


def open_tools(recipe: Recipe, shipped: Mapping[str, bytes] | None = None) -> Tools:
    """Network and detector of a recipe, on this machine.

    Args:
        recipe: of the run.
        shipped: ``{sha256: content}`` of its files, for a machine that may lack them.

    Returns:
        Both, open.

    Raises:
        ModelError: this machine has other files, or computes the detector otherwise.
        FerError: they cannot be opened.
    """
    import cv2

    from fer_edge.faces.detectors import open_detector
    from fer_edge.loading.open import open_classifier

    cv2.setNumThreads(recipe.opencv_threads)
    model = _file_here(recipe.model_file, recipe.model_sha256, shipped or {}) if recipe.model_file else None
    classifier = open_classifier(model, backend=recipe.backend, threads=recipe.threads)
    file = None
    if recipe.detector_file and recipe.detector_sha256:
        file = _file_here(recipe.detector_file, recipe.detector_sha256, shipped or {})
    detector = open_detector(recipe.detector, file, width=recipe.detect_width or DEFAULT_DETECT_WIDTH)
    engine = str(getattr(detector, "engine", ""))
    if engine != recipe.detector_engine:
        raise ModelError(
            f"faces would be found by {engine or detector.name} here and by {recipe.detector_engine} where the run "
            "was started, with other boxes; install the same packages on all machines"
        )
    return Tools(classifier, detector)


_FOLDER: Any = None
"""Of shipped files; removed with the process."""
_LOCK: Final = threading.Lock()


def _file_here(path: str, sha256: str, shipped: Mapping[str, bytes]) -> Path:
    """A file of this content on this machine: at the same path, in the usual places, or as it was sent."""
    from fer_edge.loading.model_files import search_path

    name = os.path.basename(path)  # noqa: PTH119 - of another system, perhaps
    for place in (Path(path), *(folder / name for folder in search_path())):
        if place.is_file() and sha256_of(place) == sha256:
            return place
    content = shipped.get(sha256)
    if content is None:
        raise ModelError(f"{path} is not here, or has changed since the run was started; start it again")
    global _FOLDER  # noqa: PLW0603 - one for the process
    with _LOCK:
        if _FOLDER is None:
            _FOLDER = tempfile.TemporaryDirectory(prefix="fer-analyze-")
        own = Path(_FOLDER.name) / sha256[:16] / name
        if not own.is_file():
            write_bytes(own, content)
    return own
