"""Runs of ``fer-analyze`` as a user starts them, and what they leave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HAAR = ("--detector", "haar")
"""Needs no file from the network."""


def command(*arguments: str) -> list[str]:
    """The command, with the arguments that come before those of the test."""
    return [str(Path(sys.executable).parent / "fer-analyze"), *arguments, *HAAR]


def plain(home: Path, **more: str) -> dict[str, str]:
    """A new user's environment; no network, so that nothing is fetched."""
    return {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "https_proxy": "http://127.0.0.1:9",
        **more,
    }


def analyze(folder: Path, home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it in a folder, to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=plain(home, **environment),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def tree(folder: Path) -> dict[str, bytes]:
    """``{name: content}`` of all files in and below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
