"""Environments of their own for makers' tools that do not fit beside ours: ``fer-export --install-target rk3588``.

Each is a virtual environment in the user's data folder, with every package pinned (``targets/requirements/``), made by
uv where that is present, else by ``venv`` and pip. The folder's name holds a checksum of the pins, so that a newer
toolkit with other pins sees that its environment is missing.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fer_edge.errors import MissingDependencyError, UsageError
from fer_edge.system import NAME

__all__ = [
    "ENVIRONMENTS",
    "GB",
    "MARK",
    "REQUIREMENTS",
    "ToolEnvironment",
    "data_folder",
    "environment_python",
    "folder_of",
    "others_of",
    "python_of",
    "size_of",
    "why_not_installed",
    "why_not_this_machine",
]

REQUIREMENTS: Final[Path] = Path(__file__).with_name("requirements")
MARK: Final[str] = "installed.json"
"""Name of the file that says an environment is complete."""
GB: Final[float] = 1e9
"""Bytes, as shops count."""


@dataclass(frozen=True)
class ToolEnvironment:
    """One environment: which packages, on which Python, and how large it gets."""

    name: str
    """Of the environment, and of its files ``requirements/NAME-PYTHON.txt``."""
    tool: str
    """The maker's tool and its version, for messages."""
    pythons: tuple[str, ...]
    """Versions of Python for which it is pinned, the best first."""
    check: str
    """Python statements that fail unless the tool works."""
    download_bytes: int
    """What is downloaded, measured."""
    disk_bytes: int
    """What it takes when it is installed, measured."""
    targets: tuple[str, ...]
    """Those that it serves."""
    machines: tuple[str, ...] = ("x86_64",)
    """Processors that the tool is built for."""
    remove: tuple[str, ...] = ()
    """Patterns of files to take away after the installation, below the environment's folder."""

    def requirements(self, python: str) -> Path:
        """The file with its pins.

        Args:
            python: version of Python, as ``3.11``.

        Returns:
            Path of the file.
        """
        return REQUIREMENTS / f"{self.name}-{python}.txt"

    @functools.cached_property
    def folder_name(self) -> str:
        """Name of its folder: its own, and the checksum of its pins."""
        pins = b"".join(self.requirements(python).read_bytes() for python in self.pythons)
        return f"{self.name}-{hashlib.sha256(pins).hexdigest()[:12]}"


ENVIRONMENTS: Final[dict[str, ToolEnvironment]] = {
    "rknn": ToolEnvironment(
        name="rknn",
        tool="rknn-toolkit2 2.5.0",
        pythons=("3.11", "3.12"),
        check="from rknn.api import RKNN; RKNN(); import tensorflow",
        download_bytes=3_200_000_000,
        disk_bytes=6_400_000_000,
        targets=("rk3588", "rk3576", "rk3568", "rk3566", "rk3562", "rv1103", "rv1106", "rv1126b"),
    ),
    "tpu-mlir": ToolEnvironment(
        name="tpu-mlir",
        tool="tpu-mlir 1.30.2",
        pythons=("3.10",),
        check="import tpu_mlir, torch, onnx, subprocess; subprocess.run(['tpuc-opt', '--version'], check=True)",
        download_bytes=2_700_000_000,
        disk_bytes=6_100_000_000,
        targets=("cv181x",),
        # It brings parts of glibc 2.35, which do not go together with the system's loader of another version.
        remove=tuple(
            f"lib/python*/site-packages/tpu_mlir/lib/third_party/{name}.so*"
            for name in ("libc", "libm", "libpthread", "libstdc++", "libgcc_s")
        ),
    ),
    "tosa": ToolEnvironment(
        name="tosa",
        tool="tosa-tools 2026.8.0",
        pythons=("3.11", "3.12", "3.13", "3.10"),
        check="import numpy, tosa_reference_model, tosa_converter_for_tflite",
        download_bytes=110_000_000,
        disk_bytes=320_000_000,
        targets=("tosa",),
        machines=("x86_64", "aarch64"),
    ),
}


