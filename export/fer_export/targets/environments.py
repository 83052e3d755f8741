"""Environments of their own for makers' tools that do not fit beside ours: ``fer-export --install-target rk3588``.

Each is a virtual environment in the user's data folder, with every package pinned (``targets/requirements/``), made by
uv where that is present, else by ``venv`` and pip. The folder's name holds a checksum of the pins, so that a newer
toolkit with other pins sees that its environment is missing.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fer_edge.errors import CheckFailedError, FerError, MissingDependencyError, UsageError
from fer_edge.system import NAME, can_write
from fer_export.log import LOG
from fer_export.targets.child import Limits, reason, run_tool

__all__ = [
    "ENVIRONMENTS",
    "REQUIREMENTS",
    "ToolEnvironment",
    "data_folder",
    "environment_python",
    "install_environment",
    "why_not_installed",
]

REQUIREMENTS: Final[Path] = Path(__file__).with_name("requirements")
_MARK: Final[str] = "installed.json"
_INSTALL_LIMITS: Final = Limits(seconds=3 * 3600, memory_bytes=8 << 30)
_CHECK_LIMITS: Final = Limits(seconds=600, memory_bytes=8 << 30)
_GB: Final[float] = 1e9
_FOR_DOWNLOADS: Final[tuple[str, ...]] = ("PIP_", "UV_", "SSL_CERT_", "REQUESTS_CA_", "CURL_CA_", "XDG_")
_PROXIES: Final[tuple[str, ...]] = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


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
    return _python_of(_folder(ENVIRONMENTS[name]))


def why_not_installed(name: str) -> str | None:
    """Why the tool of an environment cannot run here.

    Args:
        name: a key of :data:`ENVIRONMENTS`.

    Returns:
        One line with what to do; None where it is installed.
    """
    environment = ENVIRONMENTS[name]
    misfit = _why_not_this_machine(environment)
    if misfit is not None:
        return misfit
    try:
        folder = _folder(environment)
    except UsageError as error:
        return str(error)
    if (folder / _MARK).is_file() and _python_of(folder).exists():
        return None
    older = next(iter(_others(environment)), None)
    state = "is not installed" if older is None else "is installed in an older version"
    return (
        f"{environment.tool} {state}; install it with: fer-export --install-target {environment.targets[0]} "
        f"({_size(environment)})"
    )


def install_environment(name: str) -> Path:
    """Make an environment, or leave it as it is where it is complete.

    What it will download and take is said first; then space is checked, packages are installed, and the tool is
    started once. Only then it counts as installed.

    Args:
        name: a key of :data:`ENVIRONMENTS`.

    Returns:
        Its folder.

    Raises:
        UsageError: there is no place for it, or it is being installed by another process.
        MissingDependencyError: no fitting Python, or the packages cannot be had.
        FerError: the tool does not start after the installation.
    """
    environment = ENVIRONMENTS[name]
    misfit = _why_not_this_machine(environment)
    if misfit is not None:
        raise MissingDependencyError(misfit)
    folder = _folder(environment)
    if why_not_installed(name) is None:
        LOG.info("%s is installed already in %s", environment.tool, folder)
        return folder
    LOG.info("%s: %s, into %s", environment.tool, _size(environment), folder)
    _check_space(environment, folder)
    lock = folder.with_name(f"{folder.name}.lock")
    with _only_one(lock, environment):
        shutil.rmtree(folder, ignore_errors=True)  # half of one
        try:
            python = _create(environment, folder)
            for pattern in environment.remove:
                for path in folder.glob(pattern):
                    path.unlink()
            _check(environment, folder)
            facts = {"tool": environment.tool, "python": python}
            (folder / _MARK).write_text(json.dumps(facts), encoding="utf-8")
        except BaseException:  # Ctrl-C, too
            LOG.info("removing what was begun")
            shutil.rmtree(folder, ignore_errors=True)
            raise
        for older in _others(environment):
            LOG.info("removing the older %s", older)
            shutil.rmtree(older, ignore_errors=True)
    return folder


def _folder(environment: ToolEnvironment) -> Path:
    return data_folder() / "environments" / environment.folder_name


def _others(environment: ToolEnvironment) -> Iterator[Path]:
    """Folders of the same environment with other pins."""
    own = _folder(environment)
    for folder in sorted(own.parent.glob(f"{environment.name}-????????????")):
        if folder != own and (folder / _MARK).is_file():
            yield folder


def _python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _size(environment: ToolEnvironment) -> str:
    download, disk = environment.download_bytes / _GB, environment.disk_bytes / _GB
    return f"about {download:.1f} GB to download, {disk:.1f} GB on disk"


def _why_not_this_machine(environment: ToolEnvironment) -> str | None:
    machine = platform.machine()
    if sys.platform.startswith("linux") and machine in environment.machines:
        return None
    return (
        f"{environment.tool} exists for Linux on {', '.join(environment.machines)} only, this is "
        f"{platform.system()} on {machine}; use a container or another machine"
    )


def _check_space(environment: ToolEnvironment, folder: Path) -> None:
    place = next(parent for parent in folder.parents if parent.exists())
    if not can_write(place):
        raise UsageError(f"{place} cannot be written; set XDG_DATA_HOME to a folder of yours")
    free = shutil.disk_usage(place).free
    if free < environment.disk_bytes:
        raise UsageError(
            f"{environment.tool} takes {environment.disk_bytes / _GB:.1f} GB, {place} has {free / _GB:.1f} GB free; "
            "make room, or set XDG_DATA_HOME to a folder on another disk"
        )


class _only_one:  # noqa: N801 - used as a function
    """A lock file, held while an environment is made; the system gives it up when this process ends, however."""

    def __init__(self, path: Path, environment: ToolEnvironment) -> None:
        self._path, self._tool = path, environment.tool

    def __enter__(self) -> None:
        import fcntl  # Linux only, as the tools are

        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise UsageError(f"another process is installing {self._tool}; wait until it has finished") from error

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)
        self._file.close()


def _create(environment: ToolEnvironment, folder: Path) -> str:
    """Make the environment with its packages; returns the version of Python."""
    uv = find_uv()
    version, interpreter = _choose_python(environment, uv)
    pins = environment.requirements(version)
    if uv is not None:
        _run([uv, "venv", "--quiet", "--no-project", "--python", interpreter, folder], environment)
        command: list[str | Path] = [uv, "pip", "install", "--python", _python_of(folder), "--no-deps", "-r", pins]
    else:
        _run([interpreter, "-m", "venv", folder], environment)
        command = [_python_of(folder), "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "-r", pins]
    LOG.info("installing %d packages by %s", len(pins.read_text().split("\n")) - 1, "uv" if uv else "pip")
    _run(command, environment)
    return version


def find_uv() -> str | None:
    """The program ``uv``: beside this Python, else on ``PATH``.

    Returns:
        Its path; None without it.
    """
    beside = Path(sys.executable).with_name("uv") if sys.executable else None
    return str(beside) if beside is not None and beside.is_file() else shutil.which("uv")


def _choose_python(environment: ToolEnvironment, uv: str | None) -> tuple[str, str]:
    """Version and interpreter: one that is here, else the version alone, which uv fetches."""
    for version in environment.pythons:
        interpreter = find_python(version)
        if interpreter is not None:
            return version, interpreter
    if uv is not None:
        LOG.info("no Python %s here; uv fetches one", environment.pythons[0])
        return environment.pythons[0], environment.pythons[0]
    versions = " or ".join(environment.pythons)
    raise MissingDependencyError(
        f"{environment.tool} needs Python {versions}, which is not here; install uv, which fetches it: pip install uv"
    )


def find_python(version: str) -> str | None:
    """An interpreter of this version that starts: on ``PATH``, this one, or one of pyenv's.

    Args:
        version: as ``3.11``.

    Returns:
        Its path; None without one.
    """
    candidates = [shutil.which(f"python{version}"), sys.executable, shutil.which("python3")]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path("~/.pyenv").expanduser()) / "versions"
    candidates += [str(path) for path in sorted(pyenv.glob(f"{version}.*/bin/python{version}"), reverse=True)]
    with tempfile.TemporaryDirectory(prefix="fer-export-") as folder:
        for candidate in dict.fromkeys(filter(None, candidates)):
            if _version_of(str(candidate), Path(folder)) == version:
                return str(candidate)
    return None


def _version_of(interpreter: str, folder: Path) -> str | None:
    code = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    limits = Limits(seconds=30, memory_bytes=1 << 30)
    try:
        done = run_tool([interpreter, "-c", code], limits=limits, folder=folder, name="Python")
    except CheckFailedError:
        return None
    return done.output.strip() if done.code == 0 else None


def _run(command: list[str | Path], environment: ToolEnvironment) -> None:
    own: dict[str, Any] = {
        key: value for key, value in os.environ.items() if key.startswith(_FOR_DOWNLOADS) or key.upper() in _PROXIES
    }
    with tempfile.TemporaryDirectory(prefix="fer-export-") as folder:
        try:
            done = run_tool(
                command, limits=_INSTALL_LIMITS, folder=Path(folder), name=Path(command[0]).name, variables=own
            )
        except CheckFailedError as error:
            raise MissingDependencyError(f"{environment.tool} cannot be installed: {error}") from error
    if done.code != 0:
        LOG.debug("%s", done.output)
        raise MissingDependencyError(f"{environment.tool} cannot be installed: {reason(done.output)}")


def _check(environment: ToolEnvironment, folder: Path) -> None:
    LOG.info("starting it once")
    with tempfile.TemporaryDirectory(prefix="fer-export-") as work:
        done = run_tool(
            [_python_of(folder), "-c", environment.check],
            limits=_CHECK_LIMITS,
            folder=Path(work),
            name=environment.tool,
        )
    if done.code != 0:
        raise FerError(f"{environment.tool} was installed and does not start ({done.ending}): {reason(done.output)}")
