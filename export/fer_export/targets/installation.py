"""Make the environments of :mod:`fer_export.targets.environments`: by uv where it is present, else by venv and pip."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from fer_edge.errors import CheckFailedError, FerError, MissingDependencyError, UsageError
from fer_edge.file_lock import locked
from fer_edge.system import can_write
from fer_export.log import LOG
from fer_export.targets.child import Limits, reason, run_tool
from fer_export.targets.environments import (
    ENVIRONMENTS,
    GB,
    MARK,
    ToolEnvironment,
    folder_of,
    others_of,
    python_of,
    size_of,
    why_not_installed,
    why_not_this_machine,
)

__all__ = ["find_python", "find_uv", "install_environment"]

_INSTALL_LIMITS: Final = Limits(seconds=3 * 3600, memory_bytes=8 << 30)
_CHECK_LIMITS: Final = Limits(seconds=600, memory_bytes=8 << 30)
_FOR_DOWNLOADS: Final[tuple[str, ...]] = ("PIP_", "UV_", "SSL_CERT_", "REQUESTS_CA_", "CURL_CA_", "XDG_")
_PROXIES: Final[tuple[str, ...]] = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def install_environment(name: str) -> Path:
    """Make an environment, or leave it as it is where it is complete.

    What it will download and take is logged first; then space is checked, packages are installed, and the tool is
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
    misfit = why_not_this_machine(environment)
    if misfit is not None:
        raise MissingDependencyError(misfit)
    folder = folder_of(environment)
    if why_not_installed(name) is None:
        LOG.info("%s is installed already in %s", environment.tool, folder)
        return folder
    LOG.info("%s: %s, into %s", environment.tool, size_of(environment), folder)
    _check_space(environment, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    busy = f"another process is installing {environment.tool}; wait until it has finished"
    lock = folder.with_name(f"{folder.name}.lock")
    with locked(lock, busy):
        shutil.rmtree(folder, ignore_errors=True)  # half of one
        try:
            python = _create(environment, folder)
            for pattern in environment.remove:
                for path in folder.glob(pattern):
                    path.unlink()
            _check(environment, folder)
            facts = {"tool": environment.tool, "python": python}
            (folder / MARK).write_text(json.dumps(facts), encoding="utf-8")
        except BaseException:  # Ctrl-C, too
            LOG.info("removing what was begun")
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            lock.unlink(missing_ok=True)
        for older in others_of(environment):
            LOG.info("removing the older %s", older)
            shutil.rmtree(older, ignore_errors=True)
    return folder


def _check_space(environment: ToolEnvironment, folder: Path) -> None:
    place = next(parent for parent in folder.parents if parent.exists())
    if not can_write(place):
        raise UsageError(f"{place} cannot be written; set XDG_DATA_HOME to a folder of yours")
    free = shutil.disk_usage(place).free
    if free < environment.disk_bytes:
        raise UsageError(
            f"{environment.tool} takes {environment.disk_bytes / GB:.1f} GB, {place} has {free / GB:.1f} GB free; "
            "make room, or set XDG_DATA_HOME to a folder on another disk"
        )


def _create(environment: ToolEnvironment, folder: Path) -> str:
    """Make the environment with its packages; returns the version of Python."""
    uv = find_uv()
    version, interpreter = _choose_python(environment, uv)
    pins = environment.requirements(version)
    if uv is not None:
        _run([uv, "venv", "--quiet", "--no-project", "--python", interpreter, folder], environment)
        command: list[str | Path] = [uv, "pip", "install", "--python", python_of(folder), "--no-deps", "-r", pins]
    else:
        _run([interpreter, "-m", "venv", folder], environment)
        command = [python_of(folder), "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "-r", pins]
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
    own = {key: value for key, value in os.environ.items() if key.startswith(_FOR_DOWNLOADS) or key.upper() in _PROXIES}
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
            [python_of(folder), "-c", environment.check],
            limits=_CHECK_LIMITS,
            folder=Path(work),
            name=environment.tool,
        )
    if done.code != 0:
        raise FerError(f"{environment.tool} was installed and does not start ({done.ending}): {reason(done.output)}")