def data_folder() -> Path:
    """Where environments are kept: ``fer-edge-toolkit`` in ``$XDG_DATA_HOME``, else in the system's place.

    Returns:
        The folder; it need not exist. That is ``~/.local/share``, on macOS ``~/Library/Application Support``, on
        Windows ``%LOCALAPPDATA%``, with the toolkit's name behind.

    Raises:
        UsageError: there is no home folder, or it cannot be written.
    """
    chosen = Path(os.environ.get("XDG_DATA_HOME", ""))  # a relative path is to be ignored: XDG Base Directory 0.8
    if not chosen.is_absolute():
        try:
            home = Path.home()
        except (RuntimeError, KeyError) as error:
            raise UsageError("no home folder to install tools into; set XDG_DATA_HOME to a folder of yours") from error
        local = os.environ.get("LOCALAPPDATA")
        if sys.platform == "darwin":
            chosen = home / "Library" / "Application Support"
        elif sys.platform == "win32" and local:
            chosen = Path(local)
        else:
            chosen = home / ".local" / "share"
    return chosen / NAME


def environment_python(name: str) -> Path:
    """The interpreter of an installed environment.

    Args:
        name: a key of :data:`ENVIRONMENTS`.

    Returns:
        Path of its Python.

    Raises:
        MissingDependencyError: it is not installed; the message holds the command.
    """
    problem = why_not_installed(name)
    if problem is not None:
        raise MissingDependencyError(problem)
    return python_of(folder_of(ENVIRONMENTS[name]))


def why_not_installed(name: str) -> str | None:
    """Why the tool of an environment cannot run here.

    Args:
        name: a key of :data:`ENVIRONMENTS`.

    Returns:
        One line with what to do; None where it is installed.
    """
    environment = ENVIRONMENTS[name]
    misfit = why_not_this_machine(environment)
    if misfit is not None:
        return misfit
    try:
        folder = folder_of(environment)
    except UsageError as error:
        return str(error)
    if (folder / MARK).is_file() and python_of(folder).exists():
        return None
    older = next(iter(others_of(environment)), None)
    state = "is not installed" if older is None else "is installed in an older version"
    return (
        f"{environment.tool} {state}; install it with: fer-export --install-target {environment.targets[0]} "
        f"({size_of(environment)})"
    )


def folder_of(environment: ToolEnvironment) -> Path:
    """The folder of an environment.

    Args:
        environment: which one.

    Returns:
        Its path, whether or not it is there.
    """
    return data_folder() / "environments" / environment.folder_name


def others_of(environment: ToolEnvironment) -> Iterator[Path]:
    """Folders of the same environment with other pins.

    Args:
        environment: which one.

    Yields:
        Those that are installed.
    """
    own = folder_of(environment)
    for folder in sorted(own.parent.glob(f"{environment.name}-????????????")):
        if folder != own and (folder / MARK).is_file():
            yield folder


def python_of(folder: Path) -> Path:
    """The interpreter of a virtual environment.

    Args:
        folder: of the environment.

    Returns:
        Its path, whether or not it is there.
    """
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def size_of(environment: ToolEnvironment) -> str:
    """How large an environment is, in words.

    Args:
        environment: which one.

    Returns:
        What is downloaded, and what it takes.
    """
    download, disk = environment.download_bytes / GB, environment.disk_bytes / GB
    return f"about {download:.1f} GB to download, {disk:.1f} GB on disk"


def why_not_this_machine(environment: ToolEnvironment) -> str | None:
    """Why an environment cannot be made on this machine at all.

    Args:
        environment: which one.

    Returns:
        One line; None where it can.
    """
    machine = platform.machine()
    if sys.platform.startswith("linux") and machine in environment.machines:
        return None
    return (
        f"{environment.tool} exists for Linux on {', '.join(environment.machines)} only, this is "
        f"{platform.system()} on {machine}; use a container or another machine"
    )
