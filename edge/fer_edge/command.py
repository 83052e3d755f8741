"""What the command lines of all four packages share: one-line errors and the exit codes of the contract."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from fer_edge.errors import FerError, UsageError
from fer_edge.logs import shown_on_stderr
from fer_edge.missing import explained

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class CommandParser(argparse.ArgumentParser):
    """``argparse`` that answers a mistake in one line, and names the nearest option to an unknown one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)  # --epoch is a typing error, not --epochs
        super().__init__(*args, **kwargs)

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:  # type: ignore[override]
        """Parse; an unknown option is an error that suggests the nearest known one."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            options = list(self._options())
            near = difflib.get_close_matches(unknown[0].split("=")[0], options, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.error(f"unknown argument {unknown[0]}{hint}")
        return parsed

    def add_version(self) -> None:
        """Add ``--version``, the same for every command; the work is done only when it is asked for."""
        self.add_argument("--version", action=_Version, help="print the versions in use and end")

    def _options(self) -> Iterator[str]:
        for action in self._actions:
            yield from action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    yield from parser._options()

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage, which would bury the message."""
        raise UsageError(f"{message} (see {self.prog} --help)")


class _Version(argparse.Action):
    """Prints what :func:`fer_edge.versions.version_text` says, and ends; wins over missing required options."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, **kwargs | {"nargs": 0, "default": argparse.SUPPRESS})

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        from fer_edge.versions import version_text

        sys.stdout.write(version_text(parser.prog) + "\n")
        parser.exit()


def run_command(name: str, body: Callable[[], int]) -> int:
    """Run ``body`` and turn every expected failure into one or two lines on stderr and an exit code.

    Exit codes: 0 done, 1 a check failed, 2 bad usage or input, 3 missing dependency or device, 130 interrupted.
    """
    with shown_on_stderr(name):
        return _run(name, body)


def _run(name: str, body: Callable[[], int]) -> int:
    try:
        with explained():
            return body()
    except FerError as error:
        sys.stderr.write(f"{name}: error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"{name}: interrupted\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`| head`); keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, a missing permission: the system's words are the clearest
        where = f" {error.filename}:" if error.filename else ""
        sys.stderr.write(f"{name}: error:{where} {error.strerror or error}\n")
        return 2
