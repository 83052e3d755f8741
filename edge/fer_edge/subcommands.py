"""Commands with parts, such as ``fer-train ablation``: a table of names; a module is imported when it is asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fer_edge.command import did_you_mean, run_command
from fer_edge.errors import UsageError

__all__ = ["Subcommand", "Subcommands"]

_VERBOSITY = ("--quiet", "--verbose")


class Subcommand(NamedTuple):
    """What carries a subcommand out, and what it does in a few words."""

    target: str
    """``package.module:function``, as in an entry point; the function takes ``argv`` and returns an exit code."""
    help: str
    """One line for ``--help``."""


@dataclass(frozen=True)
class Subcommands:
    """The parts of one command. What begins with a dash, or nothing at all, goes to the command itself."""

    prog: str
    """Name of the command."""
    itself: str
    """Target that takes over when no subcommand is named."""
    table: Mapping[str, Subcommand]
    """``{name: subcommand}``, in the order of ``--help``."""

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Hand ``argv`` to the subcommand that it names; returns the exit code.

        Args:
            argv: arguments without the program's name; None takes those of the process.

        Returns:
            The exit code.
        """
        arguments = list(sys.argv[1:] if argv is None else argv)
        before = 0  # as in `fer-train --quiet average`
        while before < len(arguments) and arguments[before] in _VERBOSITY:
            before += 1
        name = arguments[before] if before < len(arguments) else ""
        if name in self.table:
            return self._call(self.table[name].target, [*arguments[:before], *arguments[before + 1 :]])
        if name and not name.startswith("-"):
            return run_command(self.prog, lambda: self._refuse(name))
        return self._call(self.itself, arguments)

    def summary(self) -> str:
        """A list for the end of ``--help``.

        Returns:
            Several lines without an end.
        """
        width = max(len(name) for name in self.table)
        lines = [f"  {self.prog} {name:<{width}}  {part.help}" for name, part in self.table.items()]
        return "\n".join(["other commands (each with --help):", *lines])

    def _refuse(self, name: str) -> int:
        hint = did_you_mean(name, self.table) or f"; there are {', '.join(self.table)}"
        raise UsageError(f"unknown command {name!r}{hint} (see {self.prog} --help)")

    @staticmethod
    def _call(target: str, arguments: list[str]) -> int:
        module, _, function = target.partition(":")
        code: int = getattr(importlib.import_module(module), function)(arguments)
        return code
