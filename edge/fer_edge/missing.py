"""Packages and system libraries that are missing, named in one line with what installs them.

Wheels of OpenCV link libraries of the system that a minimal Debian does not have; Python then answers ``import cv2``
with a traceback that ends in ``libxcb.so.1: cannot open shared object file: No such file or directory``.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Final

from fer_edge.errors import MissingDependencyError

__all__ = ["DEBIAN_PACKAGES", "PIP_NAMES", "explain", "explained"]

DEBIAN_PACKAGES: Final[dict[str, str]] = {
    # What `import cv2` of opencv-python needs; the X11 libraries below it are for the window.
    "libxcb": "libxcb1",
    "libGL": "libgl1",
    "libGLX": "libgl1",
    "libGLdispatch": "libgl1",
    "libglib-2.0": "libglib2.0-0",
    "libgthread-2.0": "libglib2.0-0",
    "libgobject-2.0": "libglib2.0-0",
    "libX11": "libx11-6",
    "libXext": "libxext6",
    "libSM": "libsm6",
    "libICE": "libice6",
    "libXrender": "libxrender1",
    # LiteRT, ONNX Runtime
    "libstdc++": "libstdc++6",
    "libgcc_s": "libgcc-s1",
    "libgomp": "libgomp1",
    # wheels for 32-bit Arm from piwheels
    "libopenblas": "libopenblas0",
    "libatlas": "libatlas3-base",
    "libgfortran": "libgfortran5",
    # Coral
    "libedgetpu": "libedgetpu1-std",
}
"""Name of a shared library before ``.so`` -> Debian package that holds it. Debian 13 and Ubuntu 24.04 call
libglib2.0-0 libglib2.0-0t64; apt accepts the former name there."""
PIP_NAMES: Final[dict[str, str]] = {
    "cv2": "'opencv-python-headless<5'",
    "numpy": "numpy",
    "ai_edge_litert": "ai-edge-litert",
    "tflite_runtime": "tflite-runtime",
    "onnxruntime": "onnxruntime",
    "onnx": "onnx",
    "tf2onnx": "tf2onnx",
    "tensorflow": "tensorflow",
    "keras": "keras",
    "tf_keras": "tf-keras",
    "tensorflow_model_optimization": "tensorflow-model-optimization",
    "tensorboard": "tensorboard",
    "matplotlib": "matplotlib",
    "rich": "rich",
    "psutil": "psutil",
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "paho": "paho-mqtt",
    "cleanlab": "cleanlab",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "jax": "jax",
}
"""Module that the toolkit imports -> package on PyPI, as a shell takes it."""
_LIBRARY: Final = re.compile(r"(?<![\w.+-])(lib[\w.+-]*?)\.so([\d.]*): cannot open shared object file")


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Within it, a failed import of what :func:`explain` knows is a :class:`MissingDependencyError`.

    One that says already which Python package is missing stays as it is, unless the package is there and a library of
    the system is what it lacks: then advice to install the package (again) would lead nowhere.

    Yields:
        Nothing.

    Raises:
        MissingDependencyError: in place of the :class:`ImportError`.
    """
    try:
        yield
    except ImportError as error:
        advice = explain(error)
        if advice is None:
            raise
        raise advice from error
    except MissingDependencyError as error:
        advice = _missing_library(_causes(error)[1:])
        if advice is None:
            raise
        raise advice from error


def explain(error: ImportError) -> MissingDependencyError | None:
    """The one line for a failed import.

    Args:
        error: what ``import`` raised; its causes are searched, too, for numpy wraps the system's words in a page.

    Returns:
        The error to raise or print instead; None for a module that the toolkit does not take from others, which is a
        mistake in a program and no missing package.
    """
    chain = _causes(error)
    library = _missing_library(chain)
    if library is not None:
        return library
    for link in chain:
        name = (link.name or "").partition(".")[0] if isinstance(link, ModuleNotFoundError) else ""
        if name in PIP_NAMES:
            return MissingDependencyError(f"{name} is not installed; install it with: pip install {PIP_NAMES[name]}")
    return None


def _missing_library(chain: list[BaseException]) -> MissingDependencyError | None:
    for link in chain:
        match = _LIBRARY.search(str(link)) if isinstance(link, ImportError | OSError) else None
        if match:
            return MissingDependencyError(_library_line(match[1], match[2], chain))
    return None


def _library_line(stem: str, version: str, chain: list[BaseException]) -> str:
    library = f"{stem}.so{version}"
    package = DEBIAN_PACKAGES.get(stem) or DEBIAN_PACKAGES.get(re.sub(r"[-_.]?\d[\w.]*$", "", stem))
    cure = f"sudo apt install {package}" if package else f"apt-file search {library} names the package to install"
    if _is_opencv(chain):
        return (
            f"OpenCV needs the system library {library}: {cure}; or use the build of OpenCV that needs none: "
            "pip uninstall opencv-python, then pip install 'opencv-python-headless<5'"
        )
    return f"a Python package needs the system library {library}: {cure}"


def _is_opencv(chain: list[BaseException]) -> bool:
    """Whether ``import cv2`` stands in one of the tracebacks: the error itself has no module's name."""
    for error in chain:
        if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "cv2":
            return True
        step = error.__traceback__
        while step is not None:
            if step.tb_frame.f_globals.get("__name__", "").partition(".")[0] == "cv2":
                return True
            step = step.tb_next
    return False


def _causes(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return chain
