"""Which version runs here: of the toolkit, of the packages that its results depend on, and of the source itself.

Answered from metadata alone: no package is imported for it.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Final

from fer_edge._version import __version__

__all__ = ["CHANGED", "NAME", "PACKAGES", "package_versions", "source_commit", "version_text"]

NAME: Final[str] = "fer-edge-toolkit"
PACKAGES: Final[tuple[str, ...]] = (
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
    "ai-edge-litert",
    "tflite-runtime",
    "onnxruntime",
    "onnx",
    "tf2onnx",
    "tensorflow",
    "keras",
    "tf-keras",
    "tensorflow-model-optimization",
    "torch",
    "jax",
)
"""Names on PyPI of what computes, or changes what is computed."""
CHANGED: Final[str] = "+changes"
"""Follows the commit where tracked files differ from it."""
_GIT_TIMEOUT_S: Final[float] = 10.0


def package_versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Version of the toolkit and of those ``packages`` that are installed, by their names on PyPI.

    Args:
        packages: names on PyPI.

    Returns:
        ``{name: version}``, the toolkit first.
    """
    versions = {NAME: __version__}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def source_commit(file: str | Path = __file__) -> str | None:
    """Commit of the checkout that ``file`` is tracked in.

    Args:
        file: a Python file of the toolkit.

    Returns:
        Forty hexadecimal digits, followed by ``+changes`` where a tracked file differs; None for an installed package
        (even when its ``site-packages`` folder lies inside somebody else's checkout), and without git.
    """
    path = Path(file)
    if _git(path.parent, "ls-files", "--error-unmatch", path.name) is None:
        return None
    commit = _git(path.parent, "rev-parse", "HEAD")
    changes = _git(path.parent, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return None
    return commit + (CHANGED if changes else "")


def version_text(prog: str) -> str:
    """What ``prog --version`` prints: ``fer-camera 0.1.0 (commit ...)``, then Python and the packages, one per line.

    Args:
        prog: name of the command.

    Returns:
        Several lines without an end.
    """
    commit = source_commit()
    first = f"{prog} {__version__}" + (f" (commit {commit})" if commit else "")
    packages = [f"{name} {version}" for name, version in package_versions().items() if name != NAME]
    return "\n".join((first, f"Python {platform.python_version()} on {platform.platform()}", *packages))


def _git(folder: Path, *arguments: str) -> str | None:
    """Standard output of a git command, stripped; None where it fails or there is no git."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
