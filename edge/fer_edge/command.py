"""What the command lines of all four packages share: one-line errors and the exit codes of the contract."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn

from fer_edge.errors import FerError, UsageError

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean NAME?`` for the nearest of the ``known`` names, or nothing where none is near."""
    import difflib  # late: only mistakes need it

    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


class CommandParser(argparse.ArgumentParser):
    """``argparse`` that answers a mistake in one line, and names the nearest option to an unknown one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)  # --epoch is a typing error, not --epochs
        super().__init__(*args, **kwargs)

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:  # type: ignore[override]
        """Parse; an unknown option is an error that suggests the nearest known one."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(f"unknown argument {unknown[0]}{did_you_mean(unknown[0].split('=')[0], self._options())}")
        return parsed

    def _options(self) -> Iterator[str]:
        for action in self._actions:
            yield from action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    yield from parser._options()

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage, which would bury the message."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def run_command(name: str, body: Callable[[], int]) -> int:
    """Run ``body`` and turn every expected failure into one or two lines on stderr and an exit code.

    Exit codes: 0 done, 1 a check failed, 2 bad usage or input, 3 missing dependency or device, 130 interrupted.
    """
    try:
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
