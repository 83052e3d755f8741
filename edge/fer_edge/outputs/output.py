"""What the toolkit has to know of an output without loading it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fer_edge.capture.frames import Source
    from fer_edge.capture.inputs import Job
    from fer_edge.outputs.base import Output
    from fer_edge.outputs.status import StatusBoard

__all__ = ["STDOUT", "OutputOption", "OutputRequest", "OutputSpec", "option"]

STDOUT: Final[str] = "-"
"""The name of standard output in options that name a file."""


@dataclass(frozen=True)
class OutputOption:
    """One option of an output on the command line and in the configuration file; make it with :func:`option`."""

    flag: str
    """With two dashes."""
    settings: dict[str, Any]
    """As for :meth:`argparse.ArgumentParser.add_argument`."""

    @property
    def dest(self) -> str:
        """Its attribute in the parsed options."""
        return self.flag.removeprefix("--").replace("-", "_")


def option(flag: str, **settings: Any) -> OutputOption:
    """An option such as ``--jsonl``; ``settings`` as for :meth:`argparse.ArgumentParser.add_argument`.

    Args:
        flag: its name on the command line, with two dashes.
        settings: as for :meth:`argparse.ArgumentParser.add_argument`.

    Returns:
        The option.
    """
    return OutputOption(flag, settings)


@dataclass(frozen=True)
class OutputRequest:
    """What an output may have to know when it is opened."""

    arguments: argparse.Namespace
    """All options, those of the other outputs, too."""
    source: Source
    """The open source."""
    job: Job
    """What of the command line the source stands for."""
    board: StatusBoard
    """How the pipeline fares."""
    cameras: tuple[str, ...] = ()
    """Names of the cameras whose results it takes, where several are watched; see :mod:`fer_edge.outputs.shared`."""


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """One output; ``OUTPUT`` in each module of :mod:`fer_edge.outputs.available`."""

    name: str
    """For messages."""
    options: tuple[OutputOption, ...]
    """The first one asks for the output, unless :attr:`asked` says otherwise."""
    open: Callable[[OutputRequest], Output | None]
    """Opens it when it is wanted; None where there is nothing for it to do with this source.

    Raises :class:`fer_edge.errors.FerError` where that fails.
    """
    asked: Callable[[argparse.Namespace], bool] | None = None
    """Whether the options ask for it; None: when the first of its :attr:`options` has a value."""
    writes_file: bool = False
    """Whether the first option names a file that is written, or ``-`` for standard output."""
    of_each_source: bool = False
    """Whether it is opened again for each of several sources; others stay open from the first to the last."""
    of_each_camera: bool = False
    """Whether each of several cameras has one of its own; else one takes the results of all."""
    of_one_camera: bool = False
    """Whether its options may be given for one camera alone; then that camera has one of its own."""
    refuses: Callable[[Path], str | None] | None = None
    """Why a file that is there already must not be written to (it "holds ..."), None where it may; None: any may."""
    holds_one: Callable[[str], bool] | None = None
    """Whether what its first option names takes one source alone, so that several need another name; None: never."""
    rank: int = 100
    """Outputs are opened in this order: those that may lack a package or a port before any file is touched."""

    def wanted(self, arguments: argparse.Namespace) -> bool:
        """Whether the options ask for it.

        Args:
            arguments: the parsed options.

        Returns:
            True where it is to be opened.
        """
        if self.asked is not None:
            return self.asked(arguments)
        return bool(getattr(arguments, self.options[0].dest))

    def file(self, arguments: argparse.Namespace) -> str | None:
        """The file that it is to write, :data:`STDOUT` for standard output; None where it writes none.

        Args:
            arguments: the parsed options.

        Returns:
            The name as the user gave it.
        """
        return getattr(arguments, self.options[0].dest) or None if self.writes_file else None

    def writes_stdout(self, arguments: argparse.Namespace) -> bool:
        """Whether it needs standard output for itself.

        Args:
            arguments: the parsed options.

        Returns:
            True where nothing else may write there.
        """
        return self.file(arguments) == STDOUT
